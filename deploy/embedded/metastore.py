"""What the server has been told: statements, topics, and the catalog that follows from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from deploy.embedded import topics
from sql.catalog import Catalog
from sql.changes import applied
from sql.naming import is_topic
from sql.parser import parse_statement
from sql.quoting import quoted


@dataclass(frozen=True)
class TopicInfo:
    """A topic as SHOW TOPICS gives it."""

    name: str
    partitions: int
    replicas: int


def load(cursor: duckdb.DuckDBPyConnection) -> tuple[Catalog, int]:
    """The catalog after all recorded statements, and the number of the next one."""
    catalog = Catalog()
    number = -1
    for number, text in cursor.execute(
        "SELECT seq, statement FROM meta.commands ORDER BY seq"
    ).fetchall():
        catalog = applied(catalog, parse_statement(text), number)
    return catalog, number + 1


def record(cursor: duckdb.DuckDBPyConnection, number: int, text: str) -> None:
    """Keep a statement that changed the catalog."""
    cursor.execute("INSERT INTO meta.commands (seq, statement) VALUES (?, ?)", [number, text])


def logs(cursor: duckdb.DuckDBPyConnection) -> dict[str, tuple[str, ...]]:
    """The log tables that exist, with their columns."""
    rows = cursor.execute(
        "SELECT table_name, list(column_name ORDER BY column_index) FROM duckdb_columns() "
        "WHERE schema_name = 'log' GROUP BY table_name ORDER BY table_name"
    ).fetchall()
    return {name: tuple(columns) for name, columns in rows}


def list_topics(cursor: duckdb.DuckDBPyConnection, root: Path) -> list[TopicInfo]:
    """The topics that statements made, and those that the archive holds."""
    rows = cursor.execute("SELECT name, partitions, replicas FROM meta.topics").fetchall()
    known = {name: TopicInfo(name, partitions, replicas) for name, partitions, replicas in rows}
    if root.is_dir():
        for path in root.iterdir():
            if path.name not in known and is_topic(path.name) and path.is_dir():
                known[path.name] = TopicInfo(path.name, 1, 1)
    return sorted(known.values(), key=lambda topic: topic.name)


def add_topic(cursor: duckdb.DuckDBPyConnection, topic: TopicInfo) -> None:
    """Record a topic; one that exists stays as it is."""
    cursor.execute(
        "INSERT INTO meta.topics VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        [topic.name, topic.partitions, topic.replicas],
    )


def delete_topic(cursor: duckdb.DuckDBPyConnection, catalog: Catalog, name: str) -> None:
    """Forget a topic and the rows that the server holds of it. Files of the archive stay: they were
    not made by the server."""
    cursor.execute("DELETE FROM meta.topics WHERE name = ?", [name])
    cursor.execute("DELETE FROM meta.inserted WHERE topic = ?", [name])
    for table in logs(cursor):
        if table.startswith(topics.log_table(name, "")):
            cursor.execute(f"DROP TABLE log.{quoted(table)}")


def leave_rows(
    cursor: duckdb.DuckDBPyConnection, catalog: Catalog, query_id: str
) -> None:
    """Keep, as a log of its topic, what a query that ends has given so far."""
    query = catalog.queries[query_id]
    sink = catalog.sources[query.sink]
    only = replace(catalog, queries={**catalog.queries})
    for part in topics.parts(only, logs(cursor), sink.topic):
        if isinstance(part, topics.Log) or part.query.id != query_id:  # type: ignore[attr-defined]
            continue
        table = f"log.{quoted(topics.log_table(sink.topic, part.id))}"
        cursor.execute(f"CREATE TABLE {table} AS {part.relation(sink, None, None)}")
