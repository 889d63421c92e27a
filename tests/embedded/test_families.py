"""A family's members have the same rows as queries that are computed one by one from their records."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from opensea_metrics.deploy.embedded.queries import aggregation, lifecycle
from opensea_metrics.deploy.embedded.queries.families import absorb
from opensea_metrics.deploy.embedded.queries.members import Member, families_of, sliced
from opensea_metrics.deploy.embedded.topics import state_rows
from opensea_metrics.deploy.embedded.topics.log_tables import state_table
from opensea_metrics.deploy.embedded.topics.positions import STREAM_TIME, KnownPositions
from opensea_metrics.deploy.embedded.topics.record_topic import ReadPosition
from opensea_metrics.sql.language.catalog.catalog import Query
from opensea_metrics.sql.language.lowering.duckdb import groupings
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


def rows_of(cursor: duckdb.DuckDBPyConnection, query: Query, rows: str) -> list[Any]:
    finished = groupings.grouping(query.analysis).finish(rows)
    return sorted(cursor.execute(f"SELECT * EXCLUDE (_off) FROM ({finished})").fetchall(), key=repr)


@pytest.mark.parametrize(
    ("columns", "has_sources"),
    [(COLUMNS, False), (COLUMNS, True), ("g, COLLECT_LIST(v) AS c", False)],
    ids=["one source", "a source for each", "depends on the order of merging"],
)
@pytest.mark.parametrize("seed", range(2))
def test_the_same_rows_as_one_by_one(
    cursor: duckdb.DuckDBPyConnection, seed: int, columns: str, has_sources: bool
) -> None:
    chance = random.Random(seed)
    chosen = queries(columns)
    seen: dict[str, dict[int, int]] = {}
    alone: dict[str, dict[int, int]] = {}
    late = 0
    for query in chosen:
        aggregation.create(cursor, groupings.grouping(query.analysis), state_table(query.id))
        aggregation.create(cursor, groupings.grouping(query.analysis), f"alone_{query.id}", temporary=True)
    now = 100 * SECOND
    places = KnownPositions()
    for batch in range(6):
        now += chance.randint(0, 20) * SECOND
        given: dict[str, str] = {}
        for number, query in enumerate(chosen):
            rows = [
                Row(chance.choice("ab"), now - chance.randint(0, 30) * SECOND, chance.randint(1, 9)) for _ in range(25)
            ]
            given[query.id] = relation(rows, batch * 25) if number == 0 or has_sources else given["Q0"]
        known = {
            query.id: {ReadPosition(STREAM_TIME, place): time for place, time in seen.get(query.id, {}).items()}
            for query in chosen
        }
        (family,) = families_of(Member(query, given[query.id], known[query.id]) for query in chosen)
        results = absorb(cursor, family, places)
        for member, (times, dropped) in zip(family, results, strict=True):
            query = member.query
            seen[query.id] = times
            alone[query.id], expected = aggregation.absorb(
                cursor, member.grouping, f"alone_{query.id}", given[query.id], alone.get(query.id, {})
            )
            assert dropped == expected
            late += dropped
    assert late > 50
    assert seen == alone
    for query in chosen:
        table = state_table(query.id)
        alone_rows = rows_of(cursor, query, f"SELECT * FROM alone_{query.id}")
        assert rows_of(cursor, query, state_rows.rows(query)) == alone_rows
        ((rows, numbers, least, end),) = cursor.execute(
            f"SELECT count(*), count(DISTINCT _off), min(_off), max(_off) + 1 FROM {table}"
        ).fetchall()
        assert rows == numbers
        assert least >= 0
        assert places.end_of_state(cursor, query.id).number == end


def members(columns: str, windows: tuple[str, ...]) -> list[Member]:
    return [Member(query, "", {}) for query in queries(columns, windows)]


def test_larger_windows_are_merged_from_slices() -> None:
    (family,) = families_of(members(COLUMNS, WINDOWS))
    sizes = [member.window.size // SECOND for member in family]
    assert {sizes[number]: sizes[other] for number, other in sliced(family).items()} == {10: 5, 15: 5, 30: 5}
    assert len(sliced(family)) == 4


@pytest.mark.parametrize(
    ("columns", "windows"),
    [
        ("g, COLLECT_LIST(v) AS c", WINDOWS),  # depends on the order of merging
        ("g, COUNT(*) AS c", ("TUMBLING (SIZE 4 SECONDS)", "TUMBLING (SIZE 6 SECONDS)")),
    ],
)
def test_without_slices(columns: str, windows: tuple[str, ...]) -> None:
    (family,) = families_of(members(columns, windows))
    assert sliced(family) == {}


def test_only_windows_and_sources_differ_in_a_family() -> None:
    counts, sums = members("g, COUNT(*) AS c", WINDOWS[:2]), members("g, SUM(v) AS s", WINDOWS[:1])
    assert list(families_of([*counts, *sums])) == [counts, sums]


def test_duckdb_resolves_one_query_of_all_that_differ_only_in_the_numbers_of_their_windows() -> None:
    class Resolving:
        def execute(self, sql: str) -> None:
            resolved.append(sql)

    resolved: list[str] = []
    checked: list[Query] = []
    for query in [*queries(COLUMNS), *queries(f"{COLUMNS}, MAX(v) AS high", WINDOWS[:2]), *queries(COLUMNS)]:
        lifecycle.check(Resolving(), query, "T", checked)  # type: ignore[arg-type]
        checked.append(query)
    texts = [sql.replace(" ", "") for sql in resolved]
    assert len(texts) == 3
    assert ["generate_series" in sql or "range(" in sql for sql in texts] == [False, True, False]
    assert ['"HIGH"' in sql for sql in texts] == [False, False, True]
