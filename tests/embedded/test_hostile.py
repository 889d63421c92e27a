"""Hostile names in every position of a statement have no unintended effect.

Each example puts a name into one position, carries the statement out and moves all data. Then only the statement's
own effects have changed the server's files, tables, records, settings and databases. After its streams and tables
are dropped, nothing has changed. No name causes an error of the database: the name is written completely, or it is
refused by name.

HOSTILE=all tries about 6,000 examples, as ``make soak`` does. Without it there are about 400.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opensea_metrics.core.errors import SqlError
from opensea_metrics.sql.language.dialect.naming import SYSTEM_COLUMNS, is_topic
from tests.embedded.inside import Inside, inside
from tests.hostile import NAMES, is_text, names

IS_ALL = os.environ.get("HOSTILE") == "all"
SHARE = 4 if IS_ALL else 80
EXAMPLES = 3_000 if IS_ALL else 100
OWN = 3
"""The streams and tables that the server has from the start."""
KNOWN = ("K", "A", "S", "ROWTIME")
"""The columns of the stream VICTIM that a row can be written to, which would change the stream."""
VICTIM: list[dict[str, Any]] = [{"K": f"k{n}", "A": n, "S": {"X": n, "Y": f"y{n}"}} for n in range(3)]
WITH = "WITH (KAFKA_TOPIC='h', VALUE_FORMAT='JSON', PARTITIONS=1)"


def tick(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def double(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def text(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


def comment(name: str) -> str:
    return f"/* {name.replace('*/', '* /')} */ -- {' '.join(name.splitlines())}\n"


STATEMENTS: dict[str, str] = {
    "stream": "CREATE STREAM {tick} (a INT) WITH (KAFKA_TOPIC='h', VALUE_FORMAT='JSON', PARTITIONS=1);",
    "stream in double quotes": "CREATE STREAM {double} (a INT) {with};",
    "table": "CREATE TABLE {tick} (a INT PRIMARY KEY) {with};",
    "column": "CREATE STREAM h (a INT, {tick} VARCHAR) {with}; SELECTION",
    "column in double quotes": "CREATE STREAM h (a INT, {double} DOUBLE) {with}; SELECTION",
    "key": "CREATE STREAM h ({tick} VARCHAR KEY, a INT) {with}; SELECTION",
    "primary key": "CREATE TABLE h ({tick} VARCHAR PRIMARY KEY, a INT) {with};",
    "field": "CREATE STREAM h (a STRUCT<{tick} INT, b STRUCT<{tick} VARCHAR>>) {with}; SELECTION",
    "field in an array of maps": "CREATE STREAM h (a ARRAY<MAP<VARCHAR, STRUCT<{tick} INT>>>) {with}; SELECTION",
    "type": "CREATE STREAM h (a {tick}) {with};",
    "type in a struct": "CREATE STREAM h (a STRUCT<b {tick}>) {with};",
    "topic": "CREATE STREAM h (a INT) WITH (KAFKA_TOPIC={text}, VALUE_FORMAT='JSON', PARTITIONS=1); SELECTION",
    "value format": "CREATE STREAM h (a INT) WITH (KAFKA_TOPIC='h', VALUE_FORMAT={text}, PARTITIONS=1);",
    "key format": "CREATE STREAM h (a INT) WITH (KAFKA_TOPIC='h', VALUE_FORMAT='JSON', KEY_FORMAT={text});",
    "format": "CREATE STREAM h (a INT) WITH (KAFKA_TOPIC='h', FORMAT={text}, PARTITIONS=1);",
    "timestamp": "CREATE STREAM h ({tick} BIGINT, a INT) WITH (KAFKA_TOPIC='h', VALUE_FORMAT='JSON', PARTITIONS=1,"
    " TIMESTAMP={text}); SELECTION",
    "timestamp format": "CREATE STREAM h (a VARCHAR) WITH (KAFKA_TOPIC='h', VALUE_FORMAT='JSON', PARTITIONS=1,"
    " TIMESTAMP='a', TIMESTAMP_FORMAT={text});",
    "window type": "CREATE STREAM h (a INT KEY) WITH (KAFKA_TOPIC='h', VALUE_FORMAT='JSON', PARTITIONS=1,"
    " WINDOW_TYPE={text}, WINDOW_SIZE='1 HOUR');",
    "window size": "CREATE STREAM h (a INT KEY) WITH (KAFKA_TOPIC='h', VALUE_FORMAT='JSON', PARTITIONS=1,"
    " WINDOW_TYPE='TUMBLING', WINDOW_SIZE={text});",
    "partitions": "CREATE STREAM h (a INT) WITH (KAFKA_TOPIC='h', VALUE_FORMAT='JSON', PARTITIONS={text});",
    "replicas": "CREATE STREAM h (a INT) WITH (KAFKA_TOPIC='h', VALUE_FORMAT='JSON', PARTITIONS=1, REPLICAS={text});",
    "retention": "CREATE STREAM h (a INT) WITH (KAFKA_TOPIC='h', VALUE_FORMAT='JSON', RETENTION_MS={text});",
    "property": "CREATE STREAM h (a INT) WITH (KAFKA_TOPIC='h', VALUE_FORMAT='JSON', PARTITIONS=1, {tick}='1');",
    "sink": "CREATE STREAM {tick} AS SELECT * FROM victim;",
    "sink of a table": "CREATE TABLE {tick} AS SELECT k, COUNT(*) AS n FROM victim GROUP BY k;",
    "sink's topic": "CREATE STREAM h WITH (KAFKA_TOPIC={text}) AS SELECT * FROM victim;",
    "alias": "CREATE STREAM h AS SELECT k, a AS {tick} FROM victim;",
    "alias without AS": "CREATE STREAM h AS SELECT k, a {tick} FROM victim;",
    "alias of the source": "CREATE STREAM h AS SELECT {tick}.k, {tick}.a FROM victim {tick};",
    "source": "CREATE STREAM h AS SELECT * FROM {tick};",
    "selected column": "CREATE STREAM h AS SELECT k, {tick} FROM victim;",
    "selected field": "CREATE STREAM h AS SELECT k, s->{tick} FROM victim;",
    "alias of a key": "CREATE STREAM h AS SELECT a AS {tick}, k FROM victim PARTITION BY a;",
    "alias of a group": "CREATE TABLE h AS SELECT k AS {tick}, COUNT(*) AS n FROM victim GROUP BY k;",
    "alias of an aggregate": "CREATE TABLE h AS SELECT k, SUM(a) AS {tick}, MAX(s->y) AS b FROM victim"
    " WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY k HAVING SUM(a) > 0;",
    "text": "CREATE STREAM h AS SELECT k, {text} AS x FROM victim;",
    "text in WHERE": "CREATE STREAM h AS SELECT * FROM victim WHERE s->y = {text} OR k LIKE {text}"
    " OR k IN ({text}, 'k');",
    "text in CASE": "CREATE STREAM h AS SELECT k, CASE WHEN k = {text} THEN {text} ELSE s->y END AS x FROM victim;",
    "text in GROUP BY": "CREATE TABLE h AS SELECT {text} AS x, COUNT(*) AS n FROM victim GROUP BY {text};",
    "text in HAVING": "CREATE TABLE h AS SELECT k, COUNT(*) AS n FROM victim GROUP BY k HAVING MAX(s->y) <> {text};",
    "text in an aggregate": "CREATE TABLE h AS SELECT k, COLLECT_LIST({text}) AS l, LATEST_BY_OFFSET({text}) AS x,"
    " TOP_BY_KEY({text}, 1.0E0, {text}, 2) AS t FROM victim GROUP BY k;",
    "texts of functions": "CREATE STREAM h AS SELECT k, CONCAT({text}, k, {text}) AS x,"
    " REPLACE(k, {text}, {text}) AS y, SPLIT(k, {text}) AS z, LPAD(k, 3, {text}) AS p,"
    " TRIM({text}) AS q, INSTR({text}, k) AS i FROM victim;",
    "path": "CREATE STREAM h AS SELECT k, EXTRACTJSONFIELD('{{\"a\":1}}', {text}) AS x FROM victim;",
    "pattern of a time": "CREATE STREAM h AS SELECT k, FORMAT_TIMESTAMP(FROM_UNIXTIME(ROWTIME), {text}) AS x"
    " FROM victim;",
    "field of a constructor": "CREATE STREAM h AS SELECT k, STRUCT({tick} := a, b := {text}) AS x FROM victim;",
    "field of a field": "CREATE STREAM h AS SELECT k, STRUCT({tick} := STRUCT({tick} := a))->{tick}->{tick} AS x"
    " FROM victim;",
    "key of a map": "CREATE STREAM h AS SELECT k, MAP({text} := a)[{text}] AS x, MAP({text} := a) AS m FROM victim;",
    "parameter": "CREATE STREAM h AS SELECT k, TRANSFORM(ARRAY[1, 2], {tick} => {tick} + a) AS x FROM victim;",
    "parameters": "CREATE STREAM h AS SELECT k, REDUCE(ARRAY[1, 2], 0, ({tick}, b) => {tick} + b) AS x FROM victim;",
    "parameter in a parameter": "CREATE STREAM h AS SELECT k, TRANSFORM(ARRAY[ARRAY[1]],"
    " b => TRANSFORM(b, {tick} => {tick} + 1)) AS x FROM victim;",
    "function": "CREATE STREAM h AS SELECT k, {tick}(a) AS x FROM victim;",
    "type of a cast": "CREATE STREAM h AS SELECT k, CAST(a AS {tick}) AS x FROM victim;",
    "written stream": "INSERT INTO {tick} SELECT * FROM victim;",
    "inserted stream": "INSERT INTO {tick} (a) VALUES (1);",
    "inserted column": "CREATE STREAM h (a INT, {tick} INT) {with}; INSERT INTO h (a, {tick}) VALUES (1, 2); SELECTION",
    "unknown inserted column": "INSERT INTO victim (k, {tick}) VALUES ('x', 1);",
    "inserted text": "CREATE STREAM h (a VARCHAR) {with}; INSERT INTO h (a) VALUES ({text}); SELECTION",
    "inserted key": "CREATE STREAM h (b VARCHAR KEY, a INT) {with}; INSERT INTO h (b, a) VALUES ({text}, 1); SELECTION",
    "inserted field": "CREATE STREAM h (a STRUCT<{tick} VARCHAR>) {with};"
    " INSERT INTO h (a) VALUES (STRUCT({tick} := {text})); SELECTION",
    "inserted key of a map": "CREATE STREAM h (a MAP<VARCHAR, VARCHAR>) {with};"
    " INSERT INTO h (a) VALUES (MAP({text} := {text})); SELECTION",
    "inserted elements": "CREATE STREAM h (a ARRAY<VARCHAR>) {with};"
    " INSERT INTO h (a) VALUES (ARRAY[{text}]); SELECTION",
    "added column": "CREATE STREAM h (a INT) {with}; ALTER STREAM h ADD COLUMN {tick} VARCHAR; SELECTION",
    "altered stream": "ALTER STREAM {tick} ADD COLUMN b INT;",
    "dropped stream": "DROP STREAM IF EXISTS {tick} DELETE TOPIC;",
    "dropped table": "DROP TABLE {tick};",
    "terminated query": "TERMINATE {tick};",
    "paused query": "PAUSE {tick};",
    "resumed query": "RESUME {tick};",
    "explained query": "EXPLAIN {tick};",
    "explained statement": "EXPLAIN SELECT {text} AS {tick} FROM victim EMIT CHANGES;",
    "described source": "DESCRIBE {tick} EXTENDED;",
    "described function": "DESCRIBE FUNCTION {tick};",
    "shown": "SHOW {tick};",
    "listed": "LIST {text} EXTENDED;",
    "asserted topic": "ASSERT TOPIC {tick} TIMEOUT 0 SECONDS;",
    "asserted topic's text": "ASSERT NOT EXISTS TOPIC {text} TIMEOUT 0 SECONDS;",
    "asserted partitions": "ASSERT TOPIC 'victim' WITH (PARTITIONS={text}) TIMEOUT 0 SECONDS;",
    "asserted schema": "ASSERT SCHEMA SUBJECT {text} TIMEOUT 0 SECONDS;",
    "set property": "SET {text} = 'latest'; CREATE STREAM h AS SELECT * FROM victim;",
    "set value": "SET 'auto.offset.reset' = {text}; CREATE STREAM h AS SELECT * FROM victim;",
    "unset property": "UNSET {text};",
    "defined variable": "DEFINE {tick} = 'x'; SHOW VARIABLES;",
    "defined value": "DEFINE x = {text}; CREATE STREAM h AS SELECT k, '${{x}}' AS y FROM victim WHERE k <> '${{x}}';",
    "defined name": "DEFINE x = {text}; CREATE STREAM ${{x}} AS SELECT * FROM victim;",
    "defined name in quotes": "DEFINE x = {text}; CREATE STREAM h AS SELECT k, a AS `${{x}}` FROM victim;",
    "defined expression": "DEFINE x = {text}; CREATE STREAM h AS SELECT k, ${{x}} AS y FROM victim WHERE k <> ${{x}};",
    "undefined variable": "UNDEFINE {tick};",
    "comment": "{comment} CREATE STREAM h {comment} AS SELECT k, a {comment} FROM victim {comment};",
    "connector": "CREATE SOURCE CONNECTOR {tick} WITH ('a' = {text});",
    "statement": "{tick} {text};",
}  # fmt: skip
"""A statement with a name in it, for each position. SELECTION is a query over the created stream or table."""
SELECTION = "CREATE STREAM h2 AS SELECT * FROM h;"

QUERIES: dict[str, str] = {
    "column of a query": "SELECT {tick} FROM victim;",
    "alias of a query": "SELECT a AS {tick}, k AS b FROM victim EMIT CHANGES;",
    "text of a query": "SELECT k FROM victim WHERE k = {text} OR s->y = {text};",
    "source of a query": "SELECT * FROM {tick};",
    "alias of a query's source": "SELECT {tick}.a FROM victim AS {tick};",
    "text of an aggregate's query": "SELECT {text} AS x, COUNT(*) AS {tick} FROM victim GROUP BY {text} EMIT CHANGES;",
    "limit": "SELECT * FROM victim LIMIT {text};",
    "key of a table": "SELECT * FROM counted WHERE k = {text};",
}
TIMES = "SELECT * FROM counted WHERE WINDOWSTART >= {text} AND WINDOWEND < {text};"
"""A text that is not a time is refused when the query runs."""


@dataclass(frozen=True)
class ServerState:
    """The state of a server: its files and their content, tables, records, settings, databases …"""

    files: dict[str, str]
    tables: frozenset[tuple[str, str]]
    topics: frozenset[str]
    records: frozenset[tuple[str, int]]
    kept: Any
    around: Any


def world(server: Inside) -> ServerState:
    (counted,) = server.engine.catalog.writers("COUNTED")
    cursor = server.engine.cursor()
    try:
        (tables, topics, records, *kept, settings, databases, around) = cursor.execute(
            f"""SELECT
              (SELECT list((schema_name, table_name)) FROM duckdb_tables()),
              (SELECT list(name) FROM meta.topics),
              (SELECT list(r) FROM (SELECT (topic, count(*)) AS r FROM meta.records
                WHERE topic <> 'embedded_ksql_processing_log' GROUP BY topic)),
              (SELECT list(p ORDER BY p) FROM meta.positions AS p),
              (SELECT list(i ORDER BY seq) FROM meta.records AS i WHERE topic = 'victim'),
              (SELECT list(c ORDER BY _k0) FROM state."{counted.id}" AS c),
              (SELECT list((name, value) ORDER BY name) FROM duckdb_settings()),
              (SELECT list((database_name, path) ORDER BY database_name) FROM duckdb_databases()),
              [(SELECT count(*) FROM duckdb_schemas()), (SELECT count(*) FROM duckdb_views()),
               (SELECT count(*) FROM duckdb_sequences()), (SELECT count(*) FROM duckdb_types()),
               (SELECT count(*) FROM duckdb_indexes())]"""
        ).fetchall()[0]
    finally:
        cursor.close()
    around = [settings, databases, around, sorted(server.engine.paused), dict(server.engine.failures)]
    return ServerState(
        files=dict(files(server.data.parent, server.data / "tmp")),
        tables=frozenset(tables),
        topics=frozenset(topics),
        records=frozenset(records),
        kept=kept,
        around=around,
    )


@pytest.fixture(autouse=True)
def no_function_is_made(server: Inside) -> Iterator[None]:
    """DuckDB takes half as long to count its functions as for all else of a state, so it counts once in each test."""
    with closing(server.engine.cursor()) as cursor:
        count = "SELECT count(*) FROM duckdb_functions()"
        before = cursor.execute(count).fetchone()
        yield
        assert cursor.execute(count).fetchone() == before


@cache
def at_first(server: Inside) -> ServerState:
    """The state before the first example, and after each example."""
    return world(server)


def files(folder: Path, own: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        is_database = path.name in ("embedded.duckdb", "embedded.duckdb.wal", ".lock")
        if own not in (path, *path.parents) and not is_database:
            yield str(path), "" if path.is_dir() else hashlib.sha1(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    base = tmp_path_factory.mktemp("hostile")
    (base / "outside").mkdir()
    (base / "data/topics").mkdir(parents=True)
    with inside(base / "data") as started:
        started.done(
            "CREATE STREAM victim (k VARCHAR KEY, a INT, s STRUCT<x INT, y VARCHAR>)"
            " WITH (KAFKA_TOPIC='victim', VALUE_FORMAT='JSON', PARTITIONS=1);"
            "CREATE TABLE counted AS SELECT k, COUNT(*) AS n FROM victim"
            " WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY k;"
        )
        for row in VICTIM:
            s = f"STRUCT(x := {row['A']}, y := '{row['S']['Y']}')"
            started.done(f"INSERT INTO victim (k, a, s) VALUES ('{row['K']}', {row['A']}, {s});")
        started.settle()
        yield started


def filled(template: str, name: str, outside: Path) -> str:
    name = name.replace("OUTSIDE", str(outside))
    written = {write.__name__: write(name) for write in (tick, double, text, comment)}
    return template.format_map({**written, "with": WITH}).replace("SELECTION", SELECTION)


def check(server: Inside, before: ServerState) -> None:
    """Check that only the statements since ``before`` have changed the state, drop their results, and check again."""
    now, catalog = world(server), server.engine.catalog
    assert (now.files, now.around) == (before.files, before.around)
    assert now.kept[1:] == before.kept[1:]
    topics = {source.topic for source in catalog.sources.values()}
    assert now.topics <= topics
    assert {topic for topic, _ in now.records} <= topics
    for schema, table in now.tables - before.tables:
        topic, _, made_by = table.partition(" of ")
        of_log = schema == "log" and topic in topics and made_by.partition(" of ")[0] in catalog.queries
        assert of_log or (schema == "state" and table in catalog.queries), table
    if now == before:
        return
    for query in list(catalog.queries):
        if query.startswith("INSERT"):
            server.done(f"TERMINATE {query};")
    for name, source in reversed(list(catalog.sources.items())[OWN:]):
        server.done(f"DROP {source.kind} {tick(name)} DELETE TOPIC;")
    assert world(server) == before
    assert server.ask("SELECT * FROM victim;") == VICTIM


def understood(reply: Any, status: int) -> None:
    """A statement is carried out, or refused for a reason that does not come from the database."""
    if status != 200:
        message = str(reply["message"])
        assert message
        assert "the embedded server failed" not in message, message


def share(position: str, positions: list[str]) -> list[str]:
    """The names for a position: all names, or some, which start with a different name for each position."""
    return list(NAMES[positions.index(position) % SHARE :: SHARE])


def attempt(server: Inside, position: str, name: str) -> None:
    if position == "unknown inserted column" and name in KNOWN:
        return
    before = at_first(server)
    statements = filled(STATEMENTS[position], name, server.data.parent / "outside")
    understood(*server.run(statements))
    server.settle()
    for source in list(server.engine.catalog.sources.values())[OWN:]:
        if not source.is_table or server.engine.catalog.writers(source.name):
            server.ask(f"SELECT * FROM {tick(source.name)};")
    check(server, before)


@pytest.mark.timeout(3600)
@settings(max_examples=EXAMPLES, deadline=None)
@given(position=st.sampled_from(list(STATEMENTS)), name=names())
def test_any_name_in_a_statement(server: Inside, position: str, name: str) -> None:
    attempt(server, position, name)


@pytest.mark.parametrize("position", STATEMENTS)
def test_a_hostile_name_in_a_statement(server: Inside, position: str) -> None:
    for name in share(position, list(STATEMENTS)):
        attempt(server, position, name)


def asked(server: Inside, position: str, name: str, may_fail: bool = False) -> None:
    before = at_first(server)
    query = filled(TIMES if may_fail else QUERIES[position], name, server.data.parent / "outside")
    try:
        server.ask(query)
    except SqlError:
        pass  # it is refused
    except duckdb.ConversionException:
        assert may_fail
    check(server, before)


@pytest.mark.parametrize("position", QUERIES)
def test_a_hostile_name_in_a_query(server: Inside, position: str) -> None:
    for name in share(position, list(QUERIES)):
        asked(server, position, name)


@settings(max_examples=EXAMPLES // 5, deadline=None)
@given(position=st.sampled_from(list(QUERIES)), name=names())
def test_any_name_in_a_query(server: Inside, position: str, name: str) -> None:
    asked(server, position, name)


@settings(max_examples=EXAMPLES // 5, deadline=None)
@given(name=names())
def test_a_text_that_is_no_time(server: Inside, name: str) -> None:
    asked(server, "", name, may_fail=True)


@pytest.mark.parametrize("where", ["variables", "values", "properties"])
def test_a_hostile_name_beside_a_statement(server: Inside, where: str) -> None:
    for name in NAMES[::SHARE // 4 or 1]:
        before = at_first(server)
        statement = "CREATE STREAM h AS SELECT k, '${x}' AS y FROM victim; SHOW VARIABLES; SHOW PROPERTIES;"
        match where:
            case "variables":
                reply, status = server.run(statement, variables={name: "1", "x": "2"})
            case "values":
                reply, status = server.run(statement, variables={"x": name})
            case _:
                reply, status = server.run(statement, properties={name: name, "auto.offset.reset": name})
        understood(reply, status)
        server.settle()
        if where == "values" and status == 200:
            assert server.ask("SELECT y FROM h;") == [{"Y": name}] * 3
        check(server, before)


def is_file_name(name: str) -> bool:
    """Whether Linux accepts the name. For names that are not UTF-8 see tests/embedded/files/test_names.py."""
    return is_text(name) and not set(name) & {"/", "\0"} and 0 < len(name.encode()) < 200 and name not in (".", "..")


FILES = list(filter(is_file_name, NAMES))[:: 1 if IS_ALL else 12]


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_name_of_a_file_and_in_a_record(server: Inside, name: str) -> None:
    """A record is read from a file with this name, in a folder with this name. Its key and value have this name too."""
    before = at_first(server)
    topic = f"t{NAMES.index(name)}"
    column = "b" if name.upper() in SYSTEM_COLUMNS else name
    folder = server.data / "topics" / topic / f"x{name}"
    folder.mkdir(parents=True)
    record = json.dumps({"a": name, column: name, "s": {name: name}}) + "\n"
    (folder / f"x{name}.json").write_text(record + name.replace("\n", " ") + "\n")
    (folder / f"y{name}").write_text("not a record\n")
    server.done(
        f"CREATE STREAM h (a VARCHAR, {tick(column)} VARCHAR, s STRUCT<{tick(name)} VARCHAR>) WITH"
        f" (KAFKA_TOPIC='{topic}', VALUE_FORMAT='JSON', PARTITIONS=1);{SELECTION}"
    )
    server.settle()
    for stream in ("h", "h2"):
        rows = server.ask(f"SELECT * FROM {stream};")
        assert [(row["A"], row[column], row["S"]) for row in rows] == [(name, name, {name: name})]
    shutil.rmtree(server.data / "topics" / topic)
    check(server, before)


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_name_of_a_topics_folder(server: Inside, name: str) -> None:
    folder = server.data / "topics" / name
    folder.mkdir()
    try:
        before = world(server)
        (listed,), status = server.run("SHOW TOPICS;")
        assert status == 200
        assert (name in {topic["name"] for topic in listed["topics"]}) == is_topic(name)
        understood(*server.run(f"CREATE STREAM h (a INT) WITH (KAFKA_TOPIC={text(name)}, VALUE_FORMAT='JSON');"))
        server.settle()
        check(server, before)
    finally:
        folder.rmdir()
