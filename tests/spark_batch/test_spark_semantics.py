"""Spark gives what a real ksqlDB gives: the expressions of tests/embedded/semantics, lowered for Spark.

Where it gives something else the case says so, under ``spark``.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from opensea_metrics.core.errors import SqlError
from opensea_metrics.core.quoting import spark_column as quoted
from opensea_metrics.core.types import spark as spark_type
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.catalog.inserts import insert_columns
from opensea_metrics.sql.language.lowering.spark import selects as spark_selects
from opensea_metrics.sql.language.lowering.spark.expressions import SparkLowering
from opensea_metrics.sql.language.lowering.spark.setup import register_functions
from opensea_metrics.sql.language.queries.resolution import analyse
from opensea_metrics.sql.language.queries.scope import Scope
from opensea_metrics.sql.language.statements.parser import parse_script
from opensea_metrics.sql.language.statements.statements import Kind
from tests.parts.yaml_files import read_yaml

FILE = Path(__file__).parents[1] / "embedded/semantics/scalars.yml"
CASES: Any = read_yaml(FILE)
AT_ONCE = 100
"""Expressions of one SELECT. Each query takes Spark some 50 ms of CPU time, whatever it computes."""


def lowered(catalog: Catalog, relation: str, expressions: Sequence[str]) -> str:
    """A query in Spark's SQL whose columns are the expressions. Raises SqlError if one is refused."""
    columns = ", ".join(
        f"{expression} AS v{number}" for number, expression in enumerate(expressions)
    )
    (statement,) = parse_script(f"SELECT {columns} FROM RUN_s;", "case")
    return spark_selects.rows(analyse(statement, statement.ast, dict(catalog.sources)), relation)


@pytest.fixture(scope="module")
def given(spark: Any) -> tuple[Catalog, str]:
    """The catalog, and the one row as a relation."""
    catalog = Catalog()
    rows = ""
    for number, text in enumerate(CASES["given"]):
        (statement,) = parse_script(text, "given")
        if statement.kind is not Kind.INSERT_VALUES:
            catalog = applied(catalog, statement, number)
            continue
        lowering = SparkLowering(Scope(statement, {}))
        values = {
            column.name: f"CAST({lowering.value(value)} AS {spark_type(column.type)})"
            for column, value in zip(
                insert_columns(catalog, statement), statement.ast.expressions, strict=True
            )
        }
        source = catalog.sources["RUN_S"]
        columns = [
            f"{values.get(c.name, f'CAST(NULL AS {spark_type(c.type)})')} AS {quoted(c.name)}"
            for c in source.columns
        ]
        rows = f"SELECT {', '.join(columns)}, {values['ROWTIME']} AS ROWTIME, CAST(0 AS BIGINT) AS _off"
    # From a table, not from constants: these would be computed by the optimizer.
    spark.sql(rows).cache().createOrReplaceTempView("given_row")
    return catalog, "SELECT * FROM given_row"


@pytest.fixture(scope="module")
def computed(spark: Any, given: tuple[Catalog, str]) -> dict[str, Any]:
    """What Spark gives for each expression, or the error."""
    catalog, relation = given
    values: dict[str, Any] = {}
    queries: dict[str, str] = {}
    for case in CASES["cases"]:
        expression = case["expression"]
        try:
            queries[expression] = lowered(catalog, relation, [expression])
        except SqlError as error:
            values[expression] = error
    register_functions(spark, " ".join(queries.values()))
    texts = list(queries)
    alone: list[str] = []
    for start in range(0, len(texts), AT_ONCE):
        some = texts[start : start + AT_ONCE]
        try:
            (row,) = spark.sql(lowered(catalog, relation, some)).collect()
            values |= dict(zip(some, row[: len(some)], strict=True))
        except Exception:
            alone += some
    for expression in alone:
        try:
            values[expression] = spark.sql(queries[expression]).collect()[0][0]
        except Exception as error:
            values[expression] = error
    return values


def plain(value: Any) -> Any:
    """A value of Spark's as the YAML has it."""
    if isinstance(value, datetime.datetime):
        return value.isoformat(timespec="milliseconds")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    if isinstance(value, decimal.Decimal):
        return float(value)
    if hasattr(value, "asDict"):
        return {key: plain(inner) for key, inner in value.asDict().items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    return value


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case["expression"]) for case in CASES["cases"]]
)
def test_expression(computed: dict[str, Any], case: Any) -> None:
    value = computed[case["expression"]]
    if "fails" in case:
        assert isinstance(value, SqlError)
        return
    if isinstance(value, SqlError):
        # Refused by name, as the embedded server does with it, or with what only Spark does not have.
        assert case.get("refused") or "not supported by recompute on Spark" in str(value), value
        return
    assert not isinstance(value, Exception), value
    expected = case.get("spark", case.get("embedded", case["value"]))
    if isinstance(expected, float):
        expected = pytest.approx(expected, rel=1e-15, abs=0)  # EXP, LN: the last bit
    assert plain(value) in (expected, case["value"])
