{# Names and clauses of windows, so that no statement is written once per window. #}

{# suffix({size: 30 SECONDS}) → 30_SECONDS; with a slide of 10 SECONDS → 30_SECONDS_BY_10_SECONDS. A window
   may have a name to go by instead of its size: recompute gives ALL TIME to the one of a whole period. #}
{% macro suffix(window) -%}
{{ window.name | default(window.size) | replace(' ', '_') | upper }}
{%- if window.slide is defined %}_BY_{{ window.slide | replace(' ', '_') | upper }}{% endif %}
{%- endmacro %}

{# The WINDOW clause of a table over events. #}
{% macro clause(window) -%}
{% if window.slide is defined -%}
WINDOW HOPPING (SIZE {{ window.size }}, ADVANCE BY {{ window.slide }}, RETENTION {{ retention }}, GRACE PERIOD {{ grace }})
{%- else -%}
WINDOW TUMBLING (SIZE {{ window.size }}, RETENTION {{ retention }}, GRACE PERIOD {{ grace }})
{%- endif %}
{%- endmacro %}

{# The WINDOW clause of a table over the changes of another windowed table. A change carries its
   window's start as its time and belongs to that one window: tumbling by the advance keeps it there. #}
{% macro changes_clause(window) -%}
WINDOW TUMBLING (SIZE {{ window.slide if window.slide is defined else window.size }}, RETENTION {{ retention }}, GRACE PERIOD {{ grace }})
{%- endmacro %}

{# Metric names of the long form end like the predecessor's: <metric>__30_seconds. #}
{% macro metric(name, window) -%}
'{{ name }}__{{ suffix(window) | lower }}'
{%- endmacro %}
