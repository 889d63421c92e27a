{# Metrics of every asset that was sold or transferred. #}
{% import 'windows.sql' as w with context %}
{% import 'changes.sql' as changes with context %}

{% macro table(window) -%}
{% set name = w.suffix(window) %}
TABLE {{ ref('asset_' ~ name) }}
  WITH (KAFKA_TOPIC='opensea.asset.{{ name | lower }}', KEY_FORMAT='JSON', VALUE_FORMAT='JSON', RETENTION_MS=-1) AS
  SELECT
    collection, nft_id,
    AS_VALUE(collection) AS slug, AS_VALUE(nft_id) AS asset,
    WINDOWSTART AS ws, WINDOWEND AS we,
    COUNT(CASE WHEN event = 'item_transferred' THEN 1 END) AS transfers,
    COUNT(CASE WHEN event = 'item_sold' THEN 1 END) AS sales,
    SUM(usd) AS usd_volume,
    LATEST_BY_OFFSET(asset_name) AS asset_name,
    LATEST_BY_OFFSET(asset_url) AS asset_url,
    LATEST_BY_OFFSET(image_url) AS image_url
  FROM {{ ref('events') }}
  {{ w.clause(window) }}
  WHERE event IN ('item_sold', 'item_transferred') AND collection IS NOT NULL AND nft_id IS NOT NULL
  GROUP BY collection, nft_id
  EMIT CHANGES;
{%- endmacro %}

{# The statements that create the table of a window. #}
{% macro create(window) %}
-- Assets, window of {{ window.size }}. The nft_id identifies an asset. Its name, URL and image are the newest
-- ones in the window.
CREATE {{ table(window) }}

{{ changes.stream('asset', window, 'slug VARCHAR, asset VARCHAR',
  'transfers BIGINT, sales BIGINT, usd_volume DOUBLE, asset_name VARCHAR, asset_url VARCHAR, image_url VARCHAR') }}
{% endmacro %}

{# The statement that replaces the table of a window with the definition in this file. #}
{% macro replace(window) %}
CREATE OR REPLACE {{ table(window) }}
{% endmacro %}
