"""The feeds of a topic whose records are rows: relations that can be read from a number on.

- A log: the rows that a stream's query creates from JSON.
- The rows that a dropped stream or table has left.
- The changes of a table: its newest row for each key, at the number of the key's last change. As in a
  compacted topic, later readers do not see older changes of a key.
- A selection: the rows of a stream's SELECT over a feed of rows of another topic. Nothing is stored.

A row of a stream has the partition and the offset of its original record. So the offsets of a stream that a query
writes have gaps. A topic may also have feeds of JSON (:mod:`deploy.embedded.stored_topic`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

import duckdb

from opensea_metrics.core.quoting import column as column_of
from opensea_metrics.core.quoting import name_of_column, quoted
from opensea_metrics.core.types import duckdb as duckdb_type
from opensea_metrics.deploy.embedded.topics import RECORD, UNREADABLE
from opensea_metrics.sql.language.catalog.catalog import Catalog, Query
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.duckdb import selects

_SEPARATOR = " of "
_BASE = " from "
"""Separates the name of a log from the number of a chunk's first row, in the name of the chunk's table."""


Counts = list[tuple[int, int, int]]
"""Each partition, the offset after its last row, and a number of rows."""


class RowFeed(Protocol):
    """A feed of rows. ``id`` names it in the positions of its readers.

    Its rows have one order across all partitions, so positions hold its number for partition 0 only.
    """

    @property
    def id(self) -> str: ...

    def end(self, cursor: duckdb.DuckDBPyConnection) -> int:
        """The number after the last row."""
        ...

    def counted(self, cursor: duckdb.DuckDBPyConnection, number: int) -> Counts:
        """Each partition, the offset after its last row, and how many of its rows come from ``number`` on."""
        ...

    def relation(self, source: Source, low: int | None, high: int | None) -> str:
        """The rows with numbers in [low, high): the columns of ``source``, ROWTIME, ``_off`` (the number) and
        ``topics.RECORD``."""
        ...


@dataclass(frozen=True)
class LeftRows:
    """The rows of a query that has ended."""

    id: str
    table: str
    columns: tuple[str, ...]

    def end(self, cursor: duckdb.DuckDBPyConnection) -> int:
        return _end(cursor, self.table)

    def counted(self, cursor: duckdb.DuckDBPyConnection, number: int) -> Counts:
        return cursor.execute(
            f"SELECT ROWPARTITION, max(ROWOFFSET) + 1, count(*) FILTER (_off >= {number}) FROM {self.table} GROUP BY 1"
        ).fetchall()

    def relation(self, source: Source, low: int | None, high: int | None) -> str:
        names = [name_of_column(column) for column in self.columns]
        rows = f"SELECT * FROM {self.table}{_between(low, high)}"
        return selects.as_source(source, rows, names, carried=RECORD)


@dataclass(frozen=True)
class LogChunk:
    """A table of a log. Its rows have the numbers from ``base`` on. A dropped chunk can be rebuilt from files."""

    base: int
    table: str
    is_dropped: bool = False


@dataclass(frozen=True)
class Log:
    """The rows that a query creates from JSON, in chunks. Old chunks can be dropped as a whole.

    A chunk also holds unreadable records, with the columns ``UNREADABLE``, in which ``_failed`` gives the reason.
    ``id`` names the query that writes the log.

    A row's number is the sum of its DuckDB row number and the chunk's base. This works because no row of a chunk is
    ever deleted. Numbering rows while they are written would keep DuckDB from using several threads.
    """

    id: str
    chunks: tuple[LogChunk, ...]
    columns: tuple[str, ...]

    def end(self, cursor: duckdb.DuckDBPyConnection) -> int:
        last = self.chunks[-1]
        return last.base + rows_of(cursor, last.table)

    def counted(self, cursor: duckdb.DuckDBPyConnection, number: int) -> Counts:
        present = [chunk for chunk in self.chunks if not chunk.is_dropped]
        counts = " UNION ALL ".join(
            f"SELECT ROWPARTITION, ROWOFFSET, rowid >= {number - chunk.base} AS _unread FROM {chunk.table}"
            for chunk in present
        )
        by_partition: Counts = cursor.execute(
            f"SELECT ROWPARTITION, max(ROWOFFSET) + 1, count(*) FILTER (_unread) FROM ({counts}) GROUP BY 1"
        ).fetchall()
        # The partitions of the rows in dropped chunks are not known.
        dropped = sum(
            max(0, following.base - max(chunk.base, number))
            for chunk, following in pairwise(self.chunks)
            if chunk.is_dropped
        )
        return [*by_partition, (0, 0, dropped)]

    def spans(self, low: int, end: int) -> Iterator[tuple[int, int, LogChunk | None]]:
        """Splits [low, end) into spans. A span is one dropped chunk, or neighbouring chunks that still exist."""
        ends = [*(chunk.base for chunk in self.chunks[1:]), end]
        for chunk, high in zip(self.chunks, ends, strict=True):
            if high <= low:
                continue
            if chunk.is_dropped:
                if low < chunk.base:
                    yield low, chunk.base, None
                yield chunk.base, high, chunk
                low = high
        if low < end:
            yield low, end, None

    def relation(self, source: Source, low: int | None, high: int | None) -> str:
        following = [*(chunk.base for chunk in self.chunks[1:]), None]
        rows = [
            self._rows(chunk, low, high)
            for chunk, end in zip(self.chunks, following, strict=True)
            if (end is None or low is None or low < end) and (high is None or chunk.base < high)
            and not chunk.is_dropped
        ]
        return self.through(source, " UNION ALL ".join(rows))

    def through(self, source: Source, rows: str) -> str:
        """Rows of a chunk with the columns of a source."""
        names = [name_of_column(column) for column in self.columns]
        return selects.as_source(source, rows, names, carried=RECORD)

    @staticmethod
    def _rows(chunk: LogChunk, low: int | None, high: int | None) -> str:
        bounds = ["_failed IS NULL"]
        if low is not None and low > chunk.base:
            bounds.append(f"rowid >= {low - chunk.base}")
        if high is not None:
            bounds.append(f"rowid < {high - chunk.base}")
        columns = f"* EXCLUDE ({', '.join(UNREADABLE)}), {chunk.base} + rowid AS _off"
        return f"SELECT {columns} FROM {chunk.table} WHERE {' AND '.join(bounds)}"


@dataclass(frozen=True)
class Changes:
    """The newest row of each key of an aggregation."""

    query: Query

    @property
    def id(self) -> str:
        return self.query.id

    def end(self, cursor: duckdb.DuckDBPyConnection) -> int:
        return _end(cursor, state_table(self.query.id))

    def counted(self, cursor: duckdb.DuckDBPyConnection, number: int) -> Counts:
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
    over: RowFeed

    @property
    def id(self) -> str:
        return f"{self.query.id} over {self.over.id}"

    def end(self, cursor: duckdb.DuckDBPyConnection) -> int:
        return self.over.end(cursor)

    def counted(self, cursor: duckdb.DuckDBPyConnection, number: int) -> Counts:
        return self.over.counted(cursor, number)

    def relation(self, source: Source, low: int | None, high: int | None) -> str:
        return self._selected(source, self.over.relation(self.query.analysis.source, low, high))

    def through(self, source: Source, rows: str) -> str:
        """Rows of a chunk of the log below, after the SELECT, with the columns of a source."""
        assert isinstance(self.over, Log | Selection)
        return self._selected(source, self.over.through(self.query.analysis.source, rows))

    def _selected(self, source: Source, relation: str) -> str:
        rows = selects.rows(self.query.analysis, relation, carried=RECORD)
        return selects.as_source(source, rows, _columns(self.query), carried=RECORD)


def feeds(catalog: Catalog, logs: Mapping[str, tuple[str, ...]], topic: str) -> list[RowFeed]:
    """The feeds of rows of a topic. ``logs`` are the existing log tables, with their columns."""
    result: list[RowFeed] = []
    chunks: dict[str, list[LogChunk]] = {}
    chunk_columns: dict[str, tuple[str, ...]] = {}
    for name, columns in logs.items():
        owner, _, rest = name.partition(_SEPARATOR)
        if owner != topic:
            continue
        made_by, _, base = rest.partition(_BASE)
        table = f"log.{quoted(name)}"
        if not base:
            result.append(LeftRows(made_by, table, columns))
            continue
        if made_by not in chunks:
            result.append(Log(made_by, (), ()))
        chunks.setdefault(made_by, []).append(LogChunk(int(base), table, is_dropped=not columns))
        chunk_columns[made_by] = columns or chunk_columns.get(made_by, ())
    for number, feed in enumerate(result):
        if isinstance(feed, Log):
            sorted_chunks = tuple(sorted(chunks[feed.id], key=lambda chunk: chunk.base))
            result[number] = replace(feed, chunks=sorted_chunks, columns=chunk_columns[feed.id])
    for query in catalog.queries.values():
        if catalog.sources[query.sink].topic != topic:
            continue
        if query.analysis.is_aggregation:
            result.append(Changes(query))
        else:
            below = feeds(catalog, logs, query.analysis.source.topic)
            result.extend(Selection(query, feed) for feed in below)
    return result


def topic_of(table: str) -> str:
    """The topic of a table of schema ``log``."""
    return table.partition(_SEPARATOR)[0]


def log_table(topic: str, feed: str) -> str:
    """The name, in schema ``log``, of the table with a feed's rows of a topic."""
    return f"{topic}{_SEPARATOR}{feed}"


def json_log(logs: Mapping[str, tuple[str, ...]], topic: str, feed_id: str) -> Log | None:
    """The log of a feed. None if no row has been written into it yet."""
    matching = (feed for feed in feeds(Catalog(), logs, topic) if isinstance(feed, Log) and feed.id == feed_id)
    return next(matching, None)


def json_log_id(query_id: str) -> str:
    """The id of the log of the rows that a query creates from JSON."""
    return f"{query_id} of JSON"


def stored(feed: RowFeed) -> RowFeed:
    """The feed that stores the rows of a feed."""
    return stored(feed.over) if isinstance(feed, Selection) else feed


def chunk_table(topic: str, feed: str, base: int) -> str:
    """The table of a chunk of a log."""
    return f"log.{quoted(f'{log_table(topic, feed)}{_BASE}{base}')}"


def rows_of(cursor: duckdb.DuckDBPyConnection, table: str) -> int:
    """The number of rows of a table."""
    (count,) = cursor.execute(f"SELECT count(*) FROM {table}").fetchone()  # type: ignore[misc]
    return int(count)


def logs(cursor: duckdb.DuckDBPyConnection) -> dict[str, tuple[str, ...]]:
    """The log tables, with their columns. The tables of dropped chunks have no columns."""
    rows = cursor.execute(
        "SELECT table_name, list(column_name ORDER BY column_index) FROM duckdb_columns() "
        "WHERE schema_name = 'log' GROUP BY table_name ORDER BY table_name"
    ).fetchall()
    dropped = cursor.execute("SELECT log, base FROM meta.chunks WHERE dropped IS NOT NULL").fetchall()
    gone: dict[str, tuple[str, ...]] = {f"{log}{_BASE}{base}": () for log, base in dropped}
    return gone | {name: tuple(columns) for name, columns in rows}


def delete_logs(cursor: duckdb.DuckDBPyConnection, topic: str) -> None:
    """Drop the log tables of a topic."""
    begin = log_table(topic, "")
    for table, columns in logs(cursor).items():
        if columns and table.startswith(begin):
            cursor.execute(f"DROP TABLE log.{quoted(table)}")
    for table in ("chunks", "chunk_files"):
        cursor.execute(f"DELETE FROM meta.{table} WHERE starts_with(log, ?)", [begin])


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
