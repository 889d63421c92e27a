{# Turns one wide row into one long-form row for each metric. #}
{% import 'windows.sql' as w with context %}

{# An array of long-form rows from a table's columns. `metrics` maps metric names to columns. #}
{% macro rows(metrics, window) -%}
ARRAY[
{%- for metric, column in metrics.items() %}

      STRUCT(metric := {{ w.metric(metric, window) }}, value := CAST({{ column }} AS DOUBLE)){{ ',' if not loop.last }}
{%- endfor %}]
{%- endmacro %}

{# An array of long-form rows from top lists: one row for each metric and entry of its list. `metrics` is
   a list of (metric, list, value). `value` is an expression over the entry `x`. #}
{% macro top_rows(metrics, window) -%}
{% for metric, list, value in metrics[1:] %}ARRAY_CONCAT({% endfor %}
{%- for metric, list, value in metrics %}
{{ ', ' if not loop.first }}TRANSFORM({{ list }}, x => STRUCT(
        metric := {{ w.metric(metric, window) }}, k := x->key, value := {{ value }}, detail := x->detail))
{{- ')' if not loop.first }}
{%- endfor %}
{%- endmacro %}

{# A number from the detail of the top-list entry `x`. #}
{% macro number(field) -%}
CAST(EXTRACTJSONFIELD(x->detail, '$.{{ field }}') AS DOUBLE)
{%- endmacro %}

{# A text from the detail of an exploded top-list entry. EXTRACTJSONFIELD returns the text 'null' for a JSON
   null, and NULLIF turns that text into NULL. #}
{% macro text(rows, field) -%}
NULLIF(EXTRACTJSONFIELD(EXPLODE({{ rows }})->detail, '$.{{ field }}'), 'null')
{%- endmacro %}
