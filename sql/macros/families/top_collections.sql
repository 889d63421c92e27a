{# The top collections of the market. #}
{% import 'windows.sql' as w with context %}
{% import 'changes.sql' as changes with context %}
{% set top_columns = 'by_usd_volume ' ~ changes.top_list() ~ ', by_transfers ' ~ changes.top_list() %}

{% macro table(window) -%}
{% set name = w.suffix(window) %}
TABLE {{ ref('top_collections_' ~ name) }}
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
  FROM {{ ref('collection_' ~ name ~ '_changes') }}
  {{ w.changes_clause(window) }}
  GROUP BY 'all'
  EMIT CHANGES;
{%- endmacro %}

{# The statements that create the table of a window. #}
{% macro create(window) %}
-- The top collections of the market, window of {{ window.size }}: by sales volume, and by number of transfers.
CREATE {{ table(window) }}

{{ changes.stream('top_collections', window, '', top_columns) }}
{% endmacro %}

{# The statement that replaces the table of a window with the definition in this file. #}
{% macro replace(window) %}
CREATE OR REPLACE {{ table(window) }}
{% endmacro %}
