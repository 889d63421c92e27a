"""What the server has been told: statements, topics, and the catalog that follows from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from opensea_metrics.core.errors import SqlError, os_reason
from opensea_metrics.core.quoting import quoted
from opensea_metrics.deploy.embedded import topics, walk
from opensea_metrics.deploy.embedded.replay import replayed
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.sources import Source


@dataclass(frozen=True)
class TopicInfo:
    """A topic as SHOW TOPICS gives it.

    A directory of the archive is a topic before a statement declares it. Then ``is_declared`` is False,
    ``partitions`` are what the names of its files tell, and ``file`` is one of the last partition.
    """

    name: str
    partitions: int
    replicas: int
    is_declared: bool = True
    file: str = ""


def load(cursor: duckdb.DuckDBPyConnection) -> tuple[Catalog, int]:
    """The catalog after all recorded statements, and the number of the next one. Raises Outdated."""
    statements = cursor.execute("SELECT seq, statement FROM meta.commands ORDER BY seq").fetchall()
    return replayed(statements), statements[-1][0] + 1 if statements else 0


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
    """The topics that statements made, and those that the archive holds.

    Raises SqlError if the archive's directories cannot be listed.
    """
    rows = cursor.execute("SELECT name, partitions, replicas FROM meta.topics").fetchall()
    known = {name: TopicInfo(name, partitions, replicas) for name, partitions, replicas in rows}
    try:
        names = walk.directories(root)
    except OSError as error:
        raise SqlError(f"cannot list {root}: {os_reason(error)}", code=50000) from error
    undeclared = (_of_directory(root, name) for name in names if name not in known)
    return sorted([*known.values(), *undeclared], key=lambda topic: topic.name)


def declare(
    cursor: duckdb.DuckDBPyConnection, root: Path, source: Source, partitions: int | None
) -> None:
    """Record the topic of a new source; one that is declared already stays as it is.

    ``partitions`` are those that the statement says. If it says none, the topic has as many as its files
    need.
    """
    if partitions is None:
        partitions = max(source.partitions, _of_directory(root, source.topic).partitions)
    cursor.execute(
        "INSERT INTO meta.topics VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        [source.topic, partitions, source.replicas],
    )


def partitions(cursor: duckdb.DuckDBPyConnection, source: Source) -> int:
    """The partitions of a source's topic."""
    declared = cursor.execute(
        "SELECT partitions FROM meta.topics WHERE name = ?", [source.topic]
    ).fetchone()
    return declared[0] if declared else source.partitions


def _of_directory(root: Path, name: str) -> TopicInfo:
    last, file = walk.highest_partition(root, name)
    return TopicInfo(name, max(1, last + 1), 1, is_declared=False, file=file)


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
