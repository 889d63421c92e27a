{# The part of a name that stands for a window: {size: 1 MINUTE} → 1_MINUTE. recompute names a whole period ALL TIME. #}
{% macro suffix(window) -%}
{{ window.name | default(window.size) | replace(' ', '_') | upper }}
{%- if window.slide is defined %}_BY_{{ window.slide | replace(' ', '_') | upper }}{% endif %}
{%- endmacro %}

{# The WINDOW clause of a table. #}
{% macro clause(window) -%}
{% if window.slide is defined -%}
WINDOW HOPPING (SIZE {{ window.size }}, ADVANCE BY {{ window.slide }}, RETENTION {{ window.retention | default(retention) }}, GRACE PERIOD {{ grace }})
{%- else -%}
WINDOW TUMBLING (SIZE {{ window.size }}, RETENTION {{ window.retention | default(retention) }}, GRACE PERIOD {{ grace }})
{%- endif %}
{%- endmacro %}
