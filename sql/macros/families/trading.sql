{# Trading metrics of the market, of every chain and of every collection. #}
{% import 'windows.sql' as w with context %}
{% import 'changes.sql' as changes with context %}

{% macro table(window) -%}
{% set name = w.suffix(window) %}
TABLE {{ ref('trading_' ~ name) }}
  WITH (KAFKA_TOPIC='opensea.trading.{{ name | lower }}', KEY_FORMAT='JSON', VALUE_FORMAT='JSON', RETENTION_MS=-1) AS
  SELECT
    scope, name,
    WINDOWSTART AS ws, WINDOWEND AS we,
    COUNT(CASE WHEN what = 'sale' THEN 1 END) AS sales,
    SUM(usd) AS usd_volume,
    COUNT_DISTINCT_EITHER(CASE WHEN what = 'sale' THEN maker END, CASE WHEN what = 'sale' THEN taker END) AS traders,
    SKETCH_MEDIAN(unit_usd) AS median_usd,               -- of the price of one unit
    SUM(usd) - WASH_VOLUME(nft_id, maker, taker, usd) AS organic_usd_volume,
    COUNT(CASE WHEN what = 'mint' THEN 1 END) AS mints,
    COUNT(CASE WHEN what = 'burn' THEN 1 END) AS burns,
    -- A sale brings one transfer, of the same time. (Mints and burns are among the others.)
    CASE WHEN COUNT(CASE WHEN what = 'sale' THEN 1 END) * 2 < COUNT(*)
         THEN COUNT(*) - COUNT(CASE WHEN what = 'sale' THEN 1 END) * 2
         ELSE CAST(0 AS BIGINT) END AS transfers_without_sale
  FROM {{ ref('trading_events') }}
  {{ w.clause(window) }}
  WHERE name IS NOT NULL
  GROUP BY scope, name
  EMIT CHANGES;
{%- endmacro %}

{# The statements that create the table of a window. #}
{% macro create(window) %}
-- Trading, window of {{ window.size }}. For example:
--   SELECT * FROM trading_1_minute WHERE scope = 'chain' AND name = 'ethereum';
CREATE {{ table(window) }}
{% endmacro %}

{# The statement that replaces the table of a window with the definition in this file. #}
{% macro replace(window) %}
CREATE OR REPLACE {{ table(window) }}
{% endmacro %}
