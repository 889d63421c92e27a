"""How ksqlDB's scalar functions are written in DuckDB.

``{0}``, ``{1}`` … are the arguments, ``{*}`` all of them. The notes say where the two differ.
"""

from __future__ import annotations

from opensea_metrics.core.quoting import text

# Java's String.trim takes off everything up to U+0020; DuckDB's trim only spaces.
_BLANKS = text("".join(chr(code) for code in range(1, 33)))

TEMPLATES: dict[str, str] = {
    "AS_VALUE": "{0}",
    "ARRAY_CONCAT": "CASE WHEN {0} IS NOT NULL OR {1} IS NOT NULL THEN list_concat({0}, {1}) END",
    # NULL may be looked for.
    "ARRAY_CONTAINS": "CASE WHEN {1} IS NULL THEN coalesce(len(list_filter({0}, lambda _e: _e IS NULL)) > 0,"
    " false) ELSE coalesce(list_contains({0}, {1}), false) END",
    # First occurrences in order; DuckDB's list_distinct keeps no order.
    "ARRAY_DISTINCT": "list_filter({0}, lambda _e, _i: list_position({0}, _e) = _i)",
    "ARRAY_LENGTH": "CAST(len({0}) AS INTEGER)",
    "CHR": "CASE WHEN {0} BETWEEN 0 AND 55295 OR {0} BETWEEN 57344 AND 1114111 THEN chr({0}) END",
    "COALESCE": "coalesce({*})",
    # Both leave NULLs out.
    "CONCAT": "concat({*})",
    "EXP": "exp({0})",
    # Observed: a JSON null gives the text 'null'.
    "EXTRACTJSONFIELD": "CASE WHEN json_valid({0}) THEN CASE WHEN json_type({0}, {1}) = 'NULL' THEN 'null'"
    " ELSE json_extract_string({0}, {1}) END END",
    "FROM_UNIXTIME": "make_timestamp_ms({0})",
    "GREATEST": "greatest({*})",
    "IFNULL": "coalesce({*})",
    "INSTR": "CASE WHEN {0} = '' THEN 0 ELSE CAST(instr({0}, {1}) AS INTEGER) END",
    "LCASE": "lower({0})",
    "LEAST": "least({*})",
    # Java counts UTF-16 units: a character beyond U+FFFF counts twice.
    "LEN": "CAST(length({0}) + length(regexp_replace({0}, '[^\\x{{10000}}-\\x{{10FFFF}}]', '', 'g'))"
    " AS INTEGER)",
    "LN": "ln({0})",
    "LPAD": "CASE WHEN {2} <> '' AND {1} >= 0 THEN lpad({0}, {1}, {2}) END",
    "NULLIF": "nullif({0}, {1})",
    "POWER": "pow(CAST({0} AS DOUBLE), {1})",
    # Java finds an empty text between all characters.
    "REPLACE": "CASE WHEN {1} = '' THEN regexp_replace({0}, '', replace({2}, '\\', '\\\\'), 'g')"
    " ELSE replace({0}, {1}, {2}) END",
    "RPAD": "CASE WHEN {2} <> '' AND {1} >= 0 THEN rpad({0}, {1}, {2}) END",
    "SIGN": "CAST(sign({0}) AS INTEGER)",
    # Observed: NULL when the array is shorter than the end (docs/ksqldb-facts.md, Expressions).
    "SLICE": "CASE WHEN {1} >= 1 AND {2} <= len({0}) THEN list_slice({0}, {1}, {2}) END",
    "SPLIT": "CASE WHEN {1} IS NOT NULL THEN string_split({0}, {1}) END",
    "SQRT": "sqrt({0})",
    "SUBSTRING": "substring_from({0}, {1})",
    "SUBSTRING OF LENGTH": "substring_java({0}, {1}, {2})",
    "TRIM": f"trim({{0}}, {_BLANKS})",
    "UCASE": "upper(replace({0}, 'ß', 'SS'))",
    "UNIX_TIMESTAMP": "epoch_ms({0})",
}

