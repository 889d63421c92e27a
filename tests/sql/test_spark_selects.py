"""What Spark computes of a row only where it is asked for."""

from __future__ import annotations

import pytest

from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.lowering.spark import selects as spark_selects
from opensea_metrics.sql.language.queries.resolution import analyse
from opensea_metrics.sql.language.statements.parser import parse_script

STREAM = (
    "CREATE STREAM raw (kind VARCHAR, price VARCHAR, rate VARCHAR)"
    " WITH (KAFKA_TOPIC='raw', VALUE_FORMAT='JSON', PARTITIONS=1);"
)
CAST = "translate(`PRICE`"
"""How a cast of PRICE begins, but for what is dear."""


def written(selected: str) -> str:
    (stream,) = parse_script(STREAM, "test")
    catalog = applied(Catalog(), stream, 0)
    (statement,) = parse_script(f"SELECT {selected} FROM raw EMIT CHANGES;", "test")
    analysis = analyse(statement, statement.ast, dict(catalog.sources))
    return spark_selects.rows(analysis, "SELECT * FROM raw")


@pytest.mark.parametrize(
    ("selected", "guard"),
    [
        ("CASE WHEN kind = 'a' THEN CAST(price AS DOUBLE) END AS x", "(`KIND` = 'a')"),
        (
            "CASE WHEN kind = 'a' THEN CAST(price AS DOUBLE) / 2 END AS x,"
            " CASE WHEN kind = 'a' THEN CAST(price AS DOUBLE) * CAST(rate AS DOUBLE) END AS y",
            "(`KIND` = 'a')",
        ),
        # asked for in other rows as well
        ("CASE WHEN kind = 'a' THEN CAST(price AS DOUBLE) END AS x, CAST(price AS DOUBLE) AS y", None),
        ("CASE WHEN kind = 'a' THEN 0E0 ELSE CAST(price AS DOUBLE) END AS x", None),
        ("CASE WHEN CAST(price AS DOUBLE) > 1 THEN 1 END AS x", None),
        (
            "CASE WHEN kind = 'a' THEN CAST(price AS DOUBLE) END AS x,"
            " CASE WHEN kind = 'b' THEN CAST(price AS DOUBLE) END AS y",
            None,
        ),
    ],
)
def test_a_branch_is_computed_where_its_condition_holds(selected: str, guard: str | None) -> None:
    sql = written(selected)
    assert CAST in sql
    if guard:
        assert f"CASE WHEN {guard} THEN CASE WHEN {CAST}" in sql
    else:
        assert f"THEN CASE WHEN {CAST}" not in sql


def test_a_condition_that_is_dear_is_computed_before_its_branch() -> None:
    sql = written("CASE WHEN CAST(rate AS DOUBLE) > 1 THEN CAST(price AS DOUBLE) END AS x")
    rate, price = sql.index("translate(`RATE`"), sql.index(CAST)
    assert sql.index("(_e1_0 > ") < price < rate  # the innermost relation is written last
