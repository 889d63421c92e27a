{# Text from outside → numbers. Whatever does not look like the number it should be is NULL, on every
   engine alike: the engines' own casts differ on '1e400', ' 1', '1d', 'NaN'. #}

{# A whole number of at most 18 digits, maybe negative → BIGINT. #}
{% macro whole(text) -%}
CAST(REGEXP_EXTRACT('^-?[0-9]{1,18}$', {{ text }}) AS BIGINT)
{%- endmacro %}

{# A token's decimals: 0 to 99 → INTEGER. #}
{% macro decimals(text) -%}
CAST(REGEXP_EXTRACT('^[0-9]{1,2}$', {{ text }}) AS INTEGER)
{%- endmacro %}

{# An amount in a token's base units (wei): up to 78 digits, as 2^256 has → DOUBLE. #}
{% macro base_units(text) -%}
CAST(REGEXP_EXTRACT('^[0-9]{1,78}$', {{ text }}) AS DOUBLE)
{%- endmacro %}

{# A rate such as 2493.1 → DOUBLE. #}
{% macro rate(text) -%}
CAST(REGEXP_EXTRACT('^[0-9]{1,20}([.][0-9]{1,30})?$', {{ text }}) AS DOUBLE)
{%- endmacro %}
