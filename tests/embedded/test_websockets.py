"""Websockets: who may open one, and what happens when a client leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from opensea_metrics.deploy.embedded import server
from opensea_metrics.deploy.embedded.rest.policy import Credentials, Limits, Policy

OPEN = 3
SETUP = """
CREATE STREAM s (k VARCHAR KEY, n INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
INSERT INTO s (k, n) VALUES ('a', 1);
"""
TOKEN = {"Authorization": "Bearer secret"}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    policy = Policy(credentials=Credentials(token="secret"), limits=Limits(open_queries=OPEN))
    with server.running(tmp_path_factory.mktemp("data"), policy=policy) as running:
        assert httpx.post(f"{running}/ksql", json={"ksql": SETUP}, headers=TOKEN).status_code == 200
        yield running


def opened(url: str, sql: str, headers: dict[str, str] = TOKEN) -> ClientConnection:
    request = quote(json.dumps({"ksql": sql, "streamsProperties": {}}))
    return connect(
        f"{url.replace('http', 'ws', 1)}/ws/query?request={request}", additional_headers=headers, open_timeout=30
    )


@pytest.mark.parametrize(
    ("headers", "status"), [({}, 401), ({**TOKEN, "Origin": "http://evil.example"}, 403)]
)
def test_who_may_open_one(url: str, headers: dict[str, str], status: int) -> None:
    with pytest.raises(InvalidStatus) as caught:
        opened(url, "SELECT * FROM s;", headers).close()
    assert caught.value.response.status_code == status


def test_a_path_without_websockets_does_not_exist(url: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        connect(f"{url.replace('http', 'ws', 1)}/ws/nope", additional_headers=TOKEN, open_timeout=30).close()
    reply = httpx.get(f"{url}/ws/nope", headers=TOKEN)
    assert (caught.value.response.status_code, reply.status_code) == (404, 404)
    assert caught.value.response.body == reply.content


@pytest.mark.parametrize("sql", ["SELECT * FROM s EMIT CHANGES;", "PRINT s FROM BEGINNING;"])
def test_a_client_that_leaves_ends_its_query(url: str, sql: str) -> None:
    """Otherwise the server would soon have as many open queries as it allows."""
    for _ in range(4 * OPEN):
        with opened(url, sql) as websocket:
            while "a" not in (message := str(websocket.recv(30))):
                assert "error" not in message


def test_there_is_a_limit(url: str) -> None:
    sql = "SELECT * FROM s EMIT CHANGES;"
    sockets = [opened(url, sql) for _ in range(OPEN)]
    for websocket in sockets:
        assert '"K"' in str(websocket.recv(30))
    with opened(url, sql) as websocket:
        assert "which is its limit" in json.loads(websocket.recv(30))["error"]
    for websocket in sockets:
        websocket.close()


def test_a_server_that_stops_says_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    with server.running(tmp_path_factory.mktemp("data")) as running:
        assert httpx.post(f"{running}/ksql", json={"ksql": SETUP}).status_code == 200
        websocket = opened(running, "SELECT * FROM s EMIT CHANGES;")
        websocket.recv(30)
        assert json.loads(websocket.recv(30)) == {"row": {"columns": ["a", 1]}}
    assert json.loads(websocket.recv(30))["error"].startswith("the server is stopping")
