{# Metrics of the market. #}
{% import 'windows.sql' as w with context %}
{% import 'changes.sql' as changes with context %}
{% import 'sums.sql' as sums %}

{% macro table(window) -%}
{% set name = w.suffix(window) %}
TABLE {{ ref('global_' ~ name) }}
  WITH (KAFKA_TOPIC='opensea.global.{{ name | lower }}', VALUE_FORMAT='JSON', PARTITIONS=1, RETENTION_MS=-1) AS
  SELECT
    'all' AS scope,
    WINDOWSTART AS ws, WINDOWEND AS we,
    COUNT(*) AS events,                                  -- of every type
    {{ sums.columns() }}
  FROM {{ ref('events') }}
  {{ w.clause(window) }}
  GROUP BY 'all'
  EMIT CHANGES;
{%- endmacro %}

{# The statements that create the table of a window. #}
{% macro create(window) %}
-- The market, window of {{ window.size }}.
CREATE {{ table(window) }}

{{ changes.stream('global', window, '', 'events BIGINT, ' ~ sums.types) }}
{% endmacro %}

{# The statement that replaces the table of a window with the definition in this file. #}
{% macro replace(window) %}
CREATE OR REPLACE {{ table(window) }}
{% endmacro %}
