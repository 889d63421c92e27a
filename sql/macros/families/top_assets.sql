{# The top assets of every collection. #}
{% import 'windows.sql' as w with context %}
{% import 'changes.sql' as changes with context %}
{% set top_columns = 'by_usd_volume ' ~ changes.top_list() ~ ', by_transfers ' ~ changes.top_list() %}

{% macro table(window) -%}
{% set name = w.suffix(window) %}
TABLE {{ ref('top_assets_' ~ name) }}
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
  FROM {{ ref('asset_' ~ name ~ '_changes') }}
  {{ w.changes_clause(window) }}
  GROUP BY slug
  EMIT CHANGES;
{%- endmacro %}

{# The statements that create the table of a window. #}
{% macro create(window) %}
-- The top assets of every collection, window of {{ window.size }}, and the number of its assets that were sold.
CREATE {{ table(window) }}

{{ changes.stream('top_assets', window, 'slug VARCHAR', 'assets_sold BIGINT, ' ~ top_columns) }}
{% endmacro %}

{# The statement that replaces the table of a window with the definition in this file. #}
{% macro replace(window) %}
CREATE OR REPLACE {{ table(window) }}
{% endmacro %}
