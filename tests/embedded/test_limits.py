"""The limits on one request or connection."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.embedded import server
from opensea_metrics.deploy.embedded.rest.policy import Limits, Policy
from tests.embedded import h2c

LIMITS = Limits(body=10_000, body_time=0.6, idle=0.6, open_queries=3)
PATHS = ("/ksql", "/query", "/query-stream", "/close-query")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    policy = Policy(limits=LIMITS)
    with server.running(tmp_path_factory.mktemp("data"), policy=policy) as running:
        KsqlClient(running).execute(
            "CREATE STREAM s (k VARCHAR, a INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);"
        )
        yield running


def connect(url: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), timeout=20)


def error(reply: httpx.Response | h2c.Reply) -> tuple[int, int]:
    """Status and code of an error, which the server sends as JSON."""
    if isinstance(reply, h2c.Reply):
        return reply.status, json.loads(reply.body)["error_code"]
    return reply.status_code, reply.json()["error_code"]


def test_the_default_limits_allow_normal_work() -> None:
    usual = Limits()
    assert usual.body == 16 * 1024 * 1024
    assert usual.open_queries >= 500


@pytest.mark.parametrize("path", PATHS)
def test_a_body_over_the_limit(url: str, path: str) -> None:
    statement = json.dumps({"ksql": "SHOW STREAMS;", "sql": "x", "queryId": "x"}).encode()
    fits = statement + b" " * (LIMITS.body - len(statement))
    assert httpx.post(url + path, content=fits).status_code != 413
    assert error(httpx.post(url + path, content=fits + b" ")) == (413, 41300)
    # Chunked, so that no length is announced.
    assert httpx.post(url + path, content=iter([fits])).status_code != 413
    assert error(httpx.post(url + path, content=iter([fits, b" "]))) == (413, 41300)
    with h2c.connected(url) as connection:
        number = connection.request("POST", path, body=fits, is_over=False)
        connection.send(number, b" ", is_over=True)
        assert error(connection.finished(number)) == (413, 41300)


def test_a_body_far_over_the_limit_is_still_answered(url: str) -> None:
    """The client reads the reply after it has sent everything."""
    with connect(url) as raw:
        raw.sendall(b"POST /ksql HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n")
        raw.sendall(b" " * 3_000_000)
        assert raw.makefile("rb").readline().split()[1] == b"413"


def test_a_compressed_body_is_refused(url: str) -> None:
    """A small body must not unpack to a large one."""
    reply = httpx.post(f"{url}/ksql", content=b"x", headers={"Content-Encoding": "gzip"})
    assert error(reply) == (415, 41500)


@pytest.mark.parametrize("path", [*PATHS, "/info"])
def test_a_body_that_stops_half_way(url: str, path: str) -> None:
    with connect(url) as raw:
        raw.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{{".encode())
        assert raw.makefile("rb").readline().split()[1] == b"408"
    with h2c.connected(url) as connection:
        number = connection.request("POST", path, body=b"{", is_over=False)
        while not connection.replies[number].body:
            connection.read()
        assert error(connection.replies[number]) == (408, 40800)


def test_an_insert_stream_that_does_not_begin(url: str) -> None:
    with h2c.connected(url) as connection:
        number = connection.request("POST", "/inserts-stream", body=b'{"target', is_over=False)
        while not connection.replies[number].body:
            connection.read()
        assert error(connection.replies[number]) == (408, 40800)


@pytest.mark.parametrize("sent", [b"", b"GET /info HTTP/1.1\r\nHost: localhost\r\nX: ", b"PRI * HTTP/2.0"])
def test_a_head_that_does_not_end_closes_the_connection(url: str, sent: bytes) -> None:
    with connect(url) as raw:
        raw.sendall(sent)
        raw.settimeout(0.05)
        for _ in range(400):  # a byte now and then does not keep the connection open
            try:
                if raw.recv(1_000) == b"":
                    return
            except TimeoutError:
                if sent:
                    raw.sendall(b"x")
            except ConnectionError:
                return
    pytest.fail("the connection is still open")


def test_an_idle_connection_is_closed(url: str) -> None:
    with connect(url) as raw:
        raw.sendall(b"GET /info HTTP/1.1\r\nHost: localhost\r\n\r\n")
        reply = raw.makefile("rb")
        assert reply.readline().split()[1] == b"200"
        assert reply.read().endswith(b"}")  # to the end of the connection


def test_a_push_query_is_not_idle(url: str) -> None:
    with httpx.stream("POST", f"{url}/query-stream", json={"sql": "SELECT a FROM s EMIT CHANGES;"}) as reply:
        lines = reply.iter_lines()
        next(lines)
        time.sleep(LIMITS.idle + LIMITS.body_time)
        KsqlClient(url).ask("INSERT INTO s (k, a) VALUES ('x', 7);")
        assert next(lines) == "[7]"


def test_open_queries_have_a_limit(url: str) -> None:
    body = json.dumps({"sql": "SELECT a FROM s WHERE a < 0 EMIT CHANGES;"}).encode()
    old = {"ksql": "SELECT a FROM s WHERE a < 0 EMIT CHANGES;"}
    with h2c.connected(url) as connection:
        queries = [connection.request("POST", "/query-stream", body=body) for _ in range(2)]
        names = [json.loads(connection.line(number))["queryId"] for number in queries]
        inserts = connection.request("POST", "/inserts-stream", body=b'{"target":"s"}\n{}\n', is_over=False)
        assert json.loads(connection.line(inserts))["status"] == "ok"
        full = connection.finished(connection.request("POST", "/query-stream", body=body))
        assert error(full) == (429, 42900)
        assert "3 open queries" in json.loads(full.body)["message"]
        assert error(httpx.post(f"{url}/query", json=old)) == (429, 42900)
        more = connection.request("POST", "/inserts-stream", body=b'{"target":"s"}\n')
        assert error(connection.finished(more)) == (429, 42900)
        assert httpx.get(f"{url}/info").status_code == 200

        assert httpx.post(f"{url}/close-query", json={"queryId": names[0]}).status_code == 200
        connection.finished(queries[0])
        connection.send(inserts, b"", is_over=True)
        connection.finished(inserts)
        for _ in range(5):  # a query that is refused or has ended does not count
            assert httpx.post(f"{url}/query-stream", json={"sql": "SELECT nope FROM s;"}).status_code == 400
            assert httpx.post(f"{url}/query-stream", content=b"{").status_code == 400
            assert httpx.post(f"{url}/query-stream", json={"sql": "SELECT a FROM s;"}).status_code == 200
            connection.finished(connection.request("POST", "/inserts-stream", body=b'{"target":"nope"}\n'))
    # The connection is gone, and its queries with it.
    deadline = time.monotonic() + 20
    taken = 2
    while taken < 3 and time.monotonic() < deadline:
        with h2c.connected(url) as connection:
            numbers = [connection.request("POST", "/query-stream", body=body) for _ in range(3)]
            taken = sum(b"queryId" in connection.line(number) for number in numbers)
    assert taken == 3
