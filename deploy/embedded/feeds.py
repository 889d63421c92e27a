"""The feeds of a topic whose records are rows: relations that can be read from a number on.

- a log: rows that a stream's query made of JSON, or that a dropped stream or table left;
- the changes of a table: its newest row for each key, at the number of its last change (as in a
  compacted topic, older changes of a key are not seen by who comes later);
- a selection: what a stream's SELECT gives over a typed feed of another topic. Nothing is stored.

A row of a stream has the partition and the offset of the record that it was made of: so the offsets of a stream that
a query writes have gaps. Besides these a topic may have JSON (:mod:`deploy.embedded.stored_topic`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import duckdb

from opensea_metrics.deploy.embedded.topics import RECORD, UNREADABLE
from opensea_metrics.sql.catalog import Catalog, Query
from opensea_metrics.sql.lowering import selects
from opensea_metrics.sql.quoting import column as column_of
from opensea_metrics.sql.quoting import name_of_column, quoted
from opensea_metrics.sql.sources import Source
from opensea_metrics.sql.types import duckdb as duckdb_type

_SEPARATOR = " of "


class Feed(Protocol):
    """A feed of rows; ``id`` names it in the positions of its readers.

    Its rows have one order in all partitions, so positions have its number at partition 0 only.
    """

    @property
    def id(self) -> str: ...

    def end(self, cursor: duckdb.DuckDBPyConnection) -> int:
        """The number after the last row."""
        ...

    def counted(self, cursor: duckdb.DuckDBPyConnection, number: int) -> list[tuple[int, int, int]]:
        """Each partition, the offset after its last row, and how many rows come from a number on."""
        ...

    def relation(self, source: Source, low: int | None, high: int | None) -> str:
        """The rows with numbers in [low, high): the columns of ``source``, ROWTIME, ``_off`` (the number) and
        ``topics.RECORD``."""
        ...


@dataclass(frozen=True)
class Log:
    """Rows in a DuckDB table: made of JSON by a query, or left by one that has ended (``is_left``).

    The first kind holds unreadable records too (``_failed`` says why, in ``UNREADABLE``) and its
    numbers are DuckDB's own row numbers, as nothing is ever deleted from it: numbering rows while they
    are written would keep DuckDB from reading files on several threads.
    """

    id: str
    table: str
    columns: tuple[str, ...]

    @property
    def is_left(self) -> bool:
        return "_off" in self.columns

    def end(self, cursor: duckdb.DuckDBPyConnection) -> int:
        if self.is_left:
            return _end(cursor, self.table)
        (count,) = cursor.execute(f"SELECT count(*) FROM {self.table}").fetchone()  # type: ignore[misc]
        return int(count)

    def counted(self, cursor: duckdb.DuckDBPyConnection, number: int) -> list[tuple[int, int, int]]:
        unread = f"{'_off' if self.is_left else 'rowid'} >= {number}"
        return cursor.execute(
            f"SELECT ROWPARTITION, max(ROWOFFSET) + 1, count(*) FILTER ({unread}) FROM {self.table} GROUP BY 1"
        ).fetchall()

    def relation(self, source: Source, low: int | None, high: int | None) -> str:
        rows = f"SELECT * FROM {self.table}"
        if not self.is_left:
            rows = (
                f"SELECT * EXCLUDE ({', '.join(UNREADABLE)}), rowid AS _off FROM {self.table}"
                " WHERE _failed IS NULL"
            )
        names = [name_of_column(column) for column in self.columns]
        return selects.as_source(source, f"SELECT * FROM ({rows}){_between(low, high)}", names, carried=RECORD)


@dataclass(frozen=True)
class Changes:
    """The newest row of each key of an aggregation."""

    query: Query

    @property
    def id(self) -> str:
        return self.query.id

    def end(self, cursor: duckdb.DuckDBPyConnection) -> int:
        return _end(cursor, state_table(self.query.id))

    def counted(self, cursor: duckdb.DuckDBPyConnection, number: int) -> list[tuple[int, int, int]]:
        table = state_table(self.query.id)
        return cursor.execute(
            f"SELECT 0, coalesce(max(_off) + 1, 0), count(*) FILTER (_off >= {number}) FROM {table}"
        ).fetchall()

    def relation(self, source: Source, low: int | None, high: int | None) -> str:
        rows = f"SELECT * FROM {state_table(self.query.id)}{_between(low, high)}"
        finished = selects.grouping(self.query.analysis).finish(rows)
        rows = f"SELECT *, 0::INTEGER AS ROWPARTITION, _off AS ROWOFFSET FROM ({finished})"
        names = [*_columns(self.query), "WINDOWSTART", "WINDOWEND"]
        return selects.as_source(source, rows, names, carried=RECORD)


@dataclass(frozen=True)
class Selection:
    """A stream's SELECT over a feed of its source's topic."""

    query: Query
    over: Feed

    @property
    def id(self) -> str:
        return f"{self.query.id} over {self.over.id}"

    def end(self, cursor: duckdb.DuckDBPyConnection) -> int:
        return self.over.end(cursor)

    def counted(self, cursor: duckdb.DuckDBPyConnection, number: int) -> list[tuple[int, int, int]]:
        return self.over.counted(cursor, number)

    def relation(self, source: Source, low: int | None, high: int | None) -> str:
        analysis = self.query.analysis
        rows = selects.rows(analysis, self.over.relation(analysis.source, low, high), carried=RECORD)
        return selects.as_source(source, rows, _columns(self.query), carried=RECORD)


def feeds(catalog: Catalog, logs: Mapping[str, tuple[str, ...]], topic: str) -> list[Feed]:
    """The feeds of rows of a topic; ``logs`` are the log tables that exist, with their columns."""
    found: list[Feed] = []
    for name, columns in logs.items():
        owner, _, made_by = name.partition(_SEPARATOR)
        if owner == topic:
            found.append(Log(made_by, f"log.{quoted(name)}", columns))
    for query in catalog.queries.values():
        if catalog.sources[query.sink].topic != topic:
            continue
        if query.analysis.is_aggregation:
            found.append(Changes(query))
        else:
            below = feeds(catalog, logs, query.analysis.source.topic)
            found.extend(Selection(query, feed) for feed in below)
    return found


def log_table(topic: str, feed: str) -> str:
    """The name, in schema ``log``, of the table with a feed's rows of a topic."""
    return f"{topic}{_SEPARATOR}{feed}"


def logs(cursor: duckdb.DuckDBPyConnection) -> dict[str, tuple[str, ...]]:
    """The log tables that exist, with their columns."""
    rows = cursor.execute(
        "SELECT table_name, list(column_name ORDER BY column_index) FROM duckdb_columns() "
        "WHERE schema_name = 'log' GROUP BY table_name ORDER BY table_name"
    ).fetchall()
    return {name: tuple(columns) for name, columns in rows}


def delete_logs(cursor: duckdb.DuckDBPyConnection, topic: str) -> None:
    """Drop the log tables of a topic."""
    for table in logs(cursor):
        if table.startswith(log_table(topic, "")):
            cursor.execute(f"DROP TABLE log.{quoted(table)}")


def leave_rows(cursor: duckdb.DuckDBPyConnection, catalog: Catalog, query_id: str) -> None:
    """Keep, as a log of its topic, what a query that ends has given so far."""
    sink = catalog.sources[catalog.queries[query_id].sink]
    for feed in feeds(catalog, logs(cursor), sink.topic):
        if isinstance(feed, Log) or feed.query.id != query_id:  # type: ignore[attr-defined]
            continue
        table = f"log.{quoted(log_table(sink.topic, feed.id))}"
        cursor.execute(f"CREATE TABLE {table} AS {feed.relation(sink, None, None)}")


def state_table(query_id: str) -> str:
    """The table with an aggregation's state."""
    return f"state.{quoted(query_id)}"


def nothing(source: Source) -> str:
    """A relation of the source's columns without rows."""
    columns = [
        f"CAST(NULL AS {duckdb_type(column.type)}) AS {column_of(column.name)}"
        for column in source.columns
    ]
    bounds = ["0::BIGINT AS WINDOWSTART", "0::BIGINT AS WINDOWEND"] if source.window else []
    record = ["0::INTEGER AS ROWPARTITION", "0::BIGINT AS ROWOFFSET"]
    hidden = [*bounds, "0::BIGINT AS ROWTIME", "0::BIGINT AS _off", *record]
    return f"SELECT {', '.join([*columns, *hidden])} WHERE false"


def _columns(query: Query) -> list[str]:
    return [column.name for column in query.analysis.columns]


def _end(cursor: duckdb.DuckDBPyConnection, table: str) -> int:
    row = cursor.execute(f"SELECT max(_off) FROM {table}").fetchone()
    return 0 if row is None or row[0] is None else int(row[0]) + 1


def _between(low: int | None, high: int | None) -> str:
    bounds = []
    if low:
        bounds.append(f"_off >= {low}")
    if high is not None:
        bounds.append(f"_off < {high}")
    return f" WHERE {' AND '.join(bounds)}" if bounds else ""
