{# The volume of sales of every collection. #}
{% import 'windows.sql' as w with context %}

{% macro table(window) -%}
{% set name = w.suffix(window) %}
TABLE {{ ref('volume_' ~ name) }}
  WITH (KAFKA_TOPIC='volume.{{ name | lower }}', VALUE_FORMAT='JSON') AS
  SELECT collection, COUNT(*) AS sales, SUM(usd) AS usd_volume
  FROM {{ ref('sales') }}
  {{ w.clause(window) }}
  GROUP BY collection
  EMIT CHANGES;
{%- endmacro %}

{# The statement that creates the table of a window. #}
{% macro create(window) %}
CREATE {{ table(window) }}
{% endmacro %}

{# The statement that replaces the table of a window with the definition in this file. #}
{% macro replace(window) %}
CREATE OR REPLACE {{ table(window) }}
{% endmacro %}
