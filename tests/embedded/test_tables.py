"""Tables that a statement declares over a topic: the newest value of each key, and none after a NULL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.embedded.queries.client_queries import TransientQuery
from opensea_metrics.deploy.embedded.topics.record_topic import TopicRecord
from opensea_metrics.deploy.embedded.trial import TrialRecord, run
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


def stored(server: Inside, kind: str, name: str, topic: str, key: str = "id VARCHAR PRIMARY KEY") -> None:
    """Declare a source over the topic of a stream."""
    server.done(f"CREATE SOURCE {kind} {name} ({key}, a INT) WITH (KAFKA_TOPIC='{topic}', VALUE_FORMAT='JSON');")


@pytest.mark.parametrize("query_ends", [False, True])
@pytest.mark.parametrize("through", ["r", "r2"])
def test_a_stream_passes_a_record_without_a_value_on(server: Inside, through: str, query_ends: bool) -> None:
    server.done(STREAM)
    server.done("CREATE STREAM r2 WITH (KAFKA_TOPIC='r2') AS SELECT * FROM r;")
    server.done(f"CREATE STREAM out WITH (KAFKA_TOPIC='out') AS SELECT id, a + 1 AS a FROM {through};")
    server.done("CREATE TABLE n AS SELECT id, COUNT(*) AS n FROM out GROUP BY id;")
    stored(server, "TABLE", "again", "out")
    server.done("CREATE TABLE doubled AS SELECT id, a * 2 AS a FROM again;")
    for key, value in (("x", '{"A":1}'), ("y", '{"A":2}'), ("x", None)):
        append(server, key, value, "R")
    server.settle()
    if query_ends:
        stored(server, "TABLE", "later", "out")
        for name in ("n", "out"):
            server.done(f"DROP {'TABLE' if name == 'n' else 'STREAM'} {name};")
        assert server.ask("SELECT * FROM later;") == [{"ID": "y", "A": 3}]
        return
    assert server.ask("SELECT * FROM out;") == [{"ID": "x", "A": 2}, {"ID": "y", "A": 3}]
    assert server.ask("SELECT * FROM n;") == [{"ID": "x", "N": 1}, {"ID": "y", "N": 1}]
    assert server.ask("SELECT * FROM again;") == [{"ID": "y", "A": 3}]
    assert server.ask("SELECT * FROM doubled;") == [{"ID": "y", "A": 6}]
    assert server.ask("SELECT * FROM ksql_processing_log;") == []


@pytest.mark.parametrize(
    ("select", "kept"),
    [
        ("SELECT id, a FROM {} WHERE a IS NULL", None),
        ("SELECT id, EXPLODE(ARRAY[1]) AS a FROM {}", None),
        ("SELECT id, a FROM {} PARTITION BY id", {"ID": "x", "A": None}),
        ("SELECT COALESCE(CAST(a AS VARCHAR), 'x') AS id, a FROM {0} PARTITION BY COALESCE(CAST(a AS VARCHAR), 'x')",
         {"ID": None, "A": None}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("through", ["r", "r2"])
def test_what_selects_pass_on(through: str, select: str, kept: dict[str, object] | None) -> None:
    """Seen on 7.9.1 on 2026-11-30."""
    statements = [
        STREAM,
        "CREATE STREAM r2 AS SELECT * FROM r;",
        f"CREATE STREAM out AS {select.format(through)};",
    ]
    result = run(statements, [TrialRecord("r", None, '{"ID": "x"}', 5)])
    assert result.rows["OUT"] == ([] if kept is None else [kept | {"ROWTIME": 5}])


@pytest.mark.parametrize("form", ["VALUE_FORMAT='JSON', WRAP_SINGLE_VALUE=false", "VALUE_FORMAT='KAFKA'"])
def test_null_in_the_only_column_of_an_unwrapped_value_is_no_value(server: Inside, form: str) -> None:
    server.done(f"CREATE STREAM u (id VARCHAR KEY, a INT) WITH (KAFKA_TOPIC='u', PARTITIONS=1, {form});")
    server.done("INSERT INTO u (id, a) VALUES ('x', 1);")
    server.done("INSERT INTO u (id) VALUES ('x');")
    assert server.ask("SELECT * FROM u;") == [{"ID": "x", "A": 1}]


def test_a_list_over_a_table_is_in_the_order_of_the_changes() -> None:
    """As in the quick start of ksqlDB."""
    statements = [
        STREAM,
        "CREATE TABLE newest AS SELECT id, LATEST_BY_OFFSET(a) AS a FROM r GROUP BY id;",
        "CREATE TABLE near AS SELECT a / 10 AS tens, COLLECT_LIST(id) AS ids, COUNT(*) AS n FROM newest"
        " GROUP BY a / 10;",
    ]
    ids = [f"{number * 7919 % 10_007:05}" for number in range(40)]
    records = [TrialRecord("r", f'{{"A": {at % 10}}}', f'{{"ID": "{id_}"}}', at) for at, id_ in enumerate(ids)]
    (row,) = run(statements, records).rows["NEAR"]
    assert (row["IDS"], row["N"]) == (ids, 40)
