{% import 'windows.sql' as w with context %}
{% import 'changes.sql' as changes with context %}
-- The top lists of collections and assets, and the number of different assets sold.
-- These tables need the Python functions of udfs/:
--   TOP_BY_KEY(key, value, detail, n) takes the newest value of every key and returns the n keys with the
--   largest values. Ties are ordered by key.
--   COUNT_DISTINCT_EXACT(x) counts exactly. ksqlDB's own COUNT_DISTINCT only estimates.
-- DETAIL is JSON text. Read a field with EXTRACTJSONFIELD(entry->detail, '$.SALES').
SET 'auto.offset.reset' = 'earliest';   -- read the records that the topics already hold
{% set top_columns = 'by_usd_volume ' ~ changes.top_list() ~ ', by_transfers ' ~ changes.top_list() %}
{% for window in windows %}
{% set name = w.suffix(window) %}

-- The top collections of the market, window of {{ window.size }}: by sales volume, and by number of transfers.
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

{{ changes.stream('top_collections', window, '', top_columns) }}

-- The top assets of every collection, window of {{ window.size }}, and the number of its assets that were sold.
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

{{ changes.stream('top_assets', window, 'slug VARCHAR', 'assets_sold BIGINT, ' ~ top_columns) }}
{% endfor %}
