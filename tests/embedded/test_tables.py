"""Tables that a statement declares over a topic: the newest value of each key, and none after a NULL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.embedded.queries import TransientQuery
from opensea_metrics.deploy.embedded.topics import TopicRecord
from opensea_metrics.sql.language.statements.parser import parse_statement
from tests.embedded.inside import Inside, inside

COLUMNS = "(id VARCHAR PRIMARY KEY, a INT)"
WITH = "WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', PARTITIONS=2)"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Inside]:
    with inside(tmp_path) as running:
        running.done(f"CREATE TABLE t {COLUMNS} {WITH};")
        running.done(f"CREATE SOURCE TABLE s {COLUMNS} {WITH};")
        yield running


def append(server: Inside, key: str, value: str | None, source: str = "T") -> None:
    """Append a record as a producer of Kafka writes it. A value of None is a tombstone."""
    records = [TopicRecord(1_000, f'{{"ID":"{key}"}}', value)]
    server.engine.insert(server.engine.catalog.sources[source], records)


def test_a_source_table_has_the_newest_value_of_each_key(server: Inside) -> None:
    for key, a in (("x", 1), ("y", 2), ("x", 3)):
        server.done(f"INSERT INTO t (id, a) VALUES ('{key}', {a});")
    assert server.ask("SELECT * FROM s;") == [{"ID": "x", "A": 3}, {"ID": "y", "A": 2}]
    assert server.ask("SELECT a FROM s WHERE id = 'x';") == [{"A": 3}]
    assert server.ask("SELECT * FROM s WHERE id = 'z';") == []


def test_a_record_without_a_value_deletes_its_key(server: Inside) -> None:
    append(server, "x", '{"A":1}')
    append(server, "y", '{"A":2}')
    append(server, "x", None)
    assert server.ask("SELECT * FROM s;") == [{"ID": "y", "A": 2}]
    append(server, "x", '{"A":null}')
    assert server.ask("SELECT * FROM s;") == [{"ID": "x", "A": None}, {"ID": "y", "A": 2}]


def test_a_pull_query_on_another_declared_table_is_refused_as_on_ksqldb(server: Inside) -> None:
    with pytest.raises(SqlError, match="The `T` table isn't queryable"):
        server.ask("SELECT * FROM t;")


def test_a_source_table_is_read_only(server: Inside) -> None:
    reply, status = server.run("INSERT INTO s (id, a) VALUES ('x', 1);")
    assert (status, reply["message"].split("\n")[0]) == (400, "Cannot insert values into read-only table: S")


def test_a_push_query_gives_the_rows_that_change(server: Inside) -> None:
    append(server, "x", '{"A":1}')
    append(server, "x", '{"A":2}')
    (statement,) = [parse_statement("SELECT * FROM t EMIT CHANGES;")]
    with closing(TransientQuery(server.engine, statement, {})) as query:
        assert list(query.rows()) == [["x", 2]]
        append(server, "y", '{"A":3}')
        append(server, "x", None)
        assert list(query.rows()) == [["y", 3]]
        append(server, "x", '{"A":4}')
        assert list(query.rows()) == [["x", 4]]
        assert list(query.rows()) == []


STREAM = "CREATE STREAM r (id VARCHAR KEY, a INT) WITH (KAFKA_TOPIC='r', VALUE_FORMAT='JSON', PARTITIONS=1);"


def test_a_stream_has_no_rows_of_tombstones(server: Inside) -> None:
    server.done(STREAM)
    server.done("CREATE TABLE n AS SELECT id, COUNT(*) AS n FROM r GROUP BY id;")
    for value in ('{"A":1}', None, '{"A":2}'):
        append(server, "x", value, "R")
    server.settle()
    assert server.ask("SELECT ROWOFFSET AS o, a FROM r;") == [{"O": 0, "A": 1}, {"O": 2, "A": 2}]
    assert server.ask("SELECT * FROM n;") == [{"ID": "x", "N": 2}]


def test_a_table_over_the_rows_of_a_query(server: Inside) -> None:
    server.done(STREAM)
    server.done("CREATE TABLE n WITH (KAFKA_TOPIC='n') AS SELECT id, COUNT(*) AS n FROM r GROUP BY id;")
    server.done(
        "CREATE SOURCE TABLE n_again (id VARCHAR PRIMARY KEY, n BIGINT) WITH (KAFKA_TOPIC='n', VALUE_FORMAT='JSON');"
    )
    for key in ("x", "y", "x"):
        append(server, key, '{"A":1}', "R")
    server.settle()
    assert server.ask("SELECT * FROM n_again;") == [{"ID": "x", "N": 2}, {"ID": "y", "N": 1}]
