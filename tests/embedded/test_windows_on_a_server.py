"""Sessions, final results and windowed sources through statements: restarts, pull and push queries, topics."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from opensea_metrics.core.errors import SqlError
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


@pytest.mark.parametrize("query", ["SELECT * FROM c EMIT CHANGES;", "SELECT * FROM c;"])
def test_a_stream_over_merged_sessions_is_refused(server: Inside, query: str) -> None:
    server.done(SESSIONS.format(""))
    server.done("CREATE STREAM c (l ARRAY<INT>) WITH (KAFKA_TOPIC='VISITS', VALUE_FORMAT='JSON');")
    refused = "a stream over the topic of VISITS, whose sessions are merged, is not supported"
    with pytest.raises(SqlError, match=refused):
        server.ask(query)
    reply, status = server.run("CREATE STREAM d AS SELECT * FROM c;")
    assert status == 400
    assert refused in reply["message"]
