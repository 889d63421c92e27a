{# One long-form row for each metric, out of one wide row. #}
{% import 'windows.sql' as w with context %}

{# An array of rows of a table's own columns; `metrics` maps metric names to columns. #}
{% macro rows(metrics, window) -%}
ARRAY[
{%- for metric, column in metrics.items() %}

      STRUCT(metric := {{ w.metric(metric, window) }}, value := CAST({{ column }} AS DOUBLE)){{ ',' if not loop.last }}
{%- endfor %}]
{%- endmacro %}

{# An array of rows of a top list, for each metric one row an entry; `metrics` maps metric names to
   (list, value), the value in terms of the entry `x`. #}
{% macro top_rows(metrics, window) -%}
{% for metric, list, value in metrics[1:] %}ARRAY_CONCAT({% endfor %}
{%- for metric, list, value in metrics %}
{{ ', ' if not loop.first }}TRANSFORM({{ list }}, x => STRUCT(
        metric := {{ w.metric(metric, window) }}, k := x->key, value := {{ value }}, detail := x->detail))
{{- ')' if not loop.first }}
{%- endfor %}
{%- endmacro %}

{# A number in a top entry's detail. #}
{% macro number(field) -%}
CAST(EXTRACTJSONFIELD(x->detail, '$.{{ field }}') AS DOUBLE)
{%- endmacro %}

{# A text in the details of exploded top entries: EXTRACTJSONFIELD makes 'null' of a JSON null. #}
{% macro text(rows, field) -%}
NULLIF(EXTRACTJSONFIELD(EXPLODE({{ rows }})->detail, '$.{{ field }}'), 'null')
{%- endmacro %}
