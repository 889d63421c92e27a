"""How ksqlDB's scalar functions are written in DuckDB.

``{0}``, ``{1}`` … are the arguments, ``{*}`` all of them. The notes say where the two differ.
"""

from __future__ import annotations

# Java's String.trim takes off everything up to U+0020; DuckDB's trim only spaces.
_BLANKS = "".join(chr(code) for code in range(1, 33)).replace("'", "''")

TEMPLATES: dict[str, str] = {
    "ABS": "abs({0})",
    "AS_VALUE": "{0}",
    "ARRAY_CONCAT": "list_concat({0}, {1})",
    "ARRAY_CONTAINS": "list_contains({0}, {1})",
    # First occurrences in order; DuckDB's list_distinct keeps no order.
    "ARRAY_DISTINCT": "list_filter({0}, lambda e, i: list_position({0}, e) = i)",
    "ARRAY_LENGTH": "CAST(len({0}) AS INTEGER)",
    "CEIL": "ceil({0})",
    "CHR": "chr({0})",
    "COALESCE": "coalesce({*})",
    # Both leave NULLs out.
    "CONCAT": "concat({*})",
    "EXP": "exp({0})",
    "EXTRACTJSONFIELD": "CASE WHEN json_valid({0}) THEN json_extract_string({0}, {1}) END",
    "FLOOR": "floor({0})",
    "FROM_UNIXTIME": "make_timestamp_ms({0})",
    "GREATEST": "greatest({*})",
    "IFNULL": "coalesce({*})",
    "INSTR": "CAST(instr({0}, {1}) AS INTEGER)",
    "LCASE": "lower({0})",
    "LEAST": "least({*})",
    # Java counts UTF-16 units: a character beyond U+FFFF counts twice.
    "LEN": "CAST(length({0}) + length(regexp_replace({0}, '[^\\x{{10000}}-\\x{{10FFFF}}]', '', 'g'))"
    " AS INTEGER)",
    "LN": "ln({0})",
    "LPAD": "CASE WHEN {2} <> '' AND {1} >= 0 THEN lpad({0}, {1}, {2}) END",
    "NULLIF": "nullif({0}, {1})",
    "POWER": "pow(CAST({0} AS DOUBLE), {1})",
    "REPLACE": "replace({0}, {1}, {2})",
    "RPAD": "CASE WHEN {2} <> '' AND {1} >= 0 THEN rpad({0}, {1}, {2}) END",
    "SIGN": "CAST(sign({0}) AS INTEGER)",
    # Observed: NULL when the array is shorter than the end (shared/ksqldb-facts.md, section 4).
    "SLICE": "CASE WHEN {2} <= len({0}) THEN list_slice({0}, {1}, {2}) END",
    "SPLIT": "string_split({0}, {1})",
    "SQRT": "sqrt({0})",
    "SUBSTRING": "substring({0}, {1})",
    "TO_JSON_STRING": "CAST(to_json({0}) AS VARCHAR)",
    "TRIM": f"trim({{0}}, '{_BLANKS}')",
    "UCASE": "upper({0})",
    "UNIX_TIMESTAMP": "epoch_ms({0})",
}


def fill(template: str, arguments: list[str]) -> str:
    """The template with its arguments put in."""
    return template.replace("{*}", ", ".join(arguments)).format(*arguments)
