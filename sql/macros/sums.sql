{# The columns that the tables for the market and for collections share. SUM over no values is 0. MIN over no values
   is NULL. #}
{% macro columns() -%}
    COUNT(CASE WHEN event = 'item_transferred' THEN 1 END) AS transfers,
    SUM(CASE WHEN event = 'item_transferred' THEN quantity END) AS items_transferred,
    COUNT(CASE WHEN event = 'item_sold' THEN 1 END) AS sales,
    SUM(CASE WHEN event = 'item_sold' THEN quantity END) AS items_sold,
    -- Volume of sales in US dollars, and in ETH.
    SUM(usd) AS usd_volume,
    SUM(eth) AS eth_volume
{%- endmacro %}

{% set types = 'transfers BIGINT, items_transferred BIGINT, sales BIGINT, items_sold BIGINT, usd_volume DOUBLE, eth_volume DOUBLE' %}
