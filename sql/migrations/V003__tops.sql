{% import 'windows.sql' as w with context %}
-- Top lists, and what must look at each asset once. They need the Python functions of udfs/:
--   TOP_BY_KEY(key, value, detail, n): the n keys with the greatest newest values, ties by key;
--   COUNT_DISTINCT_EXACT(x): ksqlDB's own COUNT_DISTINCT estimates.
-- DETAIL is JSON text, read with EXTRACTJSONFIELD(entry->detail, '$.SALES').
SET 'auto.offset.reset' = 'earliest';   -- read what the topics already hold
{% for window in windows %}
{% set name = w.suffix(window) %}

-- Top collections of the market, {{ window.size }}: by volume of sales, and by number of transfers.
CREATE TABLE top_collections_{{ name }}
  WITH (KAFKA_TOPIC='opensea.top_collections.{{ name | lower }}', VALUE_FORMAT='JSON', PARTITIONS=1, RETENTION_MS=-1) AS
  SELECT
    'all' AS scope,
    WINDOWSTART AS ws, LATEST_BY_OFFSET(we) AS we,
    TOP_BY_KEY(
      slug,
      CASE WHEN sales > 0 THEN usd_volume END,
      TO_JSON_STRING(STRUCT(sales := sales, floor_usd := floor_usd, avg_usd := avg_usd)),
      {{ top_collections }}) AS by_usd_volume,
    TOP_BY_KEY(
      slug,
      CASE WHEN transfers > 0 THEN CAST(transfers AS DOUBLE) END,
      TO_JSON_STRING(STRUCT(items_transferred := items_transferred)),
      {{ top_collections }}) AS by_transfers
  FROM collection_{{ name }}_changes
  {{ w.changes_clause(window) }}
  GROUP BY 'all'
  EMIT CHANGES;

CREATE STREAM top_collections_{{ name }}_changes (
  ws BIGINT, we BIGINT,
  by_usd_volume ARRAY<STRUCT<key VARCHAR, value DOUBLE, detail VARCHAR>>,
  by_transfers ARRAY<STRUCT<key VARCHAR, value DOUBLE, detail VARCHAR>>)
  WITH (KAFKA_TOPIC='opensea.top_collections.{{ name | lower }}', VALUE_FORMAT='JSON', TIMESTAMP='ws');

-- Top assets of each collection, {{ window.size }}, and how many of its assets were sold.
CREATE TABLE top_assets_{{ name }}
  WITH (KAFKA_TOPIC='opensea.top_assets.{{ name | lower }}', VALUE_FORMAT='JSON', RETENTION_MS=-1) AS
  SELECT
    slug AS collection,
    AS_VALUE(slug) AS slug,
    WINDOWSTART AS ws, LATEST_BY_OFFSET(we) AS we,
    COUNT_DISTINCT_EXACT(CASE WHEN sales > 0 THEN asset END) AS assets_sold,
    TOP_BY_KEY(
      asset,
      CASE WHEN sales > 0 THEN usd_volume END,
      TO_JSON_STRING(STRUCT(name := asset_name, url := asset_url, image := image_url, sales := sales)),
      {{ top_assets }}) AS by_usd_volume,
    TOP_BY_KEY(
      asset,
      CASE WHEN transfers > 0 THEN CAST(transfers AS DOUBLE) END,
      TO_JSON_STRING(STRUCT(name := asset_name, url := asset_url, image := image_url)),
      {{ top_assets }}) AS by_transfers
  FROM asset_{{ name }}_changes
  {{ w.changes_clause(window) }}
  GROUP BY slug
  EMIT CHANGES;

CREATE STREAM top_assets_{{ name }}_changes (
  slug VARCHAR, ws BIGINT, we BIGINT, assets_sold BIGINT,
  by_usd_volume ARRAY<STRUCT<key VARCHAR, value DOUBLE, detail VARCHAR>>,
  by_transfers ARRAY<STRUCT<key VARCHAR, value DOUBLE, detail VARCHAR>>)
  WITH (KAFKA_TOPIC='opensea.top_assets.{{ name | lower }}', VALUE_FORMAT='JSON', TIMESTAMP='ws');
{% endfor %}
