"""Pull queries by key have the same answers whether or not several wait together."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from opensea_metrics.deploy.embedded import server
from opensea_metrics.deploy.embedded.queries import key_lookups

SETUP = """
CREATE STREAM s (k VARCHAR KEY, n INT, d DOUBLE) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=2);
CREATE TABLE plain AS SELECT k, COUNT(*) AS n, SUM(d) AS d FROM s GROUP BY k;
CREATE TABLE windows AS SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 1 DAY) GROUP BY k;
CREATE TABLE sets AS SELECT k, COLLECT_SET(n) AS ns FROM s WINDOW TUMBLING (SIZE 1 DAY) GROUP BY k;
CREATE TABLE numbers AS SELECT n, COUNT(*) AS c FROM s GROUP BY n;
CREATE TABLE pairs WITH (KEY_FORMAT='JSON') AS SELECT k, n, COUNT(*) AS c FROM s GROUP BY k, n;
"""
KEYS = ["a", "b", "it's", "", "ä", "no such key", "${x}"]
FORMS = [
    "SELECT * FROM plain WHERE k = {};",
    "SELECT d, k FROM plain WHERE k = {};",
    "select n as x from plain where K={} ;",
    "SELECT n FROM plain WHERE k = {} AND n > 1;",
    "SELECT n FROM plain WHERE k = {} AND k = 'a';",
    "SELECT n FROM plain WHERE k = {} AND (n = 1 OR n = 2);",
    "SELECT k, CASE WHEN k = 'a' THEN 1 ELSE 2 END AS c FROM plain WHERE k = {};",
    "SELECT p.n FROM plain p WHERE p.k = {};",
    "SELECT * FROM plain WHERE k = {} LIMIT 1;",
    "SELECT * FROM plain WHERE k = {} OR k = 'b';",
    "SELECT n FROM windows WHERE k = {};",
    "SELECT * FROM windows WHERE k = {} AND WINDOWSTART >= '2020-01-01';",
    "SELECT ns FROM sets WHERE k = {};",
    "SELECT k FROM pairs WHERE k = {};",
    "SELECT NOPE FROM plain WHERE k = {};",
    "SELECT n FROM plain WHERE k = {} AND NOPE = 1;",
    "SELECT n FROM nope WHERE k = {};",
    "SELECT n FROM s WHERE k = {};",
    "SELECT n FROM plain WHERE k = {} EMIT CHANGES LIMIT 0;",
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server.running(tmp_path_factory.mktemp("data")) as running:
        with httpx.Client(base_url=running) as client:
            assert client.post("/ksql", json={"ksql": SETUP}).status_code == 200
        rows = [{"K": key, "N": number, "D": number / 4} for number in range(3) for key in KEYS[:5]]
        body = "\n".join(map(json.dumps, [{"target": "s"}, *rows]))
        with httpx.Client(base_url=running, http1=False, http2=True) as client:
            assert client.post("/inserts-stream", content=body).text.count("ok") == len(rows)
        yield running


def answer(client: httpx.Client, sql: str) -> tuple[int, Any]:
    reply = client.post("/query-stream", json={"sql": sql})
    if reply.status_code != 200:
        return reply.status_code, reply.json()["message"]
    header, *rows = map(json.loads, reply.text.splitlines())
    return 200, [header["columnNames"], header["columnTypes"], *rows]


@pytest.mark.parametrize("form", FORMS)
def test_lookups_answer_as_other_queries_do(url: str, form: str) -> None:
    """A comment in the text keeps a query from being looked up."""
    with httpx.Client(base_url=url, timeout=60) as client:
        for key in KEYS:
            literal = "'" + key.replace("'", "''") + "'"
            usual = re.sub("(?i)where", "WHERE /*''*/", form, count=1)
            assert key_lookups._FORM.fullmatch(usual.format(literal)) is None
            expected = answer(client, usual.format(literal))
            got = answer(client, form.format(literal))
            if expected[0] == 200:
                assert got == expected
            else:
                assert got[0] == expected[0]  # the messages name different columns of the text


def test_a_long_query_is_answered_too(url: str) -> None:
    with httpx.Client(base_url=url, timeout=60) as client:
        condition = " AND ".join(["n > 0"] * 1_000)
        assert answer(client, f"SELECT n FROM plain WHERE k = 'a' AND {condition};")[1][2:] == [[3]]
        assert answer(client, f"SELECT n{' FROM WHERE' * 100_000} k = 'a';")[0] == 400


@pytest.mark.parametrize("key", [0, 1, 2, 5, -1, 2**40])
def test_numbers_as_keys(url: str, key: int) -> None:
    with httpx.Client(base_url=url) as client:
        expected = [[key, 5]] if 0 <= key <= 2 else []
        assert answer(client, f"SELECT * FROM numbers WHERE n = {key};") == (
            200, [["N", "C"], ["INTEGER", "BIGINT"], *expected]
        )  # fmt: skip


def test_queries_that_wait_together_get_their_own_rows(url: str) -> None:
    def ask(number: int) -> None:
        with httpx.Client(base_url=url, timeout=60) as client:
            for turn in range(30):
                key = KEYS[(number + turn) % 5]
                literal = key.replace("'", "''")
                found = answer(client, f"SELECT k, n FROM plain WHERE k = '{literal}';")
                assert found == (200, [["K", "N"], ["STRING", "BIGINT"], [key, 3]])

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(ask, range(20)))


def test_a_lookup_sees_what_was_just_inserted(url: str) -> None:
    with httpx.Client(base_url=url) as client:
        for number in range(1, 6):
            client.post("/ksql", json={"ksql": "INSERT INTO s (k, n, d) VALUES ('new', 9, 1.5);"})
            _, (_, _, row) = answer(client, "SELECT k, n, d FROM plain WHERE k = 'new';")
            assert row == ["new", number, 1.5 * number]


def test_a_form_means_something_else_after_a_table_was_replaced(url: str) -> None:
    with httpx.Client(base_url=url) as client:
        for expression, expected in (("COUNT(*)", 1), ("SUM(n)", 14)):
            statements = (
                "DROP TABLE IF EXISTS again DELETE TOPIC; INSERT INTO s (k, n) VALUES ('r', 7);"
                f" CREATE TABLE again AS SELECT k, {expression} AS x FROM s WHERE k = 'r' GROUP BY k;"
            )
            assert client.post("/ksql", json={"ksql": statements}).status_code == 200
            for _ in range(200):  # the new query has not read its topic yet
                _, (_, _, *rows) = answer(client, "SELECT k, x FROM again WHERE k = 'r';")
                if rows:
                    break
                time.sleep(0.05)
            assert rows == [["r", expected]]
