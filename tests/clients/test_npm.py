"""Two clients from npm, run by Node.js. Each command's result is compared; a command without a result fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.clients.conftest import Target, run_node

HERE = Path(__file__).parent


def test_ksqldb_client(node_packages: Path, target: Target) -> None:
    results = run_node(
        node_packages, HERE / "ksqldb_client.js", str(target.port), target.stream, target.table
    )
    # The client cannot read the server's refusal, and raises an error of its own.
    assert "failed" in results.pop("insertInto an unknown stream")
    expected: dict[str, Any] = {
        "query": [{"K": "a", "N": 1, "S": 1}],
        "query with a variable": [{"K": "b", "N": 1, "S": 2}],
        "streamQuery": {"rows": [{"K": "a", "V": 1}, {"K": "b", "V": 2}], "status": 200},
        "insertInto": 200,
        "terminatePushQuery": True,
        "executeStatement": 200,
        "executeStatement that is wrong": {"status": 400, "code": 40001},
        "describeSource": ["K", "V"],
        "listStreams": True,
        "listTables": True,
        "listTopics": True,
        "listQueries": True,
    }
    assert results == expected
    assert target.sum_of("npm1") == 3


def test_ksqldb_js(node_packages: Path, target: Target) -> None:
    results = run_node(node_packages, HERE / "ksqldb_js.js", target.url, target.stream, target.table)
    wrong = results.pop("ksql that is wrong")
    assert "line 1:8: " in wrong["failed"]
    acknowledged = [{"status": "ok", "seq": 0}, {"status": "ok", "seq": 1}]
    expected: dict[str, Any] = {
        "ksql": True,
        "pull": [["a", 1, 1]],
        "push": ["a", 1],
        "insertStream": acknowledged,
        "createStream": 200,
        "createStreamAs": "string",
        "inspectServerInfo": "7.9.1",
        "inspectServerHealth": True,
        "inspectQueryStatus": "SUCCESS",
        "isValidProperty": True,
    }
    assert results == expected
    assert (target.sum_of("npm3"), target.sum_of("npm4")) == (7, 8)
