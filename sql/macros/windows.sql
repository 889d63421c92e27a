{# Names and clauses of windows. With them, one statement in a migration serves every window. #}

{# The part of a name that stands for the window: {size: 30 SECONDS} → 30_SECONDS.
   With a slide of 10 SECONDS → 30_SECONDS_BY_10_SECONDS. If a window has a name, the name replaces its size.
   recompute names the window of a whole period ALL TIME. #}
{% macro suffix(window) -%}
{{ window.name | default(window.size) | replace(' ', '_') | upper }}
{%- if window.slide is defined %}_BY_{{ window.slide | replace(' ', '_') | upper }}{% endif %}
{%- endmacro %}

{# The WINDOW clause of a table that aggregates events. #}
{% macro clause(window) -%}
{% if window.slide is defined -%}
WINDOW HOPPING (SIZE {{ window.size }}, ADVANCE BY {{ window.slide }}, RETENTION {{ window.retention | default(retention) }}, GRACE PERIOD {{ grace }})
{%- else -%}
WINDOW TUMBLING (SIZE {{ window.size }}, RETENTION {{ window.retention | default(retention) }}, GRACE PERIOD {{ grace }})
{%- endif %}
{%- endmacro %}

{# The WINDOW clause of a table that aggregates the changes of another windowed table. A change has the
   start of its window as its time, and belongs to that window only. A tumbling window of the size of the
   advance keeps it there. #}
{% macro changes_clause(window) -%}
WINDOW TUMBLING (SIZE {{ window.slide if window.slide is defined else window.size }}, RETENTION {{ window.retention | default(retention) }}, GRACE PERIOD {{ grace }})
{%- endmacro %}

{# A metric's name in the long form. It ends like the predecessor's: <metric>__30_seconds. #}
{% macro metric(name, window) -%}
'{{ name }}__{{ suffix(window) | lower }}'
{%- endmacro %}
