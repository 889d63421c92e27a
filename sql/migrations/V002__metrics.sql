{% import 'windows.sql' as w with context %}
{% import 'changes.sql' as changes with context %}
-- For every window in settings.yml: one table for the market, one for collections and one for assets.
-- The newest row of a key and window is the result. Query rows by key and WINDOWSTART, for example:
--   SELECT * FROM collection_1_minute WHERE collection = 'some-slug' AND WINDOWSTART >= '2026-09-15T10:00:00';
-- Every table also has a stream of its changes. The top lists (V003) and the long form (V004) read these
-- streams. A stream is declared over the table's topic and reads only the value of a record. Therefore the
-- value repeats the key and the window (the columns SLUG, ASSET, WS and WE).
SET 'auto.offset.reset' = 'earliest';   -- read the records that the topics already hold

-- The columns that the tables for the market and for collections share. SUM over no values is 0. MIN over
-- no values is NULL.
{% macro sums() -%}
    COUNT(CASE WHEN event = 'item_transferred' THEN 1 END) AS transfers,
    SUM(CASE WHEN event = 'item_transferred' THEN quantity END) AS items_transferred,
    COUNT(CASE WHEN event = 'item_sold' THEN 1 END) AS sales,
    SUM(CASE WHEN event = 'item_sold' THEN quantity END) AS items_sold,
    -- Volume of sales in US dollars, and in ETH.
    SUM(usd) AS usd_volume,
    SUM(eth) AS eth_volume
{%- endmacro %}
{% set sum_columns = 'transfers BIGINT, items_transferred BIGINT, sales BIGINT, items_sold BIGINT, usd_volume DOUBLE, eth_volume DOUBLE' %}
{% for window in windows %}
{% set name = w.suffix(window) %}

-- The market, window of {{ window.size }}.
CREATE TABLE global_{{ name }}
  WITH (KAFKA_TOPIC='opensea.global.{{ name | lower }}', VALUE_FORMAT='JSON', PARTITIONS=1, RETENTION_MS=-1) AS
  SELECT
    'all' AS scope,
    WINDOWSTART AS ws, WINDOWEND AS we,
    COUNT(*) AS events,                                  -- of every type
    {{ sums() }}
  FROM events
  {{ w.clause(window) }}
  GROUP BY 'all'
  EMIT CHANGES;

{{ changes.stream('global', window, '', 'events BIGINT, ' ~ sum_columns) }}

-- Collections, window of {{ window.size }}.
CREATE TABLE collection_{{ name }}
  WITH (KAFKA_TOPIC='opensea.collection.{{ name | lower }}', VALUE_FORMAT='JSON', RETENTION_MS=-1) AS
  SELECT
    collection,
    AS_VALUE(collection) AS slug,
    WINDOWSTART AS ws, WINDOWEND AS we,
    {{ sums() }},
    MIN(usd / quantity) AS floor_usd,                    -- lowest price of one unit sold
    -- Volume divided by the items of the sales that have a price. NULL if no sale has one.
    CASE WHEN SUM(CASE WHEN usd IS NOT NULL THEN quantity END) > 0
         THEN SUM(usd) / SUM(CASE WHEN usd IS NOT NULL THEN quantity END)
         END AS avg_usd
  FROM events
  {{ w.clause(window) }}
  WHERE event IN ('item_sold', 'item_transferred')
  GROUP BY collection
  EMIT CHANGES;

{{ changes.stream('collection', window, 'slug VARCHAR', sum_columns ~ ', floor_usd DOUBLE, avg_usd DOUBLE') }}

-- Assets, window of {{ window.size }}. The nft_id identifies an asset. Its name, URL and image are the newest
-- ones in the window.
CREATE TABLE asset_{{ name }}
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
  FROM events
  {{ w.clause(window) }}
  WHERE event IN ('item_sold', 'item_transferred') AND collection IS NOT NULL AND nft_id IS NOT NULL
  GROUP BY collection, nft_id
  EMIT CHANGES;

{{ changes.stream('asset', window, 'slug VARCHAR, asset VARCHAR',
  'transfers BIGINT, sales BIGINT, usd_volume DOUBLE, asset_name VARCHAR, asset_url VARCHAR, image_url VARCHAR') }}
{% endfor %}
