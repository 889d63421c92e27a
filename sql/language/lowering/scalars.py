"""ksqlDB's scalar functions in each engine's SQL.

``{0}``, ``{1}`` … are the arguments, and ``{*}`` is all of them. Other braces are doubled.
:mod:`sql.language.lowering.calls` has the functions that no template can write.
"""

from __future__ import annotations

from opensea_metrics.core.quoting import text
from opensea_metrics.sql.language.lowering.collections import COLLECTIONS
from opensea_metrics.sql.language.lowering.mathematics import MATHEMATICS
from opensea_metrics.sql.language.lowering.records.exact_scalars import MILLISECONDS
from opensea_metrics.sql.language.lowering.spark import units
from opensea_metrics.sql.language.lowering.template import Template
from opensea_metrics.sql.language.lowering.template import both as _both

# Java's String.trim removes all characters up to U+0020. DuckDB's trim removes spaces only.
_BLANKS = [chr(code) for code in range(1, 33)]
_DUCKDB_BLANKS = text("".join(_BLANKS))
_SPARK_BLANKS = "".join(f"\\u{ord(blank):04x}" for blank in _BLANKS)
_IS_TIMESTAMP = f"{{0}} BETWEEN -{MILLISECONDS} AND {MILLISECONDS}"


TEMPLATES: dict[str, Template] = {
    **COLLECTIONS,
    **MATHEMATICS,
    "CHR": Template(
        duckdb="CASE WHEN {0} BETWEEN 0 AND 55295 OR {0} BETWEEN 57344 AND 1114111 THEN chr({0}) END",
        spark="CASE WHEN {0} BETWEEN 0 AND 55295 OR {0} BETWEEN 57344 AND 1114111"
        " THEN decode(unhex(lpad(hex({0}), 8, '0')), 'UTF-32') END",
    ),
    "COALESCE": _both("coalesce({*})"),
    # Both engines' functions omit NULLs.
    "CONCAT": Template(
        duckdb="concat({*})",
        spark="concat_ws('', {*})",
    ),
    "CONCAT_WS": _both("concat_ws({*})"),
    "FROM_DAYS": Template(
        duckdb="CASE WHEN {0} BETWEEN -2147483646 AND 2147483646 THEN DATE '1970-01-01' + {0} END",
        spark="date_from_unix_date({0})",
    ),
    "FROM_UNIXTIME": Template(
        duckdb=f"CASE WHEN {_IS_TIMESTAMP} THEN make_timestamp_ms({{0}}) END",
        spark=f"CASE WHEN {_IS_TIMESTAMP} THEN CAST(timestamp_millis({{0}}) AS TIMESTAMP_NTZ) END",
    ),
    "GREATEST": Template(duckdb="greatest({*})", spark="greatest({0}, {*})"),  # Spark needs two arguments
    "IFNULL": _both("coalesce({*})"),
    "INSTR": Template(
        duckdb="CASE WHEN {0} = '' THEN 0 ELSE CAST(instr({0}, {1}) AS INTEGER) END",
        spark=units.INSTR,
    ),
    "LCASE": _both("lower({0})"),
    "LEAST": Template(duckdb="least({*})", spark="least({0}, {*})"),
    # Java counts UTF-16 units, so a character beyond U+FFFF counts twice.
    "LEN": Template(
        duckdb="CAST(length({0}) + length(regexp_replace({0}, '[^\\x{{10000}}-\\x{{10FFFF}}]', '', 'g'))"
        " AS INTEGER)",
        spark="(char_length({0}) + char_length(regexp_replace({0}, r'[^\\x{{10000}}-\\x{{10FFFF}}]', '')))",
    ),
    "LEN OF BYTES": Template(
        duckdb="CAST(octet_length({0}) AS INTEGER)",
        spark="octet_length({0})",
    ),
    "LPAD": Template(
        duckdb="CASE WHEN {2} <> '' AND {1} >= 0 THEN lpad({0}, {1}, {2}) END",
        spark=units.LPAD,
    ),
    "MD5": _both("md5({0})"),
    "NULLIF": _both("nullif({0}, {1})"),
    # Java finds an empty text between all characters.
    "REPLACE": Template(
        duckdb="CASE WHEN {1} = '' THEN regexp_replace({0}, '', replace({2}, '\\', '\\\\'), 'g')"
        " ELSE replace({0}, {1}, {2}) END",
        spark="CASE WHEN {1} <> '' THEN replace({0}, {1}, {2}) WHEN {1} = '' AND {0} = '' THEN {2}"
        f" WHEN {{1}} = '' THEN concat({{2}}, array_join({units.CHARACTERS}, {{2}}), {{2}}) END",
    ),
    "RPAD": Template(
        duckdb="CASE WHEN {2} <> '' AND {1} >= 0 THEN rpad({0}, {1}, {2}) END",
        spark=units.RPAD,
    ),
    "SPLIT": Template(
        duckdb="CASE WHEN {0} = '' AND {1} = '' THEN [''] WHEN {1} IS NOT NULL THEN string_split({0}, {1}) END",
        spark="CASE WHEN {0} = '' AND {1} = '' THEN array('') WHEN {1} = '' THEN"
        f" {units.CHARACTERS} ELSE split({{0}}, concat(r'\\Q', {{1}}, r'\\E'), -1) END",
    ),
    "SUBSTRING": Template(
        duckdb="substring_from({0}, {1})",
        spark=units.SUBSTRING,
    ),
    "SUBSTRING OF LENGTH": Template(
        duckdb="substring_java({0}, {1}, {2})",
        spark=units.SUBSTRING_OF_LENGTH,
    ),
    "RANDOM()": Template(duckdb="random()", spark="rand()"),
    "TRIM": Template(
        duckdb=f"trim({{0}}, {_DUCKDB_BLANKS})",
        spark=f"trim(BOTH '{_SPARK_BLANKS}' FROM {{0}})",
    ),
    "UCASE": _both("upper({0})"),
    "UNIX_DATE": Template(
        duckdb="CAST({0} - DATE '1970-01-01' AS INTEGER)",
        spark="unix_date({0})",
    ),
    "UNIX_DATE()": Template(
        duckdb="CAST(current_date - DATE '1970-01-01' AS INTEGER)",
        spark="unix_date(current_date())",
    ),
    "UNIX_TIMESTAMP()": Template(
        duckdb="epoch_ms(current_timestamp)",
        spark="unix_millis(current_timestamp())",
    ),
    "UUID()": Template(duckdb="CAST(uuid() AS VARCHAR)", spark="uuid()"),
    "UNIX_TIMESTAMP": Template(
        duckdb="epoch_ms({0})",
        spark="unix_millis(CAST({0} AS TIMESTAMP))",
    ),
}
DUCKDB: dict[str, str] = {name: template.duckdb for name, template in TEMPLATES.items() if template.duckdb is not None}
SPARK: dict[str, str] = {name: template.spark for name, template in TEMPLATES.items() if template.spark is not None}
