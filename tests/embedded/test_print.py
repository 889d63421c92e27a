"""PRINT: records of files, of inserts and of queries, whether or not a stream is declared over their topic."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import httpx
import pytest

from opensea_metrics.deploy.embedded import server

SETUP = """
CREATE STREAM s (k VARCHAR KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE STREAM n (k BIGINT KEY, v INT) WITH (KAFKA_TOPIC='n', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE TABLE w AS SELECT k, COUNT(*) AS c FROM s WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY k;
CREATE STREAM d AS SELECT k, v * 2 AS v FROM s;
INSERT INTO s (ROWTIME, k, v) VALUES (1640995200123, 'a', 1);
INSERT INTO s (ROWTIME, k, v) VALUES (1640995201000, 'b', 2);
INSERT INTO s (ROWTIME, v) VALUES (1640995202000, 3);
INSERT INTO n (ROWTIME, k, v) VALUES (1640995200000, 7, 1);
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    data = tmp_path_factory.mktemp("data")
    files = data / "topics" / "raw" / "year=2022" / "month=01" / "day=01" / "hour=00"
    files.mkdir(parents=True)
    (files / "raw+0+0000000000.json").write_text('{"a": 1, "Other": [1, 2]}\nnot JSON\n')
    with server.running(data) as running, httpx.Client(base_url=running) as client:
        reply = client.post("/ksql", json={"ksql": SETUP})
        assert reply.status_code == 200, reply.text
        yield running


def lines(url: str, statement: str, **properties: str) -> list[str]:
    with httpx.Client(base_url=url, timeout=30) as client:
        reply = client.post("/query", json={"ksql": statement, "streamsProperties": properties})
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json"), reply.text
    return reply.text.splitlines()


FIRST = 'rowtime: 2022/01/01 00:00:00.123 Z, key: a, value: {"V":1}, partition: 0'
SECOND = 'rowtime: 2022/01/01 00:00:01.000 Z, key: b, value: {"V":2}, partition: 0'
THIRD = 'rowtime: 2022/01/01 00:00:02.000 Z, key: <null>, value: {"V":3}, partition: 0'


def test_a_declared_topic(url: str) -> None:
    formats = ["Key format: KAFKA_STRING", "Value format: JSON or KAFKA_STRING"]
    assert lines(url, "PRINT s FROM BEGINNING LIMIT 3;") == [*formats, FIRST, SECOND, THIRD]
    assert lines(url, "print 's' from beginning limit 1;") == [*formats, FIRST]
    assert lines(url, 'PRINT "s" FROM BEGINNING INTERVAL 2 LIMIT 2;') == [*formats, FIRST, THIRD]
    assert lines(url, "PRINT `s` FROM BEGINNING LIMIT 0;") == []


def test_a_topic_that_no_statement_declares(url: str) -> None:
    assert lines(url, "PRINT raw FROM BEGINNING LIMIT 2;") == [
        r"Key format: ¯\_(ツ)_/¯ - no data processed",
        "Value format: KAFKA_STRING",
        'rowtime: N/A, key: <null>, value: {"a": 1, "Other": [1, 2]}, partition: 0',
        "rowtime: N/A, key: <null>, value: not JSON, partition: 0",
    ]


def test_keys_with_windows_and_keys_that_are_numbers(url: str) -> None:
    key, value, *rows = lines(url, "PRINT W FROM BEGINNING LIMIT 2;")
    assert [key, value] == ["Key format: TUMBLING(KAFKA_STRING)", "Value format: JSON or KAFKA_STRING"]
    assert sorted(rows) == [
        'rowtime: 2022/01/01 00:00:00.123 Z, key: [a@1640995200000/-], value: {"C":1}, partition: 0',
        'rowtime: 2022/01/01 00:00:01.000 Z, key: [b@1640995200000/-], value: {"C":1}, partition: 0',
    ]
    number = lines(url, "PRINT n FROM BEGINNING LIMIT 1;")
    assert number[0] == "Key format: KAFKA_BIGINT or KAFKA_DOUBLE or KAFKA_STRING"


def test_the_topic_of_a_query(url: str) -> None:
    assert lines(url, "PRINT D FROM BEGINNING LIMIT 2;")[2:] == [
        FIRST.replace('"V":1', '"V":2'), SECOND.replace('"V":2', '"V":4')
    ]  # fmt: skip


def test_it_waits_for_new_records(url: str) -> None:
    received: list[str] = []
    begun = threading.Event()

    def follow() -> None:
        body = {"sql": "PRINT n;", "properties": {"auto.offset.reset": "latest"}}
        with httpx.stream("POST", f"{url}/query-stream", json=body, timeout=30) as reply:
            assert (reply.status_code, reply.headers.get("content-type")) == (200, None)
            begun.set()
            for line in reply.iter_lines():
                received.append(line)
                if len(received) == 2:
                    return

    thread = threading.Thread(target=follow)
    thread.start()
    assert begun.wait(30)
    with httpx.Client(base_url=url) as client:
        for number in (8, 9):
            sql = f"INSERT INTO n (ROWTIME, k, v) VALUES (1640995200000, {number}, 1);"
            assert client.post("/ksql", json={"ksql": sql}).status_code == 200
    thread.join(30)
    assert [line.split(", ")[1] for line in received] == ["key: 8", "key: 9"]


@pytest.mark.parametrize(
    ("statement", "status", "words"),
    [
        ("PRINT nope;", 400, "Could not find topic 'nope'"),
        ("PRINT S FROM BEGINNING;", 400, "Did you mean:\n\tprint s;"),
        ("PRINT s INTERVAL 0;", 500, "INTERVAL must be greater than one, but was: 0"),
        ("PRINT s LIMIT 1 FROM BEGINNING;", 400, "Syntax Error"),
        ("PRINT;", 400, "Syntax Error"),
    ],
)
def test_statements_that_are_refused(url: str, statement: str, status: int, words: str) -> None:
    with httpx.Client(base_url=url) as client:
        reply = client.post("/query", content=json.dumps({"ksql": statement}))
    assert (reply.status_code, words in reply.json()["message"]) == (status, True), reply.text
