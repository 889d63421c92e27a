"""Deeply nested statements over HTTP are run, or refused like other statements."""

from __future__ import annotations

import httpx
import pytest

STREAM = "CREATE STREAM deep_{0} (a BIGINT) WITH (KAFKA_TOPIC='deep', VALUE_FORMAT='JSON', PARTITIONS=1);"


@pytest.fixture(scope="module")
def client(servers: dict[str, str]) -> httpx.Client:
    client = httpx.Client(base_url=servers["embedded"], timeout=60)
    sent = {"ksql": STREAM.format("T") + " INSERT INTO deep_T (a) VALUES (3);"}
    assert client.post("/ksql", json=sent).status_code == 200
    return client


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("(" * 250 + "a" + ")" * 250, 3),
        ("CASE WHEN a = 1 THEN a ELSE " * 200 + "a" + " END" * 200, 3),
        ("ABS(" * 60 + "a" + ")" * 60, 3),
        (" + ".join(["a"] * 2_000), 6_000),
    ],
    ids=lambda value: str(value)[:8],
)
def test_deep_expressions_are_computed(client: httpx.Client, expression: str, value: int) -> None:
    reply = client.post("/query-stream", json={"sql": f"SELECT {expression} AS x FROM deep_T;"})
    assert reply.status_code == 200, reply.text
    assert reply.text.splitlines()[1] == f"[{value}]"


@pytest.mark.parametrize("path", ["/ksql", "/query", "/query-stream"])
@pytest.mark.parametrize(
    "expression", ["(" * 251 + "a" + ")" * 251, "(" * 50_000, "NOT " * 50_000 + "a", "- " * 50_000 + "a"]
)
def test_statements_that_are_too_deep_are_refused(client: httpx.Client, path: str, expression: str) -> None:
    sent = {"sql" if path == "/query-stream" else "ksql": f"SELECT {expression} AS x FROM deep_T;"}
    reply = client.post(path, json=sent)
    assert reply.status_code == 400
    body = reply.json()
    assert body["error_code"] == 40001
    assert body["message"].startswith("Statement is too large to parse: more than ")
    assert "at line" not in body["message"]


def test_a_deep_type_can_be_declared_and_described(client: httpx.Client) -> None:
    kind = "STRUCT<x ARRAY<" * 100 + "INT" + ">>" * 100
    created = client.post("/ksql", json={"ksql": STREAM.format("U").replace("BIGINT", kind)})
    assert created.status_code == 200, created.text
    described = client.post("/ksql", json={"ksql": "DESCRIBE deep_U;"})
    assert described.text.count('"STRUCT"') == 100
