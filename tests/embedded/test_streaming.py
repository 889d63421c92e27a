"""Clients that read lines get the rows of a query as soon as these exist."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.request import urlopen

import httpx
import pytest

from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.embedded import server
from tests.embedded import h2c

LINES = "application/vnd.ksqlapi.delimited.v1"
LIST = "application/json"
OLD = "application/vnd.ksql.v1+json"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server.running(tmp_path_factory.mktemp("data")) as running:
        yield running


NUMBERS = itertools.count()


@pytest.fixture
def source(url: str) -> str:
    """A stream without records."""
    name = f"S{next(NUMBERS)}"
    KsqlClient(url).execute(
        f"CREATE STREAM {name} (a INT) WITH (KAFKA_TOPIC='{name}', VALUE_FORMAT='JSON', PARTITIONS=1);"
    )
    return name


@pytest.mark.parametrize("is_http2", [False, True], ids=["h1", "h2"])
@pytest.mark.parametrize(
    ("path", "accept", "row"),
    [
        ("/query-stream", None, "[{}]"),
        ("/query-stream", LINES, "[{}]"),
        ("/query-stream", OLD, '{{"row":{{"columns":[{}]}}}},'),
        ("/query", OLD, '{{"row":{{"columns":[{}]}}}},'),
        ("/query", LIST, '{{"row":{{"columns":[{}]}}}},'),
    ],
)
def test_a_line_reader_gets_a_row_before_the_next_one_exists(
    url: str, source: str, path: str, accept: str | None, row: str, is_http2: bool
) -> None:
    client = KsqlClient(url)
    sql = f"SELECT a FROM {source} EMIT CHANGES;"
    body = {"sql": sql} if path == "/query-stream" else {"ksql": sql}
    headers = {"Accept": accept or ""}
    with (
        httpx.Client(http1=not is_http2, http2=is_http2, timeout=20) as http,
        http.stream("POST", url + path, json=body, headers=headers) as reply,
    ):
        lines = reply.iter_lines()
        assert "queryId" in next(lines)
        for value in (1, 2):
            client.ask(f"INSERT INTO {source} (a) VALUES ({value});")
            assert next(lines) == row.format(value)


@pytest.mark.parametrize(
    ("path", "accept", "expected"),
    [
        ("/query-stream", LINES, "HEADER\n[1]\n[2]\n"),
        ("/query-stream", LIST, "[HEADER,[1],[2]]"),
        (
            "/query",
            OLD,
            '[HEADER,\n{"row":{"columns":[1]}},\n{"row":{"columns":[2]}},\n{"finalMessage":"Limit Reached"}]',
        ),
    ],
)
def test_the_text_around_rows_is_ksqldbs(
    url: str, source: str, path: str, accept: str, expected: str
) -> None:
    """As a real 7.9.1 writes it (docs/ksqldb-facts.md, Requests and replies)."""
    KsqlClient(url).ask(f"INSERT INTO {source} (a) VALUES (1); INSERT INTO {source} (a) VALUES (2);")
    sql = f"SELECT a FROM {source} EMIT CHANGES LIMIT 2;"
    body = {"sql": sql, "ksql": sql}
    text = httpx.post(url + path, json=body, headers={"Accept": accept}).text
    header = text.removeprefix("[").partition("}\n" if accept == LINES else "},")[0] + "}"
    assert json.loads(header)
    assert text.replace(header, "HEADER") == expected


def test_an_old_pull_query_ends_without_a_message(url: str, source: str) -> None:
    """As a real 7.9.1 writes it (docs/ksqldb-facts.md, Requests and replies)."""
    client = KsqlClient(url)
    client.execute(f"CREATE TABLE {source}_t AS SELECT a, COUNT(*) AS n FROM {source} GROUP BY a;")
    client.ask(f"INSERT INTO {source} (a) VALUES (1);")
    body = {"ksql": f"SELECT * FROM {source}_t WHERE a = 1;"}
    text = httpx.post(f"{url}/query", json=body, headers={"Accept": OLD}).text
    assert text.endswith('},\n{"row":{"columns":[1,1]}}]')
    assert len(json.loads(text)) == 2


def test_closing_an_old_push_query_leaves_whole_json(url: str, source: str) -> None:
    client = KsqlClient(url)
    body = {"ksql": f"SELECT a FROM {source} EMIT CHANGES;"}
    with httpx.stream("POST", f"{url}/query", json=body, headers={"Accept": OLD}, timeout=20) as reply:
        lines = reply.iter_lines()
        header = next(lines)
        client.ask(f"INSERT INTO {source} (a) VALUES (1);")
        row = next(lines)
        query_id = json.loads(header.removeprefix("[").removesuffix(","))["header"]["queryId"]
        assert httpx.post(f"{url}/close-query", json={"queryId": query_id}).status_code == 200
        parts = json.loads("".join([header, row, *lines]))
    assert parts[1:] == [{"row": {"columns": [1]}}, {"finalMessage": "Query Completed"}]


def test_pushed_rows_are_separate_frames(url: str, source: str) -> None:
    """The npm package ksqldb-client parses each frame as one row."""
    body = json.dumps({"sql": f"SELECT a FROM {source} EMIT CHANGES LIMIT 3;"}).encode()
    with h2c.connected(url) as connection:
        number = connection.request("POST", "/query-stream", body=body)
        connection.line(number)
        inserts = " ".join(f"INSERT INTO {source} (a) VALUES ({value});" for value in (1, 2, 3))
        KsqlClient(url).ask(inserts)
        reply = connection.finished(number)
    assert (reply.body, reply.frames) == (b"[1]\n[2]\n[3]\n", 4)


def test_a_stopping_server_ends_open_queries(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(server.running(tmp_path))
        KsqlClient(url).execute(
            "CREATE STREAM s (a INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);"
        )
        body = json.dumps({"ksql": "SELECT a FROM s EMIT CHANGES;"}).encode()
        with h2c.connected(url) as connection, h2c.connected(url) as half:
            half.request("POST", "/ksql", body=b"{", is_over=False)
            query = connection.request("POST", "/query", {"accept": OLD}, body=body)
            header = connection.line(query)
            inserts = connection.request("POST", "/inserts-stream", body=b'{"target":"s"}\n', is_over=False)
            connection.send(inserts, b'{"a":1}\n')
            assert b"ok" in connection.line(inserts)
            row = connection.line(query)
            printed = urlopen(f"{url}/query", b'{"ksql":"PRINT s FROM BEGINNING;"}')
            lines = [printed.readline() for _ in range(3)]
            stopping = threading.Thread(target=stack.pop_all().close)
            stopping.start()
            parts = json.loads(b"".join([header, row, connection.finished(query).body]))
            assert parts[1] == {"row": {"columns": [1]}}
            assert parts[2]["errorMessage"]["message"] == "the server is stopping; ask again when it is up"
            assert connection.finished(inserts).body == b""
            assert b'value: {"A":1}' in lines[-1]
            assert printed.read() == b""
            stopping.join()
    assert "Traceback" not in capfd.readouterr().err


def test_a_join_wakes_for_each_of_its_sources(url: str, source: str) -> None:
    """The rows of a LEFT JOIN: at the left record, and at the right one, which comes later."""
    client = KsqlClient(url)
    other = f"{source}_R"
    client.execute(f"CREATE STREAM {other} (b INT) WITH (KAFKA_TOPIC='{other}', VALUE_FORMAT='JSON', PARTITIONS=1);")
    sql = f"SELECT l.a, r.b FROM {source} l LEFT JOIN {other} r WITHIN 9 DAYS ON l.a = r.b EMIT CHANGES LIMIT 2;"
    with (
        httpx.Client(timeout=20) as http,
        http.stream("POST", url + "/query-stream", json={"sql": sql}, headers={"Accept": LINES}) as reply,
    ):
        lines = reply.iter_lines()
        assert json.loads(next(lines))["columnNames"] == ["A", "B"]
        client.ask(f"INSERT INTO {source} (a) VALUES (7);")
        assert next(lines) == "[7,null]"
        client.ask(f"INSERT INTO {other} (b) VALUES (7);")
        assert list(lines) == ["[7,7]"]
