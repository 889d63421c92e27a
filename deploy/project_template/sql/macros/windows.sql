{# The part of a name that stands for a window: 1 MINUTE → 1_MINUTE. #}
{% macro suffix(size) -%}
{{ size | replace(' ', '_') | upper }}
{%- endmacro %}

{# The WINDOW clause of a table. #}
{% macro clause(size) -%}
WINDOW TUMBLING (SIZE {{ size }}, RETENTION {{ retention }}, GRACE PERIOD {{ grace }})
{%- endmacro %}
