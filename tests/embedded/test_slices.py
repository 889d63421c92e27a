"""Windows that are merged from a smaller window's slices have the same rows as windows computed from the records."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from opensea_metrics.deploy.embedded.queries import aggregation
from opensea_metrics.deploy.embedded.queries.slices import sliced
from opensea_metrics.sql.language.catalog.catalog import Query
from opensea_metrics.sql.language.lowering.duckdb import selects
from tests.embedded.windows import Row, analysed, database

SECOND = 1_000
WINDOWS = (
    "TUMBLING (SIZE 5 SECONDS, GRACE PERIOD 7 SECONDS)",
    "TUMBLING (SIZE 10 SECONDS, GRACE PERIOD 7 SECONDS)",
    "TUMBLING (SIZE 15 SECONDS, GRACE PERIOD 7 SECONDS)",
    "TUMBLING (SIZE 30 SECONDS, GRACE PERIOD 1 SECOND)",
    "HOPPING (SIZE 30 SECONDS, ADVANCE BY 10 SECONDS, GRACE PERIOD 7 SECONDS)",
    "HOPPING (SIZE 12 SECONDS, ADVANCE BY 4 SECONDS, GRACE PERIOD 7 SECONDS)",
)
"""The last one has bounds that no smaller window has."""
COLUMNS = (
    "g, COUNT(*) AS c, SUM(v) AS s, MIN(v) AS low, AVG(v) AS mean, LATEST_BY_OFFSET(v) AS latest,"
    " EARLIEST_BY_OFFSET(v) AS earliest, COUNT_DISTINCT(v) AS different, TOPK(v, 2) AS top,"
    " COUNT_DISTINCT_EITHER(k, g) AS either, SKETCH_MEDIAN(CAST(v AS DOUBLE)) AS median,"
    " WASH_VOLUME(k, k, g, CAST(v AS DOUBLE)) AS wash"
)


@pytest.fixture(scope="module")
def cursor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    storage = database(tmp_path_factory.mktemp("slices"))
    yield storage.cursor()
    storage.close()


def queries(columns: str, windows: tuple[str, ...] = WINDOWS) -> list[Query]:
    selected = [f"SELECT {columns} FROM s WINDOW {window} GROUP BY g" for window in windows]
    return [Query(f"Q{number}", "T", analysed(select)) for number, select in enumerate(selected)]


def relation(rows: list[Row], offset: int) -> str:
    values = ", ".join(
        f"('k{row.value % 3}', '{row.key}', {row.value}, {row.time}, {offset + n}, {row.partition})"
        for n, row in enumerate(rows)
    )
    return f"SELECT * FROM (VALUES {values}) AS v(K, G, V, ROWTIME, _off, ROWPARTITION)"


def rows_of(cursor: duckdb.DuckDBPyConnection, query: Query, table: str) -> list[Any]:
    finished = selects.grouping(query.analysis).finish(f"SELECT * FROM {table}")
    return sorted(cursor.execute(f"SELECT * EXCLUDE (_off) FROM ({finished})").fetchall(), key=repr)


@pytest.mark.parametrize("seed", range(4))
def test_the_same_rows_as_from_the_records(cursor: duckdb.DuckDBPyConnection, seed: int) -> None:
    chance = random.Random(seed)
    chosen = queries(COLUMNS)
    steps = list(sliced(chosen))
    assert [step.query.analysis.window.size // SECOND for step in steps if step.slices] == [10, 15, 30, 30]  # type: ignore[union-attr]
    seen: dict[tuple[str, str], dict[int, int]] = {}
    late = 0
    for query in chosen:
        for way in ("sliced", "direct"):
            aggregation.create(cursor, selects.grouping(query.analysis), f"{way}_{query.id}", temporary=True)
    now = 100 * SECOND
    for batch in range(6):
        now += chance.randint(0, 20) * SECOND
        rows = [
            Row(chance.choice("ab"), now - chance.randint(0, 30) * SECOND, chance.randint(1, 9)) for _ in range(25)
        ]
        given = relation(rows, batch * 25)
        for step in steps:
            for way, names in (("sliced", (step.delta, step.slices)), ("direct", ("delta_direct", None))):
                key = way, step.query.id
                table = f"{way}_{step.query.id}"
                seen[key], dropped = aggregation.absorb(
                    cursor, step.grouping, table, given, seen.get(key, {}), *names
                )
                late += dropped
    assert late > 50
    for query in chosen:
        assert rows_of(cursor, query, f"sliced_{query.id}") == rows_of(cursor, query, f"direct_{query.id}")
        assert seen["sliced", query.id] == seen["direct", query.id]


@pytest.mark.parametrize(
    ("columns", "windows"),
    [
        ("g, COLLECT_LIST(v) AS c", WINDOWS),  # depends on the order of merging
        ("g, COUNT(*) AS c", ("SESSION (5 SECONDS)", "SESSION (10 SECONDS)")),
        ("g, COUNT(*) AS c", ("TUMBLING (SIZE 4 SECONDS)", "TUMBLING (SIZE 6 SECONDS)")),
    ],
)
def test_what_is_computed_from_the_records(columns: str, windows: tuple[str, ...]) -> None:
    assert [step.slices for step in sliced(queries(columns, windows))] == [None] * len(windows)
