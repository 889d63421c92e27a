"""Two clients from PyPI: ksqldb and ksql-python-ng."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from ksql import KSQLAPI
from ksql.errors import KSQLError

from tests.clients.conftest import EARLIEST, Target

KSQLdbClient = pytest.importorskip("ksqldb", reason="install the extra [test]").KSQLdbClient


def test_ksqldb_statements(target: Target) -> None:
    client = KSQLdbClient(target.url)
    names = [item["name"] for item in client.ksql("SHOW STREAMS;")[0]["streams"]]
    assert target.stream in names
    assert {"ksql.service.id", "ksql.streams.auto.offset.reset"} <= {p["name"] for p in client.get_properties()}


def test_ksqldb_queries(target: Target) -> None:
    client = KSQLdbClient(target.url)
    header, *rows = client.query_sync(f"SELECT * FROM {target.table} WHERE k = 'a';")
    assert (header["columnNames"], rows) == (["K", "N", "S"], [["a", 1, 1]])

    async def followed() -> tuple[list[Any], bool]:
        rows: list[Any] = []
        is_closed = False
        query = f"SELECT * FROM {target.stream} EMIT CHANGES;"
        query_id = ""
        async for item in client.query_async(query, EARLIEST, timeout=60):
            if isinstance(item, dict):
                query_id = item["queryId"]
                continue
            rows.append(item)
            if len(rows) == 2:
                is_closed = await asyncio.to_thread(client.close_query, query_id)
        return rows, is_closed

    assert asyncio.run(followed()) == ([["a", 1], ["b", 2]], True)
    assert client.close_query("nope") is False


def test_ksqldb_inserts(target: Target) -> None:
    client = KSQLdbClient(target.url)
    replies = client.inserts_stream(target.stream, [{"K": "py1", "V": 3}, {"K": "py1", "V": "x"}])
    *_, last = replies  # a real server may end the reply before it has acknowledged the first row
    assert (last["seq"], last["status"]) == (1, "error")
    assert last["message"] == "Can't coerce a field of type class java.lang.String into type INTEGER"
    assert target.sum_of("py1") == 3


def test_ksql_python_ng_statements(target: Target) -> None:
    client = KSQLAPI(target.url)
    assert client.get_ksql_version() == "7.9.1"
    assert target.stream in [item["name"] for item in client.ksql("SHOW STREAMS;")[0]["streams"]]
    with pytest.raises(KSQLError) as caught:
        client.ksql(f"SELECT * FROM {target.stream};")
    assert "should be issued to the websocket endpoint" in str(caught.value)


@pytest.mark.parametrize("use_http2", [True, False])
def test_ksql_python_ng_queries(target: Target, use_http2: bool) -> None:
    client = KSQLAPI(target.url)
    query = f"SELECT * FROM {target.stream} EMIT CHANGES LIMIT 2;"
    text = "".join(client.query(query, stream_properties=EARLIEST, use_http2=use_http2))
    assert [json.loads(line) for line in text.splitlines() if line][1:] == [["a", 1], ["b", 2]]


def test_ksql_python_ng_inserts(target: Target) -> None:
    client = KSQLAPI(target.url)
    replies = client.inserts_stream(target.stream, [{"K": "py2", "V": 3}, {"K": "py3", "V": 4}])
    assert [reply["status"] for reply in replies] == ["ok", "ok"]
    assert (target.sum_of("py2"), target.sum_of("py3")) == (3, 4)
