{% import 'windows.sql' as w with context %}
-- One table for the market, one for collections, one for assets, for every window of settings.yml.
-- A key's newest row is its result; rows are queried by key and WINDOWSTART, for instance
--   SELECT * FROM collection_1_minute WHERE collection = 'some-slug' AND WINDOWSTART >= '2026-09-15T10:00:00';
-- Beside each table stands a stream of its changes (declared over the table's topic, value only, so
-- key and window are carried in the value): what tops and the long form are made of.
SET 'auto.offset.reset' = 'earliest';   -- read what the topics already hold

-- What all three count. SUM of nothing is 0, MIN of nothing is NULL.
{% macro sums() -%}
    COUNT(CASE WHEN event = 'item_transferred' THEN 1 END) AS transfers,
    SUM(CASE WHEN event = 'item_transferred' THEN quantity END) AS items_transferred,
    COUNT(CASE WHEN event = 'item_sold' THEN 1 END) AS sales,
    SUM(CASE WHEN event = 'item_sold' THEN quantity END) AS items_sold,
    -- Volume of sales in US dollars, and in ETH.
    SUM(usd) AS usd_volume,
    SUM(eth) AS eth_volume
{%- endmacro %}
{% for window in windows %}
{% set name = w.suffix(window) %}

-- Market, {{ window.size }}.
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

CREATE STREAM global_{{ name }}_changes (
  ws BIGINT, we BIGINT, events BIGINT, transfers BIGINT, items_transferred BIGINT, sales BIGINT,
  items_sold BIGINT, usd_volume DOUBLE, eth_volume DOUBLE)
  WITH (KAFKA_TOPIC='opensea.global.{{ name | lower }}', VALUE_FORMAT='JSON', TIMESTAMP='ws');

-- Collections, {{ window.size }}.
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

CREATE STREAM collection_{{ name }}_changes (
  slug VARCHAR, ws BIGINT, we BIGINT, transfers BIGINT, items_transferred BIGINT, sales BIGINT,
  items_sold BIGINT, usd_volume DOUBLE, eth_volume DOUBLE, floor_usd DOUBLE, avg_usd DOUBLE)
  WITH (KAFKA_TOPIC='opensea.collection.{{ name | lower }}', VALUE_FORMAT='JSON', TIMESTAMP='ws');

-- Assets, {{ window.size }}. Told apart by nft_id; name, URL and image are the newest seen.
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

CREATE STREAM asset_{{ name }}_changes (
  slug VARCHAR, asset VARCHAR, ws BIGINT, we BIGINT, transfers BIGINT, sales BIGINT,
  usd_volume DOUBLE, asset_name VARCHAR, asset_url VARCHAR, image_url VARCHAR)
  WITH (KAFKA_TOPIC='opensea.asset.{{ name | lower }}', VALUE_FORMAT='JSON', TIMESTAMP='ws');
{% endfor %}
