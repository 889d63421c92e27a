"""Queries that write into streams that other queries read, in any order of creation."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.embedded.inside import inside

RAW = "CREATE STREAM r (a INT) WITH (KAFKA_TOPIC='r', VALUE_FORMAT='JSON', PARTITIONS=1);"
REFUSAL = "a query that reads what it writes, by itself or through other queries, is not supported"


@pytest.mark.parametrize(
    "statements",
    [
        [RAW, "CREATE STREAM o WITH (KAFKA_TOPIC='r') AS SELECT a FROM r;"],
        [RAW, "INSERT INTO r SELECT a FROM r;"],
        [RAW, "CREATE STREAM s2 AS SELECT a FROM r;", "INSERT INTO r SELECT a FROM s2;"],
        [
            RAW,
            "CREATE STREAM s2 AS SELECT a FROM r;",
            "CREATE STREAM s3 AS SELECT a FROM s2;",
            "INSERT INTO r SELECT a FROM s3;",
        ],
    ],
)
def test_a_loop_is_refused(tmp_path: Path, statements: list[str]) -> None:
    """It would never end, and its sources could not be read."""
    with inside(tmp_path) as server:
        for statement in statements[:-1]:
            server.done(statement)
        reply, status = server.run(statements[-1])
        assert status == 400
        assert REFUSAL in reply["message"].lower()
        server.done("INSERT INTO r (a) VALUES (1);")


def test_an_older_query_reads_the_rows_of_a_newer_one(tmp_path: Path) -> None:
    with inside(tmp_path) as server:
        server.done(RAW)
        server.done("CREATE STREAM copy AS SELECT a FROM r;")
        server.done("CREATE TABLE n AS SELECT a, COUNT(*) AS n FROM copy GROUP BY a;")
        server.done(RAW.replace("STREAM r", "STREAM other").replace("'r'", "'other'"))
        server.done("INSERT INTO r SELECT a FROM other;")
        server.done("INSERT INTO other (a) VALUES (7);")
        server.settle()
        assert server.ask("SELECT a, n FROM n;") == [{"A": 7, "N": 1}]
