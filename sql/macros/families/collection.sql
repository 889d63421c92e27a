{# Metrics of every collection. #}
{% import 'windows.sql' as w with context %}
{% import 'changes.sql' as changes with context %}
{% import 'sums.sql' as sums %}

{% macro table(window) -%}
{% set name = w.suffix(window) %}
TABLE {{ ref('collection_' ~ name) }}
  WITH (KAFKA_TOPIC='opensea.collection.{{ name | lower }}', VALUE_FORMAT='JSON', RETENTION_MS=-1) AS
  SELECT
    collection,
    AS_VALUE(collection) AS slug,
    WINDOWSTART AS ws, WINDOWEND AS we,
    {{ sums.columns() }},
    MIN(usd / quantity) AS floor_usd,                    -- lowest price of one unit sold
    -- Volume divided by the items of the sales that have a price. NULL if no sale has one.
    CASE WHEN SUM(CASE WHEN usd IS NOT NULL THEN quantity END) > 0
         THEN SUM(usd) / SUM(CASE WHEN usd IS NOT NULL THEN quantity END)
         END AS avg_usd
  FROM {{ ref('events') }}
  {{ w.clause(window) }}
  WHERE event IN ('item_sold', 'item_transferred')
  GROUP BY collection
  EMIT CHANGES;
{%- endmacro %}

{# The statements that create the table of a window. #}
{% macro create(window) %}
-- Collections, window of {{ window.size }}.
CREATE {{ table(window) }}

{{ changes.stream('collection', window, 'slug VARCHAR', sums.types ~ ', floor_usd DOUBLE, avg_usd DOUBLE') }}
{% endmacro %}

{# The statement that replaces the table of a window with the definition in this file. #}
{% macro replace(window) %}
CREATE OR REPLACE {{ table(window) }}
{% endmacro %}
