"""Spark's aggregates give what a real ksqlDB gives: tables of tests/embedded/semantics, lowered for Spark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from opensea_metrics.core.types import spark as spark_type
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.catalog.inserts import insert_columns
from opensea_metrics.sql.language.lowering.spark import selects as spark_selects
from opensea_metrics.sql.language.lowering.spark.expressions import SparkLowering
from opensea_metrics.sql.language.lowering.spark.setup import register_functions
from opensea_metrics.sql.language.queries.resolution import analyse
from opensea_metrics.sql.language.queries.scope import Scope
from opensea_metrics.sql.language.statements.parser import parse_statement
from tests.parts.yaml_files import read_yaml
from tests.spark_batch.test_spark_semantics import plain

FILE = Path(__file__).parents[1] / "embedded/semantics/tables.yml"
TABLES: Any = read_yaml(FILE)
NAMES = (
    "correlation of columns", "standard deviation", "the only value", "the greatest rows", "histogram",
    "functions in having", "combinations", "two lists of combinations",
)  # fmt: skip


@pytest.fixture(scope="module")
def given(spark: Any) -> Catalog:
    """The catalog. The rows are a view."""
    declaration, *inserts = TABLES["given"]
    catalog = applied(Catalog(), parse_statement(declaration), 0)
    source = catalog.sources["RUN_S"]
    rows = []
    for offset, text in enumerate(inserts):
        statement = parse_statement(text)
        lowering = SparkLowering(Scope(statement, {}))
        columns = insert_columns(catalog, statement)
        values = dict.fromkeys((column.name for column in source.columns), "NULL")
        values |= {
            column.name: lowering.value(value)
            for column, value in zip(columns, statement.ast.expressions, strict=True)
        }
        written = [f"CAST({values[c.name]} AS {spark_type(c.type)}) AS `{c.name}`" for c in source.columns]
        rows.append(f"SELECT {', '.join(written)}, {values['T']} AS ROWTIME, CAST({offset} AS BIGINT) AS _off")
    spark.sql(" UNION ALL ".join(rows)).cache().createOrReplaceTempView("given_rows")
    return catalog


@pytest.mark.parametrize("case", [pytest.param(c, id=c["name"]) for c in TABLES["cases"] if c["name"] in NAMES])
def test_rows(spark: Any, given: Catalog, case: dict[str, Any]) -> None:
    statement = parse_statement(f"{case.get('table') or case['stream']};")
    analysis = analyse(statement, statement.ast, dict(given.sources))
    write = spark_selects.grouped if analysis.is_aggregation else spark_selects.rows
    query = write(analysis, "SELECT * FROM given_rows")
    register_functions(spark, query)
    count = len(analysis.projections)
    rows = [[plain(value) for value in row[:count]] for row in spark.sql(query).collect()]
    assert sorted(map(rounded, rows), key=str) == sorted(map(rounded, case["rows"]), key=str)


def rounded(value: Any) -> Any:
    """A value whose numbers have 12 digits: Spark's last bits differ."""
    if isinstance(value, list):
        return [rounded(member) for member in value]
    return float(f"{value:.12g}") if isinstance(value, float) else value
