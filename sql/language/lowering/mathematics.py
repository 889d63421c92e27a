"""How each engine writes the functions of DOUBLEs, for :mod:`.scalars`.

Angles are radians. For DuckDB, Python computes CBRT and COSH with Java's steps, because DuckDB's own CBRT(27) is not 3.
The last digit of other functions may differ from Java's, because Java does not specify the last digit.
"""

from __future__ import annotations

from opensea_metrics.sql.language.lowering.template import Template, both

_SPARK_NAN, _SPARK_INFINITY = "double('NaN')", "double('-Infinity')"


def _logarithm(nan: str, infinity: str) -> str:
    """DuckDB's and Spark's own give an error or NULL where Java gives -Infinity or NaN."""
    return f"CASE WHEN {{0}} > 0 THEN ln({{0}}) WHEN {{0}} = 0 THEN {infinity} WHEN {{0}} IS NOT NULL THEN {nan} END"


def _of_base(nan: str, infinity: str) -> str:
    return (
        f"CASE WHEN {{0}} IS NULL OR {{1}} IS NULL THEN NULL WHEN {{0}} <= 0 OR {{0}} = 1 OR {{1}} < 0 THEN {nan}"
        f" WHEN {{1}} = 0 THEN {infinity} / ln({{0}}) ELSE ln({{1}}) / ln({{0}}) END"
    )


_DUCKDB_NAN, _DUCKDB_INFINITY = "'NaN'::DOUBLE", "'-Infinity'::DOUBLE"


def _limited(name: str) -> Template:
    """ACOS and ASIN are errors in DuckDB for what is no sine."""
    return Template(
        duckdb=f"CASE WHEN abs({{0}}) <= 1 THEN {name}({{0}}) WHEN {{0}} IS NOT NULL THEN {_DUCKDB_NAN} END",
        spark=f"{name}({{0}})",
    )


MATHEMATICS: dict[str, Template] = {
    "ACOS": _limited("acos"),
    "ASIN": _limited("asin"),
    "ATAN": both("atan({0})"),
    "ATAN2": both("atan2({0}, {1})"),
    "CBRT": Template(duckdb='"KSQL_CBRT"(CAST({0} AS DOUBLE))', spark="cbrt({0})"),
    "COS": both("cos({0})"),
    "COSH": Template(duckdb='"KSQL_COSH"(CAST({0} AS DOUBLE))', spark="cosh({0})"),
    "COT": Template(duckdb="(1E0 / tan({0}))", spark="cot({0})"),
    "DEGREES": both("degrees({0})"),
    "EXP": both("exp({0})"),
    "LN": Template(
        duckdb=_logarithm(_DUCKDB_NAN, _DUCKDB_INFINITY), spark=_logarithm(_SPARK_NAN, _SPARK_INFINITY)
    ),
    "LOG": Template(
        duckdb=_logarithm(_DUCKDB_NAN, _DUCKDB_INFINITY), spark=_logarithm(_SPARK_NAN, _SPARK_INFINITY)
    ),
    "LOG OF BASE": Template(
        duckdb=_of_base(_DUCKDB_NAN, _DUCKDB_INFINITY), spark=_of_base(_SPARK_NAN, _SPARK_INFINITY)
    ),
    "PI": both("pi()"),
    "POWER": Template(
        duckdb="pow(CAST({0} AS DOUBLE), {1})",
        spark="power(CAST({0} AS DOUBLE), {1})",
    ),
    "RADIANS": both("radians({0})"),
    "SIGN": Template(
        duckdb="CAST(sign({0}) AS INTEGER)",
        spark="CAST(sign({0}) AS INT)",
    ),
    "SIN": both("sin({0})"),
    "SINH": both("sinh({0})"),
    "SQRT": both("sqrt({0})"),
    "TAN": both("tan({0})"),
    "TANH": both("tanh({0})"),
}
