"""Statements whose meaning is not obvious. The rules are those of a real 7.9.1."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.embedded.inside import Inside, inside


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    """A server with one stream, R."""
    with inside(tmp_path_factory.mktemp("reading")) as server:
        server.done(
            "CREATE STREAM r (a INT, d DOUBLE) WITH ('kafka_topic'='r', 'Value_Format'='JSON', PARTITIONS=2);"
        )
        yield server


def refusal(server: Inside, text: str) -> str:
    """The message of a statement that is refused with 400."""
    reply, status = server.run(text)
    assert status == 400, reply
    return str(reply["message"])


def test_numbers_and_names_end_where_they_should(server: Inside) -> None:
    server.done("CREATE STREAM t AS SELECT d*1e3-1 AS x, 0.1e0+0.2e0 AS y, a 1b, 1.5z, .5e1-.5 AS w FROM r date;")
    server.done("INSERT INTO r (a, d) VALUES (7, 1e3-999);")
    server.settle()
    (row,) = server.ask("SELECT * FROM t;")
    assert row == {"X": 999.0, "Y": 0.1 + 0.2, "1B": 7, "Z": Decimal("1.5"), "W": 4.5}


@pytest.mark.parametrize("name", ["1e", "0x1F", "1d", "1_000"])
def test_digits_with_letters_are_an_unknown_column(server: Inside, name: str) -> None:
    problem = f"Line: 1, Col: 27: SELECT column '{name.upper()}' cannot be resolved."
    assert problem in refusal(server, f"CREATE STREAM u AS SELECT {name} AS c FROM r;")
    in_values = f"Unsupported column reference in insert value: {name.upper()}"
    assert in_values in refusal(server, f"INSERT INTO r (d) VALUES ({name});")


@pytest.mark.parametrize(
    "statement",
    ["DROP STREAM r", "DROP STREAM nope", "SHOW STREAMS", "EXPLAIN SELECT a FROM r", "TERMINATE x", "UNSET 'a'",
     "CREATE STREAM u (a INT) WITH (KAFKA_TOPIC='u', VALUE_FORMAT='JSON')", "INSERT INTO nope VALUES (1)"],
)  # fmt: skip
def test_explain_of_a_statement_without_a_query(server: Inside, statement: str) -> None:
    assert refusal(server, f"EXPLAIN {statement};") == "The provided statement does not run a ksql query"
    assert "R" in server.engine.catalog.sources


def test_empty_lists(server: Inside) -> None:
    assert refusal(server, "CREATE TABLE u AS SELECT COUNT(*) FROM r GROUP BY ();").startswith(
        "Failed to prepare statement: GROUP BY requires at least one expression"
    )
    assert refusal(server, "INSERT INTO r VALUES ();").startswith(
        "Failed to prepare statement: Expected some values for INSERT INTO statement."
    )


def test_variables_that_double(server: Inside) -> None:
    """50 doublings would take a petabyte."""
    message = refusal(server, f"DEFINE a='{'x' * 1_000}';" + "DEFINE a='${a}${a}';" * 50 + "SHOW STREAMS;")
    assert message.startswith("line 1:1203: Syntax Error\nvariables add more than 1,048,576 characters")
