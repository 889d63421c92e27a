"""ksqlDB's scalar functions in each engine's SQL.

``{0}``, ``{1}`` … are the arguments, and ``{*}`` is all of them. Other braces are doubled.
:mod:`sql.language.lowering.calls` has the functions that no template can write.
"""

from __future__ import annotations

from typing import NamedTuple

from opensea_metrics.core.quoting import text

# Java's String.trim removes all characters up to U+0020. DuckDB's trim removes spaces only.
_BLANKS = [chr(code) for code in range(1, 33)]
_DUCKDB_BLANKS = text("".join(_BLANKS))
_SPARK_BLANKS = "".join(f"\\u{ord(blank):04x}" for blank in _BLANKS)
# Position 0 counts as 1, and a negative position counts from the end. DuckDB has macros for these.
_SPARK_SUBSTRING = (
    "substring({0}, CASE WHEN {1} > 0 THEN {1} WHEN {1} = 0 THEN 1"
    " WHEN char_length({0}) + {1} >= 0 THEN char_length({0}) + {1} + 1 WHEN {1} < 0 THEN 1 END"
)


class Template(NamedTuple):
    """A function in DuckDB's SQL and in Spark's. None if the engine cannot compute what ksqlDB computes."""

    duckdb: str | None
    spark: str | None


def _both(template: str) -> Template:
    return Template(template, template)


TEMPLATES: dict[str, Template] = {
    "ARRAY_CONCAT": Template(
        duckdb="CASE WHEN {0} IS NOT NULL OR {1} IS NOT NULL THEN list_concat({0}, {1}) END",
        spark="CASE WHEN {0} IS NOT NULL OR {1} IS NOT NULL"
        " THEN concat(coalesce({0}, array()), coalesce({1}, array())) END",
    ),
    # The value to search for may be NULL.
    "ARRAY_CONTAINS": Template(
        duckdb="CASE WHEN {1} IS NULL THEN coalesce(len(list_filter({0}, lambda _e: _e IS NULL)) > 0,"
        " false) ELSE coalesce(list_contains({0}, {1}), false) END",
        spark="coalesce(exists({0}, _e -> _e <=> {1}), false)",
    ),
    # DuckDB's list_distinct does not keep the order.
    "ARRAY_DISTINCT": Template(
        duckdb="list_filter({0}, lambda _e, _i: list_position({0}, _e) = _i)",
        spark="array_distinct({0})",
    ),
    "ARRAY_LENGTH": Template(
        duckdb="CAST(len({0}) AS INTEGER)",
        spark="CASE WHEN {0} IS NOT NULL THEN size({0}) END",
    ),
    "AS_VALUE": _both("{0}"),
    "CHR": Template(
        duckdb="CASE WHEN {0} BETWEEN 0 AND 55295 OR {0} BETWEEN 57344 AND 1114111 THEN chr({0}) END",
        spark=None,
    ),
    "COALESCE": _both("coalesce({*})"),
    # Both omit NULLs.
    "CONCAT": Template(
        duckdb="concat({*})",
        spark="concat_ws('', {*})",
    ),
    "EXP": _both("exp({0})"),
    # Observed: a JSON null returns the text 'null'.
    "EXTRACTJSONFIELD": Template(
        duckdb="CASE WHEN json_valid({0}) THEN CASE WHEN json_type({0}, {1}) = 'NULL' THEN 'null'"
        " ELSE json_extract_string({0}, {1}) END END",
        spark="CASE WHEN is_variant_null(try_variant_get(try_parse_json({0}), {1},"
        " 'variant')) THEN 'null' ELSE get_json_object({0}, {1}) END",
    ),
    "FROM_UNIXTIME": Template(
        duckdb="make_timestamp_ms({0})",
        spark="CAST(timestamp_millis({0}) AS TIMESTAMP_NTZ)",
    ),
    "GREATEST": _both("greatest({*})"),
    "IFNULL": _both("coalesce({*})"),
    "INSTR": Template(
        duckdb="CASE WHEN {0} = '' THEN 0 ELSE CAST(instr({0}, {1}) AS INTEGER) END",
        spark="CASE WHEN {0} = '' THEN 0 ELSE instr({0}, {1}) END",
    ),
    "LCASE": _both("lower({0})"),
    "LEAST": _both("least({*})"),
    # Java counts UTF-16 units, so a character beyond U+FFFF counts twice.
    "LEN": Template(
        duckdb="CAST(length({0}) + length(regexp_replace({0}, '[^\\x{{10000}}-\\x{{10FFFF}}]', '', 'g'))"
        " AS INTEGER)",
        spark="(char_length({0}) + char_length(regexp_replace({0}, r'[^\\x{{10000}}-\\x{{10FFFF}}]', '')))",
    ),
    "LN": Template(
        duckdb="ln({0})",
        spark=None,
    ),
    "LPAD": _both("CASE WHEN {2} <> '' AND {1} >= 0 THEN lpad({0}, {1}, {2}) END"),
    "NULLIF": _both("nullif({0}, {1})"),
    "POWER": Template(
        duckdb="pow(CAST({0} AS DOUBLE), {1})",
        spark="power(CAST({0} AS DOUBLE), {1})",
    ),
    # Java finds an empty text between all characters.
    "REPLACE": Template(
        duckdb="CASE WHEN {1} = '' THEN regexp_replace({0}, '', replace({2}, '\\', '\\\\'), 'g')"
        " ELSE replace({0}, {1}, {2}) END",
        spark=None,
    ),
    "RPAD": _both("CASE WHEN {2} <> '' AND {1} >= 0 THEN rpad({0}, {1}, {2}) END"),
    "SIGN": Template(
        duckdb="CAST(sign({0}) AS INTEGER)",
        spark="CAST(sign({0}) AS INT)",
    ),
    # Observed: NULL if the array is shorter than the end (docs/ksqldb-facts.md, Expressions).
    "SLICE": Template(
        duckdb="CASE WHEN {1} >= 1 AND {2} <= len({0}) THEN list_slice({0}, {1}, {2}) END",
        spark="CASE WHEN {1} >= 1 AND {2} <= size({0}) THEN slice({0}, {1}, greatest({2} - {1} + 1, 0)) END",
    ),
    "SPLIT": Template(
        duckdb="CASE WHEN {1} IS NOT NULL THEN string_split({0}, {1}) END",
        spark="CASE WHEN {1} = '' THEN split({0}, '') ELSE split({0}, concat(r'\\Q', {1}, r'\\E'), -1) END",
    ),
    "SQRT": _both("sqrt({0})"),
    "SUBSTRING": Template(
        duckdb="substring_from({0}, {1})",
        spark=_SPARK_SUBSTRING + ")",
    ),
    "SUBSTRING OF LENGTH": Template(
        duckdb="substring_java({0}, {1}, {2})",
        spark=_SPARK_SUBSTRING + ", CASE WHEN {2} > 0 THEN {2} WHEN {2} <= 0 THEN 0 END)",
    ),
    "TRIM": Template(
        duckdb=f"trim({{0}}, {_DUCKDB_BLANKS})",
        spark=f"trim(BOTH '{_SPARK_BLANKS}' FROM {{0}})",
    ),
    "UCASE": Template(
        duckdb="upper(replace({0}, 'ß', 'SS'))",
        spark="upper({0})",
    ),
    "UNIX_TIMESTAMP": Template(
        duckdb="epoch_ms({0})",
        spark="unix_millis(CAST({0} AS TIMESTAMP))",
    ),
}
DUCKDB: dict[str, str] = {name: template.duckdb for name, template in TEMPLATES.items() if template.duckdb is not None}
SPARK: dict[str, str] = {name: template.spark for name, template in TEMPLATES.items() if template.spark is not None}
