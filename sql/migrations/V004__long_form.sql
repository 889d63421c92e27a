{% import 'windows.sql' as w with context %}
{% import 'long_form.sql' as long_form with context %}
-- The long form has one row for each metric. It serves sinks that need rows (Cassandra), and the
-- predecessor's consumers. It uses the predecessor's metric names and topics.
--   * METRIC ends in the window's size. TIMESTAMP is the window's end.
--   * A row appears again whenever its value changes. The newest row counts.
--   * COLLECTION is '' in rows of the market. NFT_ID is '' in rows of a collection. They are not NULL,
--     because both are part of the key under which a sink stores a row.
--   * The topics have one partition, because the rows have no key. With several partitions, the order of
--     two rows would be unknown, and so would the newer one.
--   * When an asset or collection leaves a top list, its last row stays. The rows that overtook it have
--     larger values. Read a top list as the N largest values.
SET 'auto.offset.reset' = 'earliest';   -- read the records that the topics already hold

CREATE STREAM enriched_global_events (
  metric VARCHAR, collection VARCHAR, window_start BIGINT, `timestamp` BIGINT, value DOUBLE)
  WITH (KAFKA_TOPIC='{{ global_topic }}', VALUE_FORMAT='{{ long_form_format }}', PARTITIONS=1, REPLICAS={{ replicas }}, RETENTION_MS=-1);

CREATE STREAM enriched_collections_events (
  metric VARCHAR, collection VARCHAR, nft_id VARCHAR, window_start BIGINT, `timestamp` BIGINT,
  value DOUBLE, asset_name VARCHAR, asset_url VARCHAR, image_url VARCHAR)
  WITH (KAFKA_TOPIC='{{ collections_topic }}', VALUE_FORMAT='{{ long_form_format }}', PARTITIONS=1, REPLICAS={{ replicas }}, RETENTION_MS=-1);

{% for window in windows %}
{% set name = w.suffix(window) %}

-- The market, window of {{ window.size }}.
{% set rows = long_form.rows({
  'total_number_of_events': 'events',
  'total_transfers': 'transfers',
  'total_items_transferred': 'items_transferred',
  'total_sales': 'sales',
  'total_eth_volume': 'eth_volume',
  'total_usd_volume': 'usd_volume'}, window) %}
INSERT INTO enriched_global_events
  SELECT
    EXPLODE({{ rows }})->metric AS metric,
    '' AS collection,
    ws AS window_start,
    we AS `timestamp`,
    EXPLODE({{ rows }})->value AS value
  FROM global_{{ name }}_changes
  EMIT CHANGES;

-- The top collections of the market, window of {{ window.size }}.
{% set rows = long_form.top_rows([
  ('top_collections_by_sales_volume_usd_volume', 'by_usd_volume', 'x->value'),
  ('top_collections_by_sales_volume_sales_count', 'by_usd_volume', long_form.number('SALES')),
  ('top_collections_by_sales_volume_floor_usd_price', 'by_usd_volume', long_form.number('FLOOR_USD')),
  ('top_collections_by_sales_volume_avg_usd_price', 'by_usd_volume', long_form.number('AVG_USD')),
  ('top_collections_by_transfers_volume_transfers_count', 'by_transfers', 'x->value'),
  ('top_collections_by_transfers_volume_items_transferred', 'by_transfers', long_form.number('ITEMS_TRANSFERRED')),
  ], window) %}
INSERT INTO enriched_global_events
  SELECT
    EXPLODE({{ rows }})->metric AS metric,
    EXPLODE({{ rows }})->k AS collection,
    ws AS window_start,
    we AS `timestamp`,
    EXPLODE({{ rows }})->value AS value
  FROM top_collections_{{ name }}_changes
  EMIT CHANGES;

-- Every collection, window of {{ window.size }}.
{% set rows = long_form.rows({
  'collection_total_transfers': 'transfers',
  'collection_total_items_transferred': 'items_transferred',
  'collection_total_sales_count': 'sales',
  'collection_total_items_sold': 'items_sold',
  'collection_total_usd_volume': 'usd_volume',
  'collection_total_eth_volume': 'eth_volume',
  'collection_floor_assets_usd_price': 'floor_usd',
  'collection_avg_assets_usd_price': 'avg_usd'}, window) %}
INSERT INTO enriched_collections_events
  SELECT
    EXPLODE({{ rows }})->metric AS metric,
    slug AS collection,
    '' AS nft_id,
    ws AS window_start,
    we AS `timestamp`,
    EXPLODE({{ rows }})->value AS value,
    CAST(NULL AS VARCHAR) AS asset_name,
    CAST(NULL AS VARCHAR) AS asset_url,
    CAST(NULL AS VARCHAR) AS image_url
  FROM collection_{{ name }}_changes
  EMIT CHANGES;

-- The number of assets sold and the top assets of every collection, window of {{ window.size }}.
{% set tops = long_form.top_rows([
  ('collection_top_assets_by_sales_volume', 'by_usd_volume', 'x->value'),
  ('collection_top_assets_by_transfers', 'by_transfers', 'x->value')], window) %}
{% set rows %}
ARRAY_CONCAT(ARRAY[STRUCT(
        metric := {{ w.metric('collection_total_assets_sold', window) }}, k := CAST(NULL AS VARCHAR),
        value := CAST(assets_sold AS DOUBLE), detail := CAST(NULL AS VARCHAR))], {{ tops }})
{%- endset %}
INSERT INTO enriched_collections_events
  SELECT
    EXPLODE({{ rows }})->metric AS metric,
    slug AS collection,
    COALESCE(EXPLODE({{ rows }})->k, '') AS nft_id,
    ws AS window_start,
    we AS `timestamp`,
    EXPLODE({{ rows }})->value AS value,
    -- A nameless asset is called by its id, as the predecessor did.
    -- (EXTRACTJSONFIELD gives the text 'null' for a JSON null.)
    COALESCE({{ long_form.text(rows, 'NAME') }}, EXPLODE({{ rows }})->k) AS asset_name,
    {{ long_form.text(rows, 'URL') }} AS asset_url,
    {{ long_form.text(rows, 'IMAGE') }} AS image_url
  FROM top_assets_{{ name }}_changes
  EMIT CHANGES;
{% endfor %}
