"""curl, over HTTP/1.1, HTTP/2 with prior knowledge, and an upgrade to HTTP/2."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence

import pytest

from tests.clients.conftest import Target

PRIOR = "--http2-prior-knowledge"


def curl(*arguments: str) -> tuple[str, str, str]:
    """The body, the status and the version of HTTP of curl's reply. Skips without curl or its HTTP/2."""
    path = shutil.which("curl")
    if path is None:
        pytest.skip("curl is not installed")
    if "HTTP2" not in subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout:
        pytest.skip("this curl has no HTTP/2")
    shown = ["-s", "-m", "60", "-w", "\n%{http_code} %{http_version}"]
    done = subprocess.run([path, *shown, *arguments], capture_output=True, text=True, check=True)
    body, _, last = done.stdout.rpartition("\n")
    status, version = last.split()
    return body, status, version


@pytest.mark.parametrize(("options", "version"), [([], "1.1"), ([PRIOR], "2"), (["--http2"], "2")])
def test_a_get(target: Target, options: Sequence[str], version: str) -> None:
    body, status, used = curl(*options, f"{target.url}/info")
    assert (json.loads(body)["KsqlServerInfo"]["version"], status, used) == ("7.9.1", "200", version)


@pytest.mark.parametrize("options", [[], [PRIOR]])
def test_statements_and_queries(target: Target, options: Sequence[str]) -> None:
    body, status, _ = curl(*options, f"{target.url}/ksql", "-d", '{"ksql":"SHOW STREAMS;"}')
    assert (target.stream in body, status) == (True, "200")
    query = json.dumps({"sql": f"SELECT * FROM {target.table} WHERE k = 'a';"})
    body, status, _ = curl(*options, f"{target.url}/query-stream", "-d", query)
    assert ([json.loads(line) for line in body.splitlines() if line][1:], status) == ([["a", 1, 1]], "200")


def test_a_print(target: Target) -> None:
    topic = target.stream.removesuffix("S") + "s"
    statement = json.dumps({"ksql": f"PRINT {topic} FROM BEGINNING LIMIT 2;"})
    body, status, _ = curl(f"{target.url}/query", "-d", statement)
    lines = body.splitlines()
    assert (lines[:2], status) == (["Key format: KAFKA_STRING", "Value format: JSON or KAFKA_STRING"], "200")
    assert [line.split(" Z, ")[1] for line in lines[2:4]] == [
        'key: a, value: {"V":1}, partition: 0',
        'key: b, value: {"V":2}, partition: 0',
    ]


def test_inserts_need_http2(target: Target) -> None:
    rows = json.dumps({"target": target.stream}) + '\n{"K":"curl1","V":3}\n{"K":"curl2","V":4}\n'
    options = (f"{target.url}/inserts-stream", "--data-binary", rows)
    body, status, _ = curl(*options)
    assert (json.loads(body)["error_code"], status) == (40004, "400")
    body, status, _ = curl(PRIOR, *options)
    acknowledged = [json.loads(line) for line in body.splitlines() if line]
    assert ([reply["seq"] for reply in acknowledged], status) == ([0, 1], "200")
    assert (target.sum_of("curl1"), target.sum_of("curl2")) == (3, 4)


@pytest.mark.parametrize(
    ("path", "options", "status"),
    [
        ("/info", ["-H", "Accept: text/html"], "406"),
        ("/query-stream", ["-H", "Accept: application/xml", "-d", '{"sql":"SHOW TYPES;"}'], "406"),
        ("/nothing", ["-H", "Accept: text/html"], "404"),
        ("/ksql", [], "405"),
        ("/chc/ready", [], "200"),
        ("/chc/live", ["-H", "Accept: text/html"], "200"),
        ("/info/", [], "200"),
        ("//info", [], "200"),
        ("/status/nope", [], "404"),
        ("/status/stream/NOPE/create", [], "404"),
        ("/clusterStatus", [], "404"),
        ("/ws/query", [], "400"),
        ("/close-query", ["-d", "{"], "400"),
        ("/ksql", ["-d", "[]"], "400"),
        ("/query", ["-d", "{}"], "400"),
        ("/query-stream", ["-d", "{}"], "400"),
    ],
)
def test_statuses(target: Target, path: str, options: Sequence[str], status: str) -> None:
    assert curl("--path-as-is", *options, f"{target.url}{path}")[1] == status
