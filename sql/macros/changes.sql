{# The streams of changes that follow every table. #}
{% import 'windows.sql' as w with context %}

{# The stream of a table's changes. `table` is the table's name without its window. `keys` and `columns` are
   columns with their types; `keys` may be ''. Every table also has the columns WS and WE, between these two. #}
{% macro stream(table, window, keys, columns) -%}
CREATE STREAM {{ table }}_{{ w.suffix(window) }}_changes (
  {{ keys }}{{ ', ' if keys }}ws BIGINT, we BIGINT, {{ columns }})
  WITH (KAFKA_TOPIC='opensea.{{ table }}.{{ w.suffix(window) | lower }}', VALUE_FORMAT='JSON', TIMESTAMP='ws');
{%- endmacro %}

{# The type of a top list: what TOP_BY_KEY returns. #}
{% macro top_list() -%}
ARRAY<STRUCT<key VARCHAR, value DOUBLE, detail VARCHAR>>
{%- endmacro %}
