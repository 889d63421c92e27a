"""/inserts-stream, as clients such as the Java client and ksql-migrations use it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from opensea_metrics.deploy.client import KsqlClient, KsqlError
from opensea_metrics.deploy.embedded import server
from opensea_metrics.deploy.embedded.rest.policy import Limits, Policy
from tests.embedded import h2c

PATH = "/inserts-stream"
OK = [{"status": "ok", "seq": 0}, {"status": "ok", "seq": 1}]
LONGEST = 100_000
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    policy = Policy(limits=Limits(body=LONGEST))
    with server.running(tmp_path_factory.mktemp("data"), policy=policy) as running:
        yield running


@pytest.fixture
def source(url: str) -> str:
    """An empty stream with a table over it."""
    name = f"S{next(NUMBERS)}"
    client = KsqlClient(url)
    client.execute(
        f"CREATE STREAM {name} (k VARCHAR KEY, a INT) WITH (KAFKA_TOPIC='{name}', VALUE_FORMAT='JSON',"
        " PARTITIONS=1);"
    )
    client.execute(f"CREATE TABLE {name}_SUMS AS SELECT k, COUNT(*) AS n, SUM(a) AS total FROM {name} GROUP BY k;")
    return name


def send(url: str, *lines: Any, accept: str = "", http2: bool = True) -> httpx.Response:
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    with httpx.Client(http1=not http2, http2=http2, timeout=20) as client:
        return client.post(url + PATH, content="\n".join(texts).encode(), headers={"Accept": accept})


def acks(reply: httpx.Response) -> list[Any]:
    assert reply.status_code == 200, reply.text
    return [json.loads(line) for line in reply.text.splitlines()]


def sums(url: str, source: str) -> dict[str, tuple[int, int]]:
    rows = KsqlClient(url).pull(f"SELECT * FROM {source}_SUMS;")
    return {row["K"]: (row["N"], row["TOTAL"]) for row in rows}


def test_rows_are_stored_in_order_and_counted(url: str, source: str) -> None:
    reply = send(url, {"target": source, "properties": {}}, {"k": "x", "a": 1}, {"K": "y", "A": 2}, "")
    assert acks(reply) == OK
    assert sums(url, source) == {"x": (1, 1), "y": (1, 2)}
    KsqlClient(url).ask(f"INSERT INTO {source} (k, a) VALUES ('x', 5);")
    send(url, {"target": source.lower()}, {"k": "x", "a": 3})
    assert sums(url, source) == {"x": (3, 9), "y": (1, 2)}
    stream = KsqlClient(url).push(f"SELECT k, a FROM {source} EMIT CHANGES LIMIT 4;")
    assert [(row["K"], row["A"]) for row in stream] == [("x", 1), ("y", 2), ("x", 5), ("x", 3)]


def test_a_row_is_acknowledged_before_the_next_one_is_sent(url: str, source: str) -> None:
    with h2c.connected(url) as connection:
        number = connection.request("POST", PATH, is_over=False)
        connection.send(number, json.dumps({"target": source}).encode() + b"\n")
        for seq in range(3):
            # In two parts: a row need not come in one.
            connection.send(number, b'{"k":"x",')
            connection.send(number, b'"a":1}\n')
            assert json.loads(connection.line(number)) == {"status": "ok", "seq": seq}
            assert sums(url, source) == {"x": (seq + 1, seq + 1)}
        connection.send(number, b"", is_over=True)
        assert connection.finished(number).body == b""


def test_as_one_list(url: str, source: str) -> None:
    args = {"target": source, "properties": {}}
    rows = [{"k": "x", "a": 1}, {"k": "y", "a": 2}]
    reply = send(url, args, *rows, "", accept="application/json")
    assert (reply.status_code, reply.json()) == (200, OK)
    assert send(url, args, accept="application/json").json() == []
    reply = send(url, args, rows[0], {"k": 1}, accept="application/json")
    assert [ack["status"] for ack in reply.json()] == ["ok", "error"]


def test_the_first_wrong_row_ends_the_stream(url: str, source: str) -> None:
    """On a real server later rows may be stored or not. Here they are not stored."""
    rows = [{"k": "x", "a": 1}, {"k": "x", "a": "b"}, {"k": "x", "a": 2}]
    good, bad = acks(send(url, {"target": source}, *rows))
    assert good == OK[0]
    assert bad == {
        "@type": "InsertError",
        "status": "error",
        "seq": 1,
        "error_code": 40000,
        "message": "Can't coerce a field of type class java.lang.String into type INTEGER",
    }
    assert sums(url, source) == {"x": (1, 1)}


def test_a_connection_survives_rows_after_a_wrong_one(url: str, source: str) -> None:
    with h2c.connected(url) as connection:
        number = connection.request("POST", PATH, is_over=False)
        connection.send(number, json.dumps({"target": source}).encode() + b"\nbroken\n")
        assert json.loads(connection.finished(number).body)["error_code"] == 40000
        connection.send(number, b'{"k":"x","a":1}\n')
        assert connection.finished(connection.request("GET", "/info")).status == 200
        connection.send(number, b'{"k":"x","a":1}\n', is_over=True)
        assert connection.finished(connection.request("GET", "/info")).status == 200
    assert sums(url, source) == {}


@pytest.mark.parametrize(
    ("first", "code", "message"),
    [
        ({"target": "nope"}, 40001, "Cannot insert values into an unknown stream/table: `NOPE`"),
        ({"target": "`RAW`x"}, 40001, "Invalid target name: Expected matching quote at end of value"),
        ({"target": ""}, 40001, "Cannot insert values into an unknown stream/table: ``"),
        ({"target": "`nope`"}, 40001, "Cannot insert values into an unknown stream/table: `nope`"),
        ({"target": "WINDOWED"}, 40001, "Cannot insert values into windowed stream/table"),
        ({"target": "KSQL_PROCESSING_LOG"}, 40001, "Cannot insert values into read-only topic: "),
        ({"target": 5}, 40001, "Cannot insert values into an unknown stream/table: `5`"),
        ({"target": None}, 40000, "Invalid JSON in request: the field 'target' must be text, not null"),
        ({"target": "RAW", "properties": []}, 40000, "Invalid JSON in request: the field 'properties'"),
        ({}, 40000, "Invalid JSON in request: Missing required creator property 'target'"),
        ("[]", 40000, "Invalid JSON in request: an object is expected"),
        ("{broken", 40000, "Invalid JSON in request: "),
        ("", 40000, "Invalid JSON in request: "),
        ("x" * (LONGEST + 1), 40000, "Invalid JSON in request: the first line is longer than"),
    ],
)  # fmt: skip
def test_targets_that_are_refused(
    url: str, windowed: None, first: Any, code: int, message: str
) -> None:
    reply = send(url, first, {"k": "x"})
    assert (reply.status_code, reply.json()["error_code"]) == (400, code)
    assert reply.json()["message"].startswith(message)


@pytest.fixture(scope="module")
def windowed(url: str) -> None:
    client = KsqlClient(url)
    client.execute(
        "CREATE STREAM raw (k VARCHAR, a INT) WITH (KAFKA_TOPIC='raw', VALUE_FORMAT='JSON', PARTITIONS=1);"
    )
    client.execute(
        "CREATE TABLE windowed AS SELECT k, COUNT(*) AS n FROM raw WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY k;"
    )


def test_http1_is_refused(url: str, source: str) -> None:
    reply = send(url, {"target": source}, {"k": "x", "a": 1}, http2=False)
    assert reply.status_code == 400
    assert reply.json() == {
        "@type": "generic_error",
        "error_code": 40004,
        "message": "This endpoint is only available when using HTTP2",
    }
    assert sums(url, source) == {}


def test_a_row_over_the_limit_is_refused(url: str, source: str) -> None:
    first, rows = {"target": source}, [{"k": "x", "a": 1}, {"k": "x" * LONGEST}]
    with h2c.connected(url) as connection:
        number = connection.request("POST", PATH, is_over=False)
        for line in (first, *rows):
            text = json.dumps(line).encode() + b"\n"
            for start in range(0, len(text), 16_000):
                connection.send(number, text[start : start + 16_000])
                connection.finished(connection.request("GET", "/info"))  # lets the window open again
        good, bad = connection.finished(number).body.splitlines()
    assert json.loads(good) == OK[0]
    assert (json.loads(bad)["seq"], json.loads(bad)["error_code"]) == (1, 41300)
    assert sums(url, source) == {"x": (1, 1)}


def test_a_source_that_is_dropped_meanwhile(url: str, source: str) -> None:
    client = KsqlClient(url)
    with h2c.connected(url) as connection:
        number = connection.request("POST", PATH, is_over=False)
        connection.send(number, json.dumps({"target": source}).encode() + b'\n{"k":"x","a":1}\n')
        assert json.loads(connection.line(number)) == OK[0]
        client.execute(f"DROP TABLE {source}_SUMS;")
        client.execute(f"DROP STREAM {source};")
        connection.send(number, b'{"k":"x","a":1}\n')
        assert "was dropped or replaced" in json.loads(connection.finished(number).body)["message"]


def test_rows_of_a_client_that_vanishes_stay(url: str, source: str) -> None:
    with h2c.connected(url) as connection:
        number = connection.request("POST", PATH, is_over=False)
        connection.send(number, json.dumps({"target": source}).encode() + b'\n{"k":"x","a":1}\n{"k":"x"')
        assert json.loads(connection.line(number)) == OK[0]
    assert acks(send(url, {"target": source}, {"k": "x", "a": 2})) == [OK[0]]
    assert sums(url, source) == {"x": (2, 3)}


def test_many_rows(url: str, source: str) -> None:
    rows = (json.dumps({"k": "xy"[n % 2], "a": n}).encode() + b"\n" for n in range(5_000))
    body = itertools.chain([json.dumps({"target": source}).encode() + b"\n"], rows)
    with httpx.Client(http1=False, http2=True, timeout=60) as client:
        reply = client.post(url + PATH, content=body)
    assert [ack["seq"] for ack in acks(reply)] == list(range(5_000))
    assert sums(url, source) == {"x": (2_500, 6_247_500), "y": (2_500, 6_250_000)}


def test_a_migration_tool_reads_the_record_that_it_inserted(url: str) -> None:
    """ksql-migrations inserts its record with /inserts-stream and reads it immediately."""
    client = KsqlClient(url)
    columns = "version_key, version, name, state, checksum, started_on, completed_on, previous, error_reason"
    declared = ", ".join(
        f"{name} STRING{' KEY' if name == 'version_key' else ''}" for name in columns.split(", ")
    )
    latest = ", ".join(f"LATEST_BY_OFFSET({name}) AS {name}" for name in columns.split(", ")[1:])
    client.execute(
        f"CREATE STREAM MIGRATION_EVENTS ({declared})"
        " WITH (KAFKA_TOPIC='migration_events', VALUE_FORMAT='JSON', PARTITIONS=1);"
    )
    client.execute(
        f"CREATE TABLE MIGRATION_SCHEMA_VERSIONS AS SELECT version_key, {latest} FROM MIGRATION_EVENTS"
        " GROUP BY version_key;"
    )
    for state in ("RUNNING", "MIGRATED"):
        for key in ("CURRENT", "1"):
            row = {"VERSION_KEY": key, "VERSION": "1", "NAME": "one", "STATE": state, "CHECKSUM": "5d41402abc"}
            row |= {"STARTED_ON": "1", "COMPLETED_ON": "", "PREVIOUS": "<none>", "ERROR_REASON": "N/A"}
            assert acks(send(url, {"target": "MIGRATION_EVENTS", "properties": {}}, row, "")) == [OK[0]]
        rows = client.pull("SELECT * FROM MIGRATION_SCHEMA_VERSIONS WHERE version_key = 'CURRENT';")
        assert [(version["STATE"], version["PREVIOUS"]) for version in rows] == [(state, "<none>")]


def test_inserts_into_a_querys_stream_and_into_a_table(url: str, source: str) -> None:
    """ksqlDB accepts both. A row for a table must have a key."""
    client = KsqlClient(url)
    client.execute(f"CREATE STREAM {source}_COPY AS SELECT * FROM {source};")
    client.execute(
        f"CREATE TABLE {source}_T (k VARCHAR PRIMARY KEY, a INT)"
        f" WITH (KAFKA_TOPIC='{source}_T', VALUE_FORMAT='JSON', PARTITIONS=1);"
    )
    assert acks(send(url, {"target": f"{source}_COPY"}, {"k": "x", "a": 1})) == [OK[0]]
    rows = client.push(f"SELECT k, a FROM {source}_COPY EMIT CHANGES LIMIT 1;")
    assert [(row["K"], row["A"]) for row in rows] == [("x", 1)]
    assert acks(send(url, {"target": f"{source}_T"}, {"k": "x", "a": 1})) == [OK[0]]
    (error,) = acks(send(url, {"target": f"{source}_T"}, {"a": 1}))
    assert error["message"] == "Key field must be specified: K"


def test_dates_times_and_bytes(url: str) -> None:
    """They arrive as text, and are read with their types, as columns and within other types."""
    client = KsqlClient(url)
    client.execute(
        "CREATE STREAM kinds (da DATE, ti TIME, ts TIMESTAMP, y BYTES, e DECIMAL(6,2), st STRUCT<ts TIMESTAMP,"
        " y BYTES>, ar ARRAY<DATE>, m MAP<VARCHAR, TIMESTAMP>)"
        " WITH (KAFKA_TOPIC='kinds', VALUE_FORMAT='JSON', PARTITIONS=1);"
    )
    row: dict[str, Any] = {"da": "2022-01-02", "ti": "10:11:12.5", "ts": "2022-01-02T03:04:05.678+0100", "y": "aGVsbG8"}
    row |= {"e": 1.005, "st": {"ts": "2022", "y": "aGVsbG8="}, "ar": ["2022-01", None], "m": {"a": "2022-01-02"}}
    assert acks(send(url, {"target": "kinds"}, row)) == [OK[0]]
    (result,) = map(dict, client.push("SELECT * FROM kinds EMIT CHANGES LIMIT 1;"))
    assert result == {
        "DA": "2022-01-02", "TI": "10:11:12", "TS": "2022-01-02T02:04:05.678", "Y": "aGVsbG8=", "E": 1.01,
        "ST": {"TS": 1640995200000, "Y": "aGVsbG8="}, "AR": ["2022-01-01", None],
        "M": {"a": "2022-01-02T00:00:00.000"},
    }  # fmt: skip


def test_rows_of_one_request_are_stored_in_order_or_not_at_all(url: str, source: str) -> None:
    client = KsqlClient(url)
    topic = f"WITH (KAFKA_TOPIC='{source}.more', VALUE_FORMAT='JSON', PARTITIONS=1)"
    client.execute(f"CREATE STREAM {source}_MORE (a INT) {topic};")
    client.execute(
        f"INSERT INTO {source} (k, a) VALUES ('x', 1); INSERT INTO {source}_MORE (a) VALUES (10 - 1);"
        f" INSERT INTO {source} (k, a, ROWTIME) VALUES ('it''s', 2, 5);"
        f" INSERT INTO {source} (k, a) VALUES (UCASE('y'), 3);"
    )
    stream = client.push(f"SELECT k, a, ROWOFFSET AS o FROM {source} EMIT CHANGES LIMIT 3;")
    assert [tuple(row.values()) for row in stream] == [("x", 1, 0), ("it's", 2, 1), ("Y", 3, 2)]
    assert [row["A"] for row in client.push(f"SELECT a FROM {source}_MORE EMIT CHANGES LIMIT 1;")] == [9]
    insert = f"INSERT INTO {source} (k, a) VALUES"
    with pytest.raises(KsqlError):
        client.execute(f"{insert} ('z', 4); {insert} ('z', 'four');")
    assert "z" not in sums(url, source)
    assert sums(url, source)["x"] == (1, 1)
