"""Sessions, final results and windowed sources through statements: restarts, pull and push queries, topics."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from opensea_metrics.deploy.embedded.topics import retention
from opensea_metrics.deploy.embedded.topics.record_topic import TopicRecord
from opensea_metrics.deploy.embedded.trial import TrialRecord, run
from tests.embedded.inside import Inside, inside
from tests.embedded.windows import Row, SessionModel, WindowModel

STREAM = "CREATE STREAM s (k VARCHAR KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);"
SESSIONS = (
    "CREATE TABLE visits AS SELECT k, COLLECT_LIST(v) AS l FROM s"
    " WINDOW SESSION (5 MILLISECONDS, GRACE PERIOD 7 MILLISECONDS) GROUP BY k{};"
)
TUMBLING = (
    "CREATE TABLE closed AS SELECT k, COLLECT_LIST(v) AS l FROM s"
    " WINDOW TUMBLING (SIZE 6 MILLISECONDS, GRACE PERIOD 4 MILLISECONDS) GROUP BY k EMIT FINAL;"
)


def put(server: Inside, row: Row) -> None:
    source = server.engine.catalog.sources["S"]
    key, value = f'{{"K": "{row.key}"}}', f'{{"V": {row.value}}}'
    server.engine.insert(source, [TopicRecord(row.time, key, value)])


def test_a_restart_after_each_record_changes_nothing(tmp_path: Path) -> None:
    chosen = random.Random(3)
    records = [Row(chosen.choice("ab"), max(0, n + chosen.randrange(-12, 6)), n) for n in range(40)]
    sessions, closed = SessionModel(5, 7, 12), WindowModel(6, 6, 4, 10)
    with inside(tmp_path) as server:
        server.done(STREAM + SESSIONS.format("") + TUMBLING)
    pushed = []
    for record in records:
        sessions.take(record)
        closed.take(record)
        with inside(tmp_path) as server:
            put(server, record)
            server.settle()
            rows = server.ask("SELECT * FROM visits;")
            assert sorted((r["K"], r["WINDOWSTART"], r["WINDOWEND"], tuple(r["L"])) for r in rows) == sessions.rows()
            rows = server.ask("SELECT * FROM closed EMIT CHANGES;")
            pushed = sorted((r["K"], r["WINDOWSTART"], tuple(r["L"])) for r in rows)
            assert pushed == sorted(closed.emitted)
    assert sessions.late
    assert pushed


@pytest.fixture
def server(tmp_path: Path) -> Any:
    with inside(tmp_path) as running:
        running.done(STREAM)
        yield running


def times(rows: list[dict[str, Any]]) -> list[tuple[str, int, int]]:
    return [(row["K"], row["WINDOWSTART"], row["WINDOWEND"]) for row in rows]


def test_pull_queries_of_sessions(server: Inside) -> None:
    server.done(SESSIONS.format(" EMIT CHANGES"))
    for key, time in (("a", 1), ("a", 4), ("a", 20), ("b", 20), ("b", 22)):
        put(server, Row(key, time, 0))
    server.settle()
    assert times(server.ask("SELECT * FROM visits WHERE k = 'a';")) == [("a", 1, 4), ("a", 20, 20)]
    assert times(server.ask("SELECT * FROM visits WHERE k = 'a' AND WINDOWSTART > 1;")) == [("a", 20, 20)]
    assert times(server.ask("SELECT * FROM visits WHERE k = 'a' AND WINDOWEND <= 4;")) == [("a", 1, 4)]
    assert times(server.ask("SELECT * FROM visits WHERE WINDOWSTART = '1970-01-01T00:00:00.020';")) == [
        ("a", 20, 20), ("b", 20, 22),
    ]  # fmt: skip


def test_a_push_query_with_its_own_window(server: Inside) -> None:
    for key, time in (("a", 0), ("a", 3), ("a", 30), ("a", 60)):
        put(server, Row(key, time, 0))
    window = "WINDOW SESSION (5 MILLISECONDS, GRACE PERIOD 7 MILLISECONDS)"
    select = f"SELECT k, WINDOWSTART AS ws, COUNT(*) AS n FROM s {window} GROUP BY k EMIT"
    assert [tuple(r.values()) for r in server.ask(f"{select} CHANGES;")] == [("a", 0, 2), ("a", 30, 1), ("a", 60, 1)]
    assert [tuple(r.values()) for r in server.ask(f"{select} FINAL;")] == [("a", 0, 2), ("a", 30, 1)]


def test_only_pull_queries_see_open_windows(server: Inside) -> None:
    """Observed on a 7.9.1: docs/ksqldb-facts.md."""
    server.done(TUMBLING)
    for time in (0, 7, 10):
        put(server, Row("a", time, time))
    server.settle()
    assert times(server.ask("SELECT * FROM closed;")) == [("a", 0, 6), ("a", 6, 12)]
    assert times(server.ask("SELECT * FROM closed EMIT CHANGES;")) == [("a", 0, 6)]


def test_a_window_that_is_gone_when_it_closes_is_never_final(server: Inside) -> None:
    """As the store of Kafka Streams, which has no other RETENTION here than size and grace period."""
    server.done(TUMBLING)
    for time in (0, 17, 22):
        put(server, Row("a", time, time))
    server.settle()
    assert times(server.ask("SELECT * FROM closed EMIT CHANGES;")) == [("a", 12, 18)]
    assert times(server.ask("SELECT * FROM closed;")) == [("a", 12, 18), ("a", 18, 24)]


def test_old_final_rows_are_deleted_and_open_windows_stay(server: Inside) -> None:
    server.done(TUMBLING.replace("GRACE", "RETENTION 16 MILLISECONDS, GRACE"))
    for number in range(6):
        put(server, Row("a", 6 * number, number))
    server.settle()
    engine = server.engine
    retention.sweep(engine._cursor, engine._topics(), 2**60, {})
    assert times(server.ask("SELECT * FROM closed;")) == [("a", 18, 24), ("a", 24, 30), ("a", 30, 36)]
    put(server, Row("a", 34, 6))
    server.settle()
    (final,) = server.ask("SELECT * FROM closed WHERE WINDOWSTART = 24 EMIT CHANGES;")
    assert final["L"] == [4]
    ((numbers,),) = engine._cursor.execute("SELECT list(_off ORDER BY _ws) FROM state.\"CTAS_CLOSED_2\"").fetchall()
    assert numbers == [3, 4, None]


WINDOWED = "CREATE {} w (k VARCHAR {}KEY, v INT) WITH (KAFKA_TOPIC='w', VALUE_FORMAT='JSON', {});"
OF_TIME = "WINDOW_TYPE='Tumbling', WINDOW_SIZE='10 MILLISECONDS'"
OF_SESSIONS = "WINDOW_TYPE='session'"


@pytest.mark.parametrize(("window", "end"), [(OF_TIME, 30), (OF_SESSIONS, 27)])
def test_records_of_a_windowed_stream(window: str, end: int) -> None:
    record = TrialRecord("w", '{"V": 1}', '{"K": "a"}', 25, window=(20, 27))
    bounds = "WINDOWSTART AS ws, WINDOWEND AS we"
    statements = [
        WINDOWED.format("STREAM", "", window),
        "CREATE STREAM copied AS SELECT * FROM w;",
        f"CREATE STREAM again AS SELECT k, v + 1 AS v, {bounds} FROM copied WHERE WINDOWSTART = 20;",
        f"CREATE STREAM none AS SELECT k, {bounds} FROM w WHERE WINDOWEND > {end};",
    ]
    result = run(statements, [record], {"w": 1})
    assert result.refusal is None
    assert result.failures == {}
    copied = {"K": "a", "WINDOWSTART": 20, "WINDOWEND": end, "V": 1, "ROWTIME": 25}
    assert result.rows == {
        "COPIED": [copied], "NONE": [], "AGAIN": [copied | {"V": 2, "WS": 20, "WE": end}],
    }  # fmt: skip


def test_a_key_without_a_window_is_unreadable(tmp_path: Path) -> None:
    with inside(tmp_path) as server:
        server.done(WINDOWED.format("STREAM", "", f"PARTITIONS=1, {OF_TIME}"))
        server.done("CREATE STREAM copied AS SELECT * FROM w;")
        source = server.engine.catalog.sources["W"]
        server.engine.insert(source, [TopicRecord(1, '{"K": "a"}', '{"V": 1}')])
        server.settle()
        assert server.ask("SELECT * FROM copied;") == []
        (row,) = server.ask(
            "SELECT message->deserializationError->errorMessage AS m FROM KSQL_PROCESSING_LOG EMIT CHANGES LIMIT 1;"
        )
        assert "the key has no window" in row["M"]


def test_the_topic_of_a_windowed_table_as_a_stream(server: Inside) -> None:
    server.done(TUMBLING.replace(" EMIT FINAL", ""))
    server.done(
        "CREATE STREAM changes (k VARCHAR KEY, l ARRAY<INT>)"
        " WITH (KAFKA_TOPIC='CLOSED', VALUE_FORMAT='JSON', WINDOW_TYPE='TUMBLING', WINDOW_SIZE='6 MILLISECONDS');"
        "CREATE STREAM late AS SELECT k, l FROM changes WHERE WINDOWSTART >= 6;"
    )
    put(server, Row("a", 3, 1))
    put(server, Row("a", 8, 2))
    server.settle()
    assert times(server.ask("SELECT * FROM changes EMIT CHANGES;")) == [("a", 0, 6), ("a", 6, 12)]
    assert times(server.ask("SELECT * FROM late EMIT CHANGES;")) == [("a", 6, 12)]


OVER_SESSIONS = """
CREATE STREAM events (u INT, v INT) WITH (KAFKA_TOPIC='events', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE TABLE visits AS SELECT u, COUNT(*) AS n, SUM(v) AS s FROM events
  WINDOW SESSION (5 SECONDS, RETENTION 1 DAY, GRACE PERIOD 1 HOUR) GROUP BY u;
CREATE STREAM changes (u INT KEY, n BIGINT, s INT)
  WITH (KAFKA_TOPIC='VISITS', VALUE_FORMAT='JSON', WINDOW_TYPE='SESSION');
CREATE STREAM copies AS SELECT * FROM changes;
CREATE STREAM begun AS SELECT u, n, WINDOWSTART AS first FROM changes WHERE WINDOWSTART = WINDOWEND;
CREATE STREAM without_keys (n BIGINT, s INT) WITH (KAFKA_TOPIC='VISITS', VALUE_FORMAT='JSON');
CREATE STREAM met AS SELECT a.u AS u, a.n AS n, b.first AS first FROM copies a
  JOIN begun b WITHIN 1 MINUTE ON a.u = b.u;
CREATE TABLE newest AS SELECT s, LATEST_BY_OFFSET(n) AS n FROM changes GROUP BY s;
"""
EVENTS = ((1, 10, 1), (1, 12, 2), (2, 12, 7), (1, 20, 3), (1, 16, 4), (3, 11, 1), (2, 50, 5), (2, 10, 9))
"""U, the time in seconds, and V."""
SESSION_CHANGES = [
    (1, 1, 1, 10, 10), (1, 2, 3, 10, 12), (2, 1, 7, 12, 12), (1, 1, 3, 20, 20), (1, 4, 10, 10, 20), (3, 1, 1, 11, 11),
    (2, 1, 5, 50, 50), (2, 2, 16, 10, 12),
]  # fmt: skip
"""The records of VISITS with a value on a 7.9.1, if each event comes some seconds after the one before (2026-11-30)."""


def visit(server: Inside, events: Sequence[tuple[int, int, int]]) -> None:
    source = server.engine.catalog.sources["EVENTS"]
    for user, second, value in events:
        server.engine.insert(source, [TopicRecord(second * 1000, None, json.dumps({"U": user, "V": value}))])
    server.settle()


def changes_of(server: Inside, name: str) -> list[tuple[int, ...]]:
    rows = server.ask(f"SELECT u, n, s, WINDOWSTART AS a, WINDOWEND AS b FROM {name} EMIT CHANGES;")
    return [(row["U"], row["N"], row["S"], row["A"] // 1000, row["B"] // 1000) for row in rows]


def test_streams_over_the_topic_of_sessions(tmp_path: Path) -> None:
    with inside(tmp_path) as server:
        server.done(OVER_SESSIONS)
        for event in EVENTS[:4]:
            visit(server, [event])
    with inside(tmp_path) as server:  # after a restart
        for event in EVENTS[4:]:
            visit(server, [event])
        assert changes_of(server, "changes") == SESSION_CHANGES
        assert changes_of(server, "copies") == SESSION_CHANGES
        begun = [(row["U"], row["FIRST"]) for row in server.ask("SELECT * FROM begun EMIT CHANGES;")]
        assert begun == [(u, a * 1000) for u, _, _, a, b in SESSION_CHANGES if a == b]
        rows = [(row["N"], row["S"]) for row in server.ask("SELECT * FROM without_keys EMIT CHANGES;")]
        assert rows == [change[1:3] for change in SESSION_CHANGES]
        # A session of one record meets itself only.
        met = [(row["U"], row["N"], row["FIRST"]) for row in server.ask("SELECT * FROM met EMIT CHANGES;")]
        assert sorted(met) == sorted((u, 1, first) for u, first in begun)
        assert {row["S"]: row["N"] for row in server.ask("SELECT * FROM newest;")} == {
            1: 1, 3: 1, 7: 1, 10: 4, 5: 1, 16: 2,
        }  # fmt: skip
        # The table itself has the sessions that there are now.
        now = [change for change in SESSION_CHANGES if change[3:] in ((10, 20), (11, 11), (50, 50)) or change[1] == 2]
        assert sorted(changes_of(server, "visits")) == sorted(change for change in now if change[:2] != (1, 2))
        # Rows that RETENTION no longer keeps go everywhere.
        visit(server, [(4, 90_000, 1)])
        retention.sweep(server.engine._cursor, server.engine._topics(), 2**60, {})
        assert changes_of(server, "changes") == [(4, 1, 1, 90_000, 90_000)]


def test_a_stream_that_is_declared_later_has_the_changes_from_then_on(server: Inside) -> None:
    table, *streams = OVER_SESSIONS.split("CREATE STREAM changes")
    server.done(table)
    visit(server, EVENTS[:2])
    server.done(f"CREATE STREAM changes{streams[0]}")
    visit(server, EVENTS[2:4])
    visit(server, EVENTS[4:])
    # The first two events were in one session when the stream was declared.
    assert sorted(changes_of(server, "changes")) == sorted(SESSION_CHANGES[1:])


@pytest.mark.parametrize("ending", ["TERMINATE {};", "DROP TABLE visits;"])
def test_replaced_sessions_stay_in_the_topic_when_their_query_ends(server: Inside, ending: str) -> None:
    server.done(OVER_SESSIONS.split("CREATE STREAM copies")[0])
    (query,) = server.engine.catalog.writers("VISITS")
    visit(server, EVENTS[:2])
    visit(server, EVENTS[2:4])
    visit(server, EVENTS[4:])
    before, now = changes_of(server, "changes"), changes_of(server, "visits")
    assert len(before) > len(now)
    server.done(ending.format(query.id))
    assert changes_of(server, "changes") == before
    server.done("CREATE TABLE again (u INT PRIMARY KEY, n BIGINT, s INT)"
                " WITH (KAFKA_TOPIC='VISITS', VALUE_FORMAT='JSON', WINDOW_TYPE='SESSION');")  # fmt: skip
    assert sorted(changes_of(server, "again")) == sorted(now)


def test_a_database_of_an_older_release_gets_the_table_of_replaced_rows(tmp_path: Path) -> None:
    with inside(tmp_path) as server:
        server.done(OVER_SESSIONS)
        visit(server, EVENTS[:1])
        (table,) = server.engine._cursor.execute(
            "SELECT table_name FROM duckdb_tables() WHERE table_name LIKE '%VISITS% replaced'"
        ).fetchone()  # type: ignore[misc]
        server.engine._cursor.execute(f'DROP TABLE state."{table}"')
    with inside(tmp_path) as server:
        visit(server, EVENTS[1:2])
        assert changes_of(server, "changes") == SESSION_CHANGES[:2]
