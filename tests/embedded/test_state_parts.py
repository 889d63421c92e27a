"""States in parts have the rows that one pass over all records gives. Merging parts changes no row and no number."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest

from opensea_metrics.deploy.embedded.queries import aggregation, state_parts
from opensea_metrics.deploy.embedded.queries.families import absorb
from opensea_metrics.deploy.embedded.queries.members import Member, families_of
from opensea_metrics.deploy.embedded.storage import transaction
from opensea_metrics.deploy.embedded.topics import retention, state_rows
from opensea_metrics.deploy.embedded.topics.log_tables import state_table
from opensea_metrics.deploy.embedded.topics.positions import STREAM_TIME, KnownPositions, PartSpan
from opensea_metrics.deploy.embedded.topics.record_topic import ReadPosition
from opensea_metrics.sql.language.catalog.catalog import Query
from opensea_metrics.sql.language.lowering.duckdb import groupings
from opensea_metrics.sql.language.lowering.duckdb.stream_time import stream_time
from tests.embedded.inside import Inside, inside
from tests.embedded.windows import Row, analysed, database

SECOND = 1_000
WINDOWS = (
    "TUMBLING (SIZE 5 SECONDS, GRACE PERIOD 7 SECONDS)",
    "TUMBLING (SIZE 20 SECONDS, GRACE PERIOD 7 SECONDS)",
    "HOPPING (SIZE 30 SECONDS, ADVANCE BY 10 SECONDS, GRACE PERIOD 7 SECONDS)",
)
IN_ANY_ORDER = (
    "COUNT(*) AS c", "COUNT_DISTINCT(v) AS different", "TOPK(v, 3) AS top", "SUM(v) AS s",
    "COUNT_DISTINCT_EITHER(k, g) AS either", "SKETCH_MEDIAN(CAST(v AS DOUBLE)) AS median",
    "LATEST_BY_OFFSET(v) AS latest", "WASH_VOLUME(k, k, g, CAST(v AS DOUBLE)) AS wash", "MIN(v) AS low",
    "TOP_BY_KEY(k, CAST(v AS DOUBLE), TO_JSON_STRING(v), 100) AS tops",
)  # fmt: skip
"""Of three that follow one another, one has a state in parts."""
IN_ORDER = ("COLLECT_LIST(v) AS all_of_them", "COLLECT_SET(k) AS keys", "COUNT(*) AS c")


def some(columns: tuple[str, ...], seed: int) -> str:
    """All columns in every eighth run, and three of them in others. To plan a column takes DuckDB most of the time."""
    count = len(columns) if seed % 8 == 0 else 3
    return ", ".join(["g", *((columns * 2)[seed * 3 % len(columns) :][:count])])


@pytest.fixture(scope="module")
def cursor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    storage = database(tmp_path_factory.mktemp("parts"))
    yield storage.cursor()
    storage.close()


@dataclass
class Run:
    """A family that takes random batches. ``reader`` has the rows that a reader of each table has read so far."""

    cursor: duckdb.DuckDBPyConnection
    queries: list[Query]
    chance: random.Random
    seen: dict[str, dict[int, int]] = field(default_factory=dict)
    reader: dict[str, dict[tuple[Any, ...], tuple[Any, ...]]] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict)
    places: KnownPositions = field(default_factory=KnownPositions)
    late: int = 0

    def relation(self, rows: list[Row], offset: int) -> str:
        values = ", ".join(
            f"('k{row.value % 3}', '{row.key}', {row.value}, {row.time}, {offset + n}, 0)" for n, row in enumerate(rows)
        )
        return f"SELECT * FROM (VALUES {values}) AS v(K, G, V, ROWTIME, _off, ROWPARTITION)"

    def take(self, relation: str) -> None:
        """Move a batch. Sometimes the transaction fails first, and sometimes the server has started anew."""
        if self.chance.random() < 0.2:
            with pytest.raises(ZeroDivisionError):
                self._fail(relation)
            self.places.forget()
        if self.chance.random() < 0.1:
            self.places = KnownPositions()
        with transaction(self.cursor):
            results = self._absorb(relation)
        for query, (times, late) in results:
            self.seen[query.id] = times
            self.late += late

    def _fail(self, relation: str) -> None:
        with transaction(self.cursor):
            self._absorb(relation)
            raise ZeroDivisionError

    def _absorb(self, relation: str) -> list[tuple[Query, tuple[dict[int, int], int]]]:
        members = [
            Member(query, relation, {ReadPosition(STREAM_TIME, p): t for p, t in self.seen.get(query.id, {}).items()})
            for query in self.queries
        ]
        (family,) = families_of(members)
        results = absorb(self.cursor, family, self.places)
        before, merged = self._states(), set[str]()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(state_parts, "_merge", partial(self._merge, state_parts._merge, merged))
            state_parts.merge_some(self.cursor, self.queries, self.places)
        for query_id, state in self._states().items():
            assert query_id in merged or state == before[query_id]
        return [(member.query, result) for member, result in zip(family, results, strict=True)]

    def _merge(
        self,
        merge: Callable[..., None],
        merged: set[str],
        cursor: duckdb.DuckDBPyConnection,
        query: Query,
        span: PartSpan,
        places: KnownPositions,
    ) -> None:
        """Merge parts, which changes no row of the query. ``merged`` gets its id."""
        rows = self.rows(query)
        merge(cursor, query, span, places)
        assert self.rows(query) == rows
        merged.add(query.id)

    def _states(self) -> dict[str, list[Any]]:
        """Hashes of all rows of all states. Planning the SELECT that merges their parts takes DuckDB 30 times as long.

        The states' numbers of 128 bits as Python's objects, or as texts, would take more time than all else.
        """
        states = {query.id: state_table(query.id) for query in self.queries}
        return {
            key: self.cursor.execute(f"SELECT hash(s) FROM {table} AS s ORDER BY 1").fetchall()
            for key, table in states.items()
        }

    def rows(self, query: Query) -> list[Any]:
        """The rows of a table, with the numbers of their last changes."""
        return self.finished(query, state_rows.rows(query))

    def finished(self, query: Query, rows: str) -> list[Any]:
        finished = groupings.grouping(query.analysis).finish(rows)
        return sorted(self.cursor.execute(f"SELECT G, WINDOWSTART, * FROM ({finished})").fetchall(), key=repr)

    def let_readers_read(self) -> None:
        """Read the changes since the last time, in two pieces."""
        for query in self.queries:
            low = self.read.get(query.id, 0)
            end = self.places.end_of_state(self.cursor, query.id).number
            middle = self.chance.randint(low, end)
            for start, stop in ((low, middle), (middle, end)):
                for key, window, *row in self.finished(query, state_rows.rows(query, start, stop)):
                    assert start <= row[-1] < stop
                    self.reader.setdefault(query.id, {})[key, window] = (key, window, *row)
            self.read[query.id] = end


@pytest.mark.parametrize("columns", [IN_ANY_ORDER, IN_ORDER], ids=["in any order", "in order"])
@pytest.mark.parametrize("seed", range(16))
def test_the_same_rows_as_one_pass_over_all_records(
    cursor: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, seed: int, columns: tuple[str, ...]
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(state_parts, "MOST", chance.choice([2, 3, 5]))
    monkeypatch.setattr(state_parts, "MOST_ROWS", chance.choice([1, 20, 50_000]))
    if seed % 4:
        # DuckDB plans each range of keys. There are three keys.
        monkeypatch.setattr(state_rows, "_RANGES", 2)
        monkeypatch.setattr(state_parts, "_MOST_RANGES", 2)
    queries = [
        Query(f"Q{number}", "T", analysed(f"SELECT {some(columns, seed)} FROM s WINDOW {window} GROUP BY g"))
        for number, window in enumerate(WINDOWS)
    ]
    for query in queries:
        assert groupings.grouping(query.analysis).is_in_parts
        aggregation.create(cursor, groupings.grouping(query.analysis), state_table(query.id))
    run = Run(cursor, queries, chance)
    now, offset, batches = 100 * SECOND, 0, []
    for _ in range(chance.randint(6, 16)):
        now += chance.randint(0, 6) * SECOND
        rows = [
            Row(chance.choice("abc"), now - int(chance.expovariate(0.2)) * SECOND, chance.randint(1, 9))
            for _ in range(chance.randint(1, 9))
        ]
        batches.append(run.relation(rows, offset))
        offset += len(rows)
        run.take(batches[-1])
        if chance.random() < 0.5:
            run.let_readers_read()
    run.let_readers_read()
    everything = " UNION ALL ".join(batches)
    for query in queries:
        grouping = groupings.grouping(query.analysis)
        expected = run.finished(
            query, f"SELECT *, 0 AS _off FROM ({grouping.partial(everything, stream_time(query.analysis, {}))})"
        )
        rows_now = run.rows(query)
        assert [row[:-1] for row in rows_now] == [row[:-1] for row in expected]
        assert sorted(run.reader[query.id].values(), key=repr) == rows_now
        numbers = cursor.execute(f"SELECT _off FROM {state_table(query.id)}").fetchall()
        assert len(set(numbers)) == len(numbers)
        ((counted,),) = cursor.execute(f"SELECT count(*) FROM ({state_rows.numbers(query)})").fetchall()
        assert counted == len(rows_now)


def test_a_value_is_written_again_a_few_times_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_parts, "MOST", 4)
    levels: list[list[PartSpan]] = [[], []]
    written = most = 0
    for number in range(256):
        levels[0].append(PartSpan(number, 0, 0))
        if len(levels[0]) == state_parts.MOST:
            written += number + 1 - state_parts._next(levels).number
        most = max(most, sum(map(len, levels)))
    assert written <= 4 * 256
    assert most <= 4 * state_parts.MOST


SETUP = """
CREATE STREAM s (k VARCHAR KEY, t BIGINT, v VARCHAR) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1,
  TIMESTAMP='t');
CREATE TABLE sets AS SELECT k, COLLECT_LIST(v) AS vs FROM s
  WINDOW TUMBLING (SIZE 1 MINUTE, RETENTION 1 HOURS, GRACE PERIOD 0 SECONDS) GROUP BY k;
CREATE STREAM changes (vs ARRAY<VARCHAR>) WITH (KAFKA_TOPIC='SETS', VALUE_FORMAT='JSON');
CREATE TABLE sizes AS SELECT ARRAY_LENGTH(vs) AS items, LATEST_BY_OFFSET(vs[1]) AS first FROM changes
  WINDOW TUMBLING (SIZE 1 DAY) GROUP BY ARRAY_LENGTH(vs);
"""
NOON = 1_789_473_600_000
MINUTE = 60_000


def insert(server: Inside, key: str, time: int, value: str) -> None:
    server.done(f"INSERT INTO s (k, t, v) VALUES ('{key}', {time}, '{value}');")
    server.settle()


def lists(server: Inside, where: str = "") -> list[tuple[str, list[str]]]:
    return [(row["K"], row["VS"]) for row in server.ask(f"SELECT k, vs FROM sets{where};")]


def test_readers_of_a_table_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_parts, "MOST", 3)
    with inside(tmp_path) as server:
        server.done(SETUP)
        for number in range(5):
            insert(server, "a", NOON + number, f"a{number}")
        insert(server, "b", NOON, "b0")
    with inside(tmp_path) as server:
        for number in range(5, 8):
            insert(server, "a", NOON + number, f"a{number}")
        every = [f"a{number}" for number in range(8)]
        assert lists(server) == [("a", every), ("b", ["b0"])]
        assert lists(server, " WHERE k = 'a'") == [("a", every)]
        assert lists(server, f" WHERE WINDOWSTART > {NOON}") == []
        # A query over the stream of changes has read the whole row of each change.
        sizes = {row["ITEMS"]: row["FIRST"] for row in server.ask("SELECT items, first FROM sizes;")}
        assert sizes == {1: "b0"} | dict.fromkeys(range(2, 9), "a0")
        table = server.engine.catalog.writers("SETS")[0]
        ((rows,),) = server.engine.cursor().execute(f"SELECT count(*) FROM {state_table(table.id)}").fetchall()
        assert rows < 8


def test_windows_in_parts_are_deleted_as_a_whole(tmp_path: Path) -> None:
    with inside(tmp_path) as server:
        server.done(SETUP)
        for key, time in (("a", NOON), ("a", NOON + 1), ("b", NOON + 2), ("b", NOON + 3)):
            insert(server, key, time, str(time - NOON))
        insert(server, "c", NOON + 59 * MINUTE, "c")
        insert(server, "c", NOON + 60 * MINUTE, "c")
        insert(server, "c", NOON + 60 * MINUTE + 1, "d")
        assert len(lists(server)) == 4
        retention.sweep(server.engine._cursor, server.engine._topics(), 0, {})
        assert lists(server) == [("c", ["c"]), ("c", ["c", "d"])]


def test_windows_that_ended_while_the_server_was_stopped_are_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_parts, "MOST", 2)
    with inside(tmp_path) as server:
        server.done(SETUP)
        for number in range(3):
            insert(server, "a", NOON + number, str(number))
    with inside(tmp_path) as server:
        for number in range(4):
            insert(server, "a", NOON + 10 * MINUTE + number, str(number))
        table = state_table(server.engine.catalog.writers("SETS")[0].id)
        parts = server.engine.cursor().execute(f"SELECT _part FROM {table} WHERE _ws = {NOON}").fetchall()
        assert parts == [(False,)]
        assert lists(server) == [("a", ["0", "1", "2"]), ("a", ["0", "1", "2", "3"])]
