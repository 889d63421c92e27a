"""Decoding of JSON records: what is read, and why a record cannot be."""

from __future__ import annotations

import duckdb
import pytest

from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.lowering.duckdb.setup import SETUP, register_functions
from opensea_metrics.sql.language.lowering.records.rows import decoded, spelled
from opensea_metrics.sql.language.statements.parser import parse_script

WIDE = 130


@pytest.fixture(scope="module")
def reasons() -> list[tuple[object, str | None]]:
    """(last column, why it failed) of some records of a stream with very many columns."""
    columns = ", ".join(f"c{n} BIGINT" for n in range(WIDE))
    (statement,) = parse_script(
        f"CREATE STREAM wide ({columns}, s STRUCT<x VARCHAR>) WITH (KAFKA_TOPIC='w', VALUE_FORMAT='JSON',"
        " PARTITIONS=1, TIMESTAMP='c0');",
        "wide",
    )
    source = applied(Catalog(), statement, 1).sources["WIDE"]
    lines = [
        f'{{"c0": 1, "c{WIDE - 1}": 7}}',
        f'{{"c0": 1, "c{WIDE - 1}": "x"}}',
        '{"c0": 1, "c61": [], "s": 5}',
        '{"c0": 1, "s": 5}',
        '{"c0": 1, "s": {}}',
        '{"c1": 1}',
        "[]",
        "nonsense",
    ]
    database = duckdb.connect()
    for setup in SETUP:
        database.execute(setup)
    register_functions(database)
    given = " UNION ALL ".join(
        f"SELECT {n} AS n, '{line}' AS line, '' AS path, NULL AS key, 0::BIGINT AS ts"
        for n, line in enumerate(lines)
    )
    relation = decoded(given, source, spelled(source, None), carried=("n",))
    found: list[tuple[object, str | None]] = database.execute(
        f'SELECT "C{WIDE - 1}", _failed FROM ({relation}) ORDER BY n'
    ).fetchall()
    return found


def test_why_records_fail(reasons: list[tuple[object, str | None]]) -> None:
    assert reasons == [
        (7, None),
        (None, f"C{WIDE - 1} is not a valid BIGINT"),
        (None, "C61 is not a valid BIGINT"),
        (None, "S is not a valid STRUCT"),
        (None, None),
        (None, "no timestamp"),
        (None, "not a JSON object"),
        (None, "not JSON"),
    ]
