{# The rows of the long form. #}
{% import 'windows.sql' as w with context %}
{% import 'long_form.sql' as long_form with context %}

{# The statements that write the rows of a window. #}
{% macro create(window) %}
{% set name = w.suffix(window) %}
-- The market, window of {{ window.size }}.
{% set rows = long_form.rows({
  'total_number_of_events': 'events',
  'total_transfers': 'transfers',
  'total_items_transferred': 'items_transferred',
  'total_sales': 'sales',
  'total_eth_volume': 'eth_volume',
  'total_usd_volume': 'usd_volume'}, window) %}
INSERT INTO {{ ref('enriched_global_events') }}
  SELECT
    EXPLODE({{ rows }})->metric AS metric,
    '' AS collection,
    ws AS window_start,
    we AS `timestamp`,
    EXPLODE({{ rows }})->value AS value
  FROM {{ ref('global_' ~ name ~ '_changes') }}
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
INSERT INTO {{ ref('enriched_global_events') }}
  SELECT
    EXPLODE({{ rows }})->metric AS metric,
    EXPLODE({{ rows }})->k AS collection,
    ws AS window_start,
    we AS `timestamp`,
    EXPLODE({{ rows }})->value AS value
  FROM {{ ref('top_collections_' ~ name ~ '_changes') }}
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
INSERT INTO {{ ref('enriched_collections_events') }}
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
  FROM {{ ref('collection_' ~ name ~ '_changes') }}
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
INSERT INTO {{ ref('enriched_collections_events') }}
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
  FROM {{ ref('top_assets_' ~ name ~ '_changes') }}
  EMIT CHANGES;
{% endmacro %}
