"""Joins and queries over tables: every kind against a model that takes one record at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from opensea_metrics.deploy.embedded import rounds
from opensea_metrics.deploy.embedded.ordered import moving
from opensea_metrics.deploy.embedded.topics import TopicRecord
from tests.embedded import join_model
from tests.embedded.inside import Inside, inside
from tests.embedded.join_model import Record, Row

SOURCES = """
CREATE STREAM l (k INT KEY, v INT) WITH (KAFKA_TOPIC='l', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE STREAM r (k INT KEY, v INT) WITH (KAFKA_TOPIC='r', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE TABLE lt (k INT PRIMARY KEY, v INT) WITH (KAFKA_TOPIC='l', VALUE_FORMAT='JSON');
CREATE TABLE rt (k INT PRIMARY KEY, v INT) WITH (KAFKA_TOPIC='r', VALUE_FORMAT='JSON');
"""
SIDES = ("INNER", "LEFT", "RIGHT", "FULL")
BEFORE, AFTER, GRACE = 3, 5, 4
WITHIN = f"WITHIN ({BEFORE} MILLISECONDS, {AFTER} MILLISECONDS)"


def stream_join(side: str, grace: int | None) -> str:
    late = "" if grace is None else f" GRACE PERIOD {grace} MILLISECONDS"
    key = "ROWKEY" if side == "FULL" else "r.k" if side == "RIGHT" else "l.k"
    return f"SELECT {key} AS id, l.v AS a, r.v AS b FROM l {side} JOIN r {WITHIN}{late} ON l.k = r.k"


QUERIES: dict[str, tuple[str, Callable[[Sequence[Record]], list[Row]]]] = {
    **{
        f"st_{side}": (
            f"CREATE STREAM st_{side} AS SELECT l.k AS id, l.v AS a, rt.v AS b FROM l {side} JOIN rt ON l.k = rt.k;",
            lambda records, side=side: join_model.stream_table(records, side == "LEFT"),  # type: ignore[misc]
        )
        for side in ("INNER", "LEFT")
    },
    **{
        f"tt_{side}": (
            f"CREATE TABLE tt_{side} AS SELECT {'ROWKEY' if side == 'FULL' else 'rt.k' if side == 'RIGHT' else 'lt.k'}"
            f" AS id, lt.v AS a, rt.v AS b FROM lt {side} JOIN rt ON lt.k = rt.k;",
            lambda records, side=side: sorted(join_model.table_table(records, side).values()),  # type: ignore[misc]
        )
        for side in SIDES
    },
    **{
        f"ss_{side}_{grace}": (
            f"CREATE STREAM ss_{side}_{grace} AS {stream_join(side, grace)};",
            lambda records, side=side, grace=grace: join_model.stream_stream(  # type: ignore[misc]
                records, side, BEFORE, AFTER, grace
            ),
        )
        for side in SIDES
        for grace in (None, GRACE)
    },
}


OF_TABLES = """
CREATE STREAM counted (k INT KEY, v INT) WITH (KAFKA_TOPIC='counted', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE TABLE chosen AS SELECT k, v + 1 AS w FROM lt WHERE v > 1;
CREATE TABLE again AS SELECT k, w FROM chosen WHERE w < 5;
CREATE TABLE groups AS SELECT w, COUNT(*) AS n, SUM(k) AS s, AVG(k) AS m, COLLECT_LIST(k) AS ks FROM chosen GROUP BY w;
CREATE TABLE many AS SELECT w, COUNT(*) AS n FROM chosen GROUP BY w HAVING COUNT(*) > 1;
CREATE TABLE sums AS SELECT k, COUNT(*) AS n, COLLECT_LIST(v) AS vs FROM counted GROUP BY k HAVING COUNT(*) <> 2;
CREATE STREAM met AS SELECT r.k AS k, v, n, vs FROM r LEFT JOIN sums ON r.k = sums.k;
CREATE STREAM met_again AS SELECT r.k AS k, v, w FROM r JOIN again ON r.k = again.k;
"""


def groups_of(records: Sequence[Record]) -> tuple[dict[int, int], dict[int, list[int]], list[object], list[object]]:
    """What :data:`OF_TABLES` makes of records, one at a time: CHOSEN, the lists of GROUPS, MET, and MET_AGAIN."""
    chosen: dict[int, int] = {}
    lists: dict[int, list[int]] = {}
    sums: dict[int, list[int]] = {}
    met: list[object] = []
    met_again: list[object] = []
    left = [r for r in records if r.source == 0]
    for record in left:
        if record.key is None:
            continue
        if (old := chosen.pop(record.key, None)) is not None:
            lists[old].reverse()
            lists[old].remove(record.key)
            lists[old].reverse()
        if record.value is not None and record.value > 1:
            chosen[record.key] = record.value + 1
            lists.setdefault(record.value + 1, []).append(record.key)
    # The changes of a computed table have the times of the records, and the table's changes only those with a key.
    for source, key, value, _ in join_model.in_order(
        [Record(1 - r.source, *r[1:]) for r in records if r.value is not None and (r.source or r.key is not None)]
    ):
        if source == 1:
            assert key is not None
            assert value is not None
            sums.setdefault(key, []).append(value)
        elif value is not None:
            known = sums.get(key) if key is not None else None
            shown = known if known and len(known) != 2 else None
            met.append((key, value, shown and len(shown), shown and list(shown)))
    rows: dict[int, int] = {}
    for source, key, value, _ in join_model.in_order(
        [Record(1 - r.source, *r[1:]) for r in records if (r.value is not None if r.source else r.key is not None)]
    ):
        if source == 1:
            assert key is not None
            rows.pop(key, None)
            if value is not None and 1 < value < 4:
                rows[key] = value + 1
        elif key in rows:
            met_again.append((key, value, rows[key]))
    return chosen, lists, met, met_again


def check_tables(server: Inside, records: Sequence[Record]) -> None:
    assert server.engine.failures == {}
    chosen, lists, met, met_again = groups_of(records)
    asked = {row["K"]: row["W"] for row in server.ask("SELECT k, w FROM chosen;")}
    assert asked == chosen
    assert {row["K"]: row["W"] for row in server.ask("SELECT * FROM again;")} == {
        key: w for key, w in chosen.items() if w < 5
    }
    groups = {row["W"]: (row["N"], row["S"], row["M"], row["KS"]) for row in server.ask("SELECT * FROM groups;")}
    assert groups == {
        w: (len(keys), sum(keys), sum(keys) / len(keys) if keys else 0.0, keys) for w, keys in lists.items()
    }
    many = {row["W"]: row["N"] for row in server.ask("SELECT * FROM many;")}
    assert many == {w: len(keys) for w, keys in lists.items() if len(keys) > 1}
    rows = server.ask("SELECT k, v, n, vs FROM met EMIT CHANGES;")
    assert [(row["K"], row["V"], row["N"], row["VS"]) for row in rows] == met
    rows = server.ask("SELECT k, v, w FROM met_again EMIT CHANGES;")
    assert [(row["K"], row["V"], row["W"]) for row in rows] == met_again


def insert(server: Inside, records: Sequence[Record]) -> None:
    """Records arrive in all topics before a query takes them."""
    sources = server.engine.catalog.sources
    for record in records:
        key = None if record.key is None else json.dumps({"K": record.key})
        value = None if record.value is None else json.dumps({"V": record.value})
        for name in ("R",) if record.source else ("L", "COUNTED"):
            if name in sources:
                server.engine.insert(sources[name], [TopicRecord(record.time, key, value)])


def results(server: Inside, name: str) -> list[Row]:
    rows = server.ask(f"SELECT id, a, b, ROWTIME AS ts FROM {name} EMIT CHANGES;")
    return [Row(row["ID"], row["A"], row["B"], row["TS"]) for row in rows]


def check(server: Inside, records: Sequence[Record]) -> None:
    assert server.engine.failures == {}
    for name, (_, model) in QUERIES.items():
        rows = results(server, name)
        assert (sorted(rows) if name.startswith("tt") else rows) == model(records), name


RECORDS = st.lists(
    st.builds(
        Record,
        source=st.sampled_from((0, 1)),
        key=st.sampled_from((1, 1, 1, 2, None)),
        value=st.sampled_from((1, 2, 3, 4, None)),
        time=st.integers(0, 40),
    ),
    max_size=14,
)


SETTINGS = settings(
    max_examples=5,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # an example takes seconds, and shrinking needs hundreds
    suppress_health_check=[HealthCheck.too_slow],
)


@contextmanager
def steps_of(most: int) -> Iterator[None]:
    """Ordered queries take at most so many records in a step."""
    before = moving.MOST_RECORDS
    moving.MOST_RECORDS = most
    try:
        yield
    finally:
        moving.MOST_RECORDS = before


@SETTINGS
@given(records=RECORDS, most=st.sampled_from((1, 2, 5, 1_000)))
def test_every_join_is_as_one_record_at_a_time(
    tmp_path_factory: pytest.TempPathFactory, records: list[Record], most: int
) -> None:
    with steps_of(most), inside(tmp_path_factory.mktemp("data")) as server:
        server.done(SOURCES + "".join(sql for sql, _ in QUERIES.values()))
        insert(server, records)
        server.settle()
        check(server, records)


@SETTINGS
@given(records=RECORDS, most=st.sampled_from((1, 2, 5, 1_000)))
def test_queries_over_tables_are_as_one_record_at_a_time(
    tmp_path_factory: pytest.TempPathFactory, records: list[Record], most: int
) -> None:
    with steps_of(most), inside(tmp_path_factory.mktemp("data")) as server:
        server.done(SOURCES + OF_TABLES)
        insert(server, records)
        server.settle()
        check_tables(server, records)


def test_a_restart_after_every_step_changes_nothing(tmp_path: Path) -> None:
    records = [
        Record(number % 2, (number // 3) % 3 or None, number % 5 or None, (number * 7) % 40) for number in range(24)
    ]
    with inside(tmp_path) as server:
        server.done(SOURCES + "".join(sql for sql, _ in QUERIES.values()))
        server.done(OF_TABLES)
        insert(server, records)
    worked = True
    with steps_of(2), pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounds, "_TURNS", 1)
        while worked:
            with inside(tmp_path) as server:
                worked = server.engine.work()
    with inside(tmp_path) as server:
        check(server, records)
        check_tables(server, records)


REFUSED = {
    "CREATE TABLE fk AS SELECT lt.k AS k, lt.v AS v FROM lt JOIN rt ON lt.v = rt.k;"
    " CREATE STREAM x AS SELECT l.k, fk.v FROM l JOIN fk ON l.k = fk.k;": (
        "a JOIN of a stream with FK, which depends on a JOIN on a foreign key,"
    ),
    "CREATE TABLE x AS SELECT k, SUM(ROWTIME) AS s FROM rt GROUP BY k;": "ROWTIME in an aggregate over a table",
    "CREATE TABLE x AS SELECT k, v FROM rt WHERE v > 1;"
    " CREATE OR REPLACE TABLE x AS SELECT k, v FROM rt WHERE v > 2;": (
        "CREATE OR REPLACE of a query over several sources or a table"
    ),
}


@pytest.mark.parametrize("sql", REFUSED)
def test_what_is_not_exact_is_refused_by_name(tmp_path: Path, sql: str) -> None:
    with inside(tmp_path) as server:
        server.done(SOURCES)
        reply, status = server.run(sql)
    assert status == 400
    assert reply["message"].startswith(f"{REFUSED[sql]} is not supported by the embedded server."), reply
