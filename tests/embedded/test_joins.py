"""Joins and queries over tables: every kind against a model that takes one record at a time."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from math import nan
from pathlib import Path
from statistics import correlation, variance

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from opensea_metrics.deploy.embedded import rounds
from opensea_metrics.deploy.embedded.queries.client_queries import TransientQuery
from opensea_metrics.deploy.embedded.queries.ordered import moving
from opensea_metrics.deploy.embedded.topics.record_topic import TopicRecord
from opensea_metrics.sql.language.statements.parser import parse_statement
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
CREATE TABLE stats AS SELECT w, STDDEV_SAMP(k) AS d, STDDEV_SAMPLE(CAST(k AS DOUBLE)) AS e, ATTR(k) AS t,
  HISTOGRAM(CAST(k AS VARCHAR)) AS h FROM chosen GROUP BY w;
CREATE TABLE lines AS SELECT 'all' AS scope, CORRELATION(k, k * v) AS c FROM lt GROUP BY 'all';
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
    stats = {row["W"]: (row["D"], row["T"], row["H"]) for row in server.ask("SELECT * FROM stats;")}
    assert stats == {
        w: (
            pytest.approx(variance(keys) if len(keys) > 1 else 0.0),
            keys[0] if len(set(keys)) == 1 else None,
            {str(key): count for key, count in Counter(keys).items()},
        )
        for w, keys in lists.items()
    }
    for row in server.ask("SELECT d, e FROM stats;"):
        assert row["E"] == pytest.approx(row["D"] ** 0.5)
    check_correlation(server, records)
    many = {row["W"]: row["N"] for row in server.ask("SELECT * FROM many;")}
    assert many == {w: len(keys) for w, keys in lists.items() if len(keys) > 1}
    rows = server.ask("SELECT k, v, n, vs FROM met EMIT CHANGES;")
    assert [(row["K"], row["V"], row["N"], row["VS"]) for row in rows] == met
    rows = server.ask("SELECT k, v, w FROM met_again EMIT CHANGES;")
    assert [(row["K"], row["V"], row["W"]) for row in rows] == met_again


def check_correlation(server: Inside, records: Sequence[Record]) -> None:
    newest = {r.key: r.value for r in records if r.source == 0 and r.key is not None}
    pairs = [(key, key * value) for key, value in newest.items() if value is not None]
    rows = server.ask("SELECT c FROM lines;")
    if any(r.source == 0 and r.key is not None and r.value is not None for r in records):
        xs, ys = zip(*pairs, strict=True) if pairs else ((), ())
        is_flat = len(set(xs)) < 2 or len(set(ys)) < 2
        expected = nan if is_flat else correlation(xs, ys)
        assert [row["C"] for row in rows] == [pytest.approx(expected, nan_ok=True)]


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
    max_examples=int(os.environ.get("JOIN_EXAMPLES", "5")),
    derandomize="JOIN_EXAMPLES" not in os.environ,
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


def select_of(name: str) -> str:
    sql, _ = QUERIES[name]
    return sql.partition(" AS ")[2].removesuffix(";") + " EMIT CHANGES;"


PUSHED = ("st_LEFT", "tt_FULL", "ss_FULL_4")
OF_CLIENTS = {
    "groups": (
        "SELECT w, COUNT(*) AS n, SUM(k) AS s, AVG(k) AS m, COLLECT_LIST(k) AS ks FROM chosen GROUP BY w EMIT CHANGES;"
    ),
    "of_lt": "SELECT v, COUNT(*) AS n FROM lt GROUP BY v EMIT CHANGES;",
    "met_again": "SELECT r.k AS k, v, w FROM r JOIN again ON r.k = again.k EMIT CHANGES;",
    "joined": "SELECT c.v AS v, COUNT(*) AS n FROM counted c JOIN rt ON c.k = rt.k GROUP BY c.v EMIT CHANGES;",
}
"""Push queries. OF_TABLES has the tables that they read."""
OF_SERVER = """
CREATE TABLE of_lt AS SELECT v, COUNT(*) AS n FROM lt GROUP BY v;
CREATE TABLE joined AS SELECT c.v AS v, COUNT(*) AS n FROM counted c JOIN rt ON c.k = rt.k GROUP BY c.v;
"""
"""The queries of OF_CLIENTS that OF_TABLES does not have."""


@settings(SETTINGS, max_examples=2)
@given(records=RECORDS)
def test_joins_in_push_queries_are_as_one_record_at_a_time(
    tmp_path_factory: pytest.TempPathFactory, records: list[Record]
) -> None:
    with inside(tmp_path_factory.mktemp("data")) as server:
        server.done(SOURCES)
        insert(server, records)
        for name in QUERIES:
            rows = [(row["ID"], row["A"], row["B"]) for row in server.ask(select_of(name))]
            expected = [row[:3] for row in QUERIES[name][1](records)]
            if name.startswith("tt"):
                rows, expected = sorted(rows, key=repr), sorted(expected, key=repr)
            assert rows == expected, name


@settings(SETTINGS, max_examples=2)
@given(records=RECORDS, size=st.integers(3, 7))
def test_push_queries_follow_persistent_ones(
    tmp_path_factory: pytest.TempPathFactory, records: list[Record], size: int
) -> None:
    """Both get the records in the same pieces. The newest rows of groups and tables are the same then.

    A push query over a computed table does not see rows and groups that have come and gone in one piece.
    """
    with inside(tmp_path_factory.mktemp("data")) as server, ExitStack() as stack:
        server.done(SOURCES + OF_TABLES + OF_SERVER + "".join(QUERIES[name][0] for name in PUSHED))
        asked = {name: select_of(name) for name in PUSHED} | OF_CLIENTS
        opened = {
            name: stack.enter_context(closing(TransientQuery(server.engine, parse_statement(sql), {})))
            for name, sql in asked.items()
        }
        rows: dict[str, list[list[object]]] = {name: [] for name in asked}
        for start in range(0, len(records), size):
            insert(server, records[start : start + size])
            server.settle()
            for name, query in opened.items():
                rows[name] += query.rows()
        assert server.engine.failures == {}
        for name, query in opened.items():
            columns = ", ".join(f"`{column.name}`" for column in query.columns)
            known = [list(row.values()) for row in server.ask(f"SELECT {columns} FROM {name} EMIT CHANGES;")]
            if name[:2] in ("st", "ss"):
                assert rows[name] == known, name
            elif name == "met_again":
                assert rows[name] == [row for row in known if row in rows[name]]
            else:
                newest = {row[0]: row for row in rows[name]}
                assert all(newest[row[0]] == row for row in known if row[0] in newest or row[1] != 0), name


def test_a_row_that_a_table_no_longer_has_does_not_match(tmp_path: Path) -> None:
    with inside(tmp_path) as server:
        server.done(SOURCES + "CREATE TABLE big AS SELECT k, v FROM rt WHERE v > 2;")
        insert(server, [Record(1, 1, 3, 1), Record(1, 2, 4, 2)])
        server.settle()
        select = parse_statement("SELECT l.k, l.v, big.v FROM l LEFT JOIN big ON l.k = big.k EMIT CHANGES LIMIT 4;")
        with closing(TransientQuery(server.engine, select, {"auto.offset.reset": "latest"})) as query:
            assert list(query.rows()) == []
            insert(server, [Record(0, 1, 7, 3)])
            assert list(query.rows()) == [[1, 7, 3]]
            insert(server, [Record(1, 1, 1, 4)])
            server.settle()
            assert list(query.rows()) == []
            insert(server, [Record(0, 1, 8, 5), Record(0, 2, 9, 6), Record(0, 3, 1, 7), Record(0, 4, 1, 8)])
            assert list(query.rows()) == [[1, 8, None], [2, 9, 4], [3, 1, None]]
            assert query.is_complete


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
    "CREATE TABLE x AS SELECT k, v FROM rt; CREATE STREAM y AS SELECT l.k, x.v FROM l JOIN x ON l.k = x.k;"
    " CREATE OR REPLACE TABLE x AS SELECT k, v FROM rt WHERE v > 2;": "CREATE OR REPLACE of X, which queries read,",
    "CREATE TABLE x AS SELECT k, SUM(ROWTIME) AS s FROM rt GROUP BY k;": "ROWTIME in an aggregate over a table",
}


@pytest.mark.parametrize("sql", REFUSED)
def test_what_is_not_exact_is_refused_by_name(tmp_path: Path, sql: str) -> None:
    with inside(tmp_path) as server:
        server.done(SOURCES)
        reply, status = server.run(sql)
    assert status == 400
    assert reply["message"].startswith(f"{REFUSED[sql]} is not supported by the embedded server."), reply


REPLACED = {
    "CREATE {} STREAM x AS SELECT l.k AS k, rt.v AS v FROM l JOIN rt ON l.k = rt.k;": "StreamTableJoin",
    "CREATE {} TABLE x AS SELECT lt.k AS k, rt.v AS v FROM lt JOIN rt ON lt.k = rt.k;": "TableTableJoin",
    "CREATE {} TABLE x AS SELECT lt.k AS k, rt.v AS v FROM lt JOIN rt ON lt.v = rt.k;": "ForeignKeyTableTableJoin",
    f"CREATE {{}} STREAM x AS {stream_join('LEFT', 1)};": "StreamStreamJoin",
    "CREATE {} TABLE x AS SELECT v, COUNT(*) AS n FROM rt GROUP BY v;": "TableAggregate",
}
"""Statements whose query ksqlDB does not replace, not even by the same one, and the step that it names."""


@pytest.mark.parametrize("sql", REPLACED)
def test_queries_that_cannot_be_replaced(tmp_path: Path, sql: str) -> None:
    with inside(tmp_path) as server:
        server.done(SOURCES + sql.format(""))
        reply, status = server.run(sql.format("OR REPLACE"))
    assert status == 400
    assert f"Upgrades not yet supported for {REPLACED[sql]}" in reply["message"]


def test_a_query_over_a_table_is_replaced(tmp_path: Path) -> None:
    """On a 7.9.1, too, a pull query sees the new definition of all rows."""
    with inside(tmp_path) as server:
        server.done(SOURCES + "CREATE TABLE x AS SELECT k, v FROM rt WHERE v > 1;")
        insert(server, [Record(1, key, key, 1) for key in (1, 2, 3)])
        server.settle()
        server.done("CREATE OR REPLACE TABLE x AS SELECT k, v, v + 1 AS w FROM rt WHERE v > 2;")
        server.settle()
        assert server.ask("SELECT * FROM x;") == [{"K": 3, "V": 3, "W": 4}]
        insert(server, [Record(1, 1, 4, 2), Record(1, 2, 1, 2)])
    with inside(tmp_path) as server:
        server.settle()
        assert server.ask("SELECT * FROM x;") == [{"K": 1, "V": 4, "W": 5}, {"K": 3, "V": 3, "W": 4}]


def test_rows_of_one_key_match_after_partition_by(tmp_path: Path) -> None:
    with inside(tmp_path) as server:
        server.done(
            "CREATE STREAM given (id INT KEY, k INT, v INT)"
            " WITH (KAFKA_TOPIC='given', VALUE_FORMAT='JSON', PARTITIONS=4);"
            "CREATE STREAM small AS SELECT k, v FROM given WHERE v < 10 PARTITION BY k;"
            "CREATE STREAM large AS SELECT k, v FROM given WHERE v > 10 PARTITION BY k;"
            "CREATE STREAM met AS SELECT s.k AS k, s.v AS a, g.v AS b"
            " FROM small s JOIN large g WITHIN 1 HOUR ON s.k = g.k;"
        )
        for number in (1, 2, 3, 4, 11, 12, 13, 14):
            server.done(f"INSERT INTO given (id, k, v) VALUES ({number}, 7, {number});")
        server.settle()
        assert len({row["P"] for row in server.ask("SELECT ROWPARTITION AS p FROM given EMIT CHANGES;")}) > 1
        rows = server.ask("SELECT a, b FROM met EMIT CHANGES;")
        assert sorted((row["A"], row["B"]) for row in rows) == [(a, b) for a in (1, 2, 3, 4) for b in (11, 12, 13, 14)]


def test_a_group_that_was_emptied_in_between_stays(tmp_path: Path) -> None:
    with inside(tmp_path) as server:
        server.done(
            SOURCES + "CREATE TABLE of_rt AS SELECT k, LATEST_BY_OFFSET(v) AS v FROM r GROUP BY k;"
            "CREATE TABLE counted_again AS SELECT v, COUNT(*) AS n FROM of_rt GROUP BY v;"
        )
        insert(server, [Record(1, 1, 3, 1), Record(1, 1, 4, 2)])
        server.settle()
        assert {row["V"]: row["N"] for row in server.ask("SELECT v, n FROM counted_again;")} == {3: 0, 4: 1}
