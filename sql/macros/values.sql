{# These macros convert text from outside to numbers. Text that is not a valid number becomes NULL on every
   engine. Plain casts do not: the engines differ on '1e400', ' 1', '1d' and 'NaN'. #}

{# A whole number of at most 18 digits, possibly negative → BIGINT. #}
{% macro whole(text) -%}
CAST(REGEXP_EXTRACT('^-?[0-9]{1,18}$', {{ text }}) AS BIGINT)
{%- endmacro %}

{# A token's number of decimals, 0 to 99 → INTEGER. #}
{% macro decimals(text) -%}
CAST(REGEXP_EXTRACT('^[0-9]{1,2}$', {{ text }}) AS INTEGER)
{%- endmacro %}

{# An amount in a token's base units, such as wei → DOUBLE. It has at most 78 digits, as many as 2^256. #}
{% macro base_units(text) -%}
CAST(REGEXP_EXTRACT('^[0-9]{1,78}$', {{ text }}) AS DOUBLE)
{%- endmacro %}

{# An exchange rate such as 2493.1 → DOUBLE. #}
{% macro rate(text) -%}
CAST(REGEXP_EXTRACT('^[0-9]{1,20}([.][0-9]{1,30})?$', {{ text }}) AS DOUBLE)
{%- endmacro %}
