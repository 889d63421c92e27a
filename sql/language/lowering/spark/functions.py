"""How ksqlDB's scalar functions are written in Spark's SQL (ANSI mode off, time zone UTC).

``{0}``, ``{1}`` … are the arguments, ``{*}`` all of them. The notes say where the two differ.
"""

from __future__ import annotations

# Java's String.trim takes off everything up to U+0020.
_BLANKS = "".join(f"\\u{code:04x}" for code in range(1, 33))


_SUBSTRING = (
    "substring({0}, CASE WHEN {1} > 0 THEN {1} WHEN {1} = 0 THEN 1"
    " WHEN char_length({0}) + {1} >= 0 THEN char_length({0}) + {1} + 1 WHEN {1} < 0 THEN 1 END"
)

TEMPLATES: dict[str, str] = {
    "AS_VALUE": "{0}",
    "ARRAY_CONCAT": "CASE WHEN {0} IS NOT NULL OR {1} IS NOT NULL"
    " THEN concat(coalesce({0}, array()), coalesce({1}, array())) END",
    # NULL may be looked for.
    "ARRAY_CONTAINS": "coalesce(exists({0}, _e -> _e <=> {1}), false)",
    "ARRAY_DISTINCT": "array_distinct({0})",
    "ARRAY_LENGTH": "CASE WHEN {0} IS NOT NULL THEN size({0}) END",
    "COALESCE": "coalesce({*})",
    # Both leave NULLs out.
    "CONCAT": "concat_ws('', {*})",
    "EXP": "exp({0})",
    # Observed: a JSON null gives the text 'null'.
    "EXTRACTJSONFIELD": "CASE WHEN is_variant_null(try_variant_get(try_parse_json({0}), {1},"
    " 'variant')) THEN 'null' ELSE get_json_object({0}, {1}) END",
    "FROM_UNIXTIME": "CAST(timestamp_millis({0}) AS TIMESTAMP_NTZ)",
    "GREATEST": "greatest({*})",
    "IFNULL": "coalesce({*})",
    "INSTR": "CASE WHEN {0} = '' THEN 0 ELSE instr({0}, {1}) END",
    "LCASE": "lower({0})",
    "LEAST": "least({*})",
    # Java counts UTF-16 units: a character beyond U+FFFF counts twice.
    "LEN": "(char_length({0}) + char_length(regexp_replace({0}, r'[^\\x{{10000}}-\\x{{10FFFF}}]', '')))",
    "LPAD": "CASE WHEN {2} <> '' AND {1} >= 0 THEN lpad({0}, {1}, {2}) END",
    "NULLIF": "nullif({0}, {1})",
    "POWER": "power(CAST({0} AS DOUBLE), {1})",
    "RPAD": "CASE WHEN {2} <> '' AND {1} >= 0 THEN rpad({0}, {1}, {2}) END",
    "SIGN": "CAST(sign({0}) AS INT)",
    # Observed: NULL when the array is shorter than the end (docs/ksqldb-facts.md, Expressions).
    "SLICE": "CASE WHEN {1} >= 1 AND {2} <= size({0}) THEN slice({0}, {1}, greatest({2} - {1} + 1, 0)) END",
    "SPLIT": "CASE WHEN {1} = '' THEN split({0}, '') ELSE split({0}, concat(r'\\Q', {1}, r'\\E'), -1) END",
    "SQRT": "sqrt({0})",
    "SUBSTRING": _SUBSTRING + ")",
    "SUBSTRING OF LENGTH": _SUBSTRING + ", CASE WHEN {2} > 0 THEN {2} WHEN {2} <= 0 THEN 0 END)",
    # Spark takes no scalars: so it is a field, which is taken out of its braces.
    "TO_JSON_STRING": "regexp_extract(to_json(named_struct('v', {0}), map('ignoreNullFields', 'false')),"
    " '(?s)^.{{5}}(.*).$', 1)",
    "TRIM": f"trim(BOTH '{_BLANKS}' FROM {{0}})",
    "UCASE": "upper({0})",
    "UNIX_TIMESTAMP": "unix_millis(CAST({0} AS TIMESTAMP))",
}
