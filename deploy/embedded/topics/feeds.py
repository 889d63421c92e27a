"""The feeds of a topic whose records are rows: relations that can be read from any row number.

- A log: the rows that a stream's query creates from JSON, or that it joins.
- The rows that remain of a dropped stream or table.
- The rows of a table that a query computes: see :mod:`deploy.embedded.topics.table_feeds`.
- A selection: the rows of a stream's SELECT over a feed of rows of another topic. Nothing is stored.

A row of a stream has the partition and the offset of its original record. So the offsets of a stream that a query
writes have gaps. A topic may also have feeds of JSON (:mod:`deploy.embedded.topics.stored_topic`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import duckdb

from opensea_metrics.core.quoting import column as column_of
from opensea_metrics.core.quoting import name_of_column, quoted
from opensea_metrics.core.types import duckdb as duckdb_type
from opensea_metrics.deploy.embedded.topics import passing
from opensea_metrics.deploy.embedded.topics.log_tables import BASE, SEPARATOR
from opensea_metrics.deploy.embedded.topics.logs import Counts, Log, LogChunk
from opensea_metrics.deploy.embedded.topics.record_topic import RECORD, TOMBSTONE
from opensea_metrics.deploy.embedded.topics.state_rows import between
from opensea_metrics.deploy.embedded.topics.table_feeds import (
    REPLACED,
    Changes,
    TableRows,
    columns_of,
    end_of,
    keeps_replaced,
    with_values,
)
from opensea_metrics.sql.language.catalog.catalog import Catalog, Query
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.duckdb import selects


class RowFeed(Protocol):
    """A feed of rows. ``id`` is its name in the positions of its readers.

    Its rows have one order across all partitions, so positions hold a row number for partition 0 only.
    """

    @property
    def id(self) -> str: ...

    def end(self, cursor: duckdb.DuckDBPyConnection) -> int:
        """The number after the last row."""
        ...

    def counted(self, cursor: duckdb.DuckDBPyConnection, number: int) -> Counts:
        """For each partition: the offset after its last row, and how many rows have ``number`` or a greater number."""
        ...

    def relation(
        self, source: Source, low: int | None, high: int | None, carried: Sequence[str] = RECORD
    ) -> str:
        """The rows with numbers in [low, high): the columns of ``source``, ROWTIME, ``_off`` (the number) and
        ``carried``: ``record_topic.RECORD``, and perhaps ``record_topic.TOMBSTONE``.

        If ``record_topic.TOMBSTONE`` is carried, the rows include the records without a value that a stream
        has passed on.
        """
        ...


@dataclass(frozen=True)
class LeftRows:
    """The rows of a query that has ended."""

    id: str
    table: str
    columns: tuple[str, ...]

    def end(self, cursor: duckdb.DuckDBPyConnection) -> int:
        return end_of(cursor, self.table)

    def counted(self, cursor: duckdb.DuckDBPyConnection, number: int) -> Counts:
        return cursor.execute(
            f"SELECT ROWPARTITION, max(ROWOFFSET) + 1, count(*) FILTER (_off >= {number}) FROM {self.table} GROUP BY 1"
        ).fetchall()

    def relation(
        self, source: Source, low: int | None, high: int | None, carried: Sequence[str] = RECORD
    ) -> str:
        names = [name_of_column(column) for column in self.columns if column not in (TOMBSTONE, REPLACED)]
        rows = f"SELECT * FROM {self.table}{between(low, high)}"
        if REPLACED in self.columns and source.is_table:
            rows = f"SELECT * FROM ({rows}) WHERE NOT {REPLACED}"
        if TOMBSTONE not in self.columns:
            rows = with_values(rows)
        elif TOMBSTONE not in carried:
            rows = f"SELECT * FROM ({rows}) WHERE NOT {TOMBSTONE}"
        return selects.as_source(source, rows, names, carried)


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

    def relation(
        self, source: Source, low: int | None, high: int | None, carried: Sequence[str] = RECORD
    ) -> str:
        return self._selected(source, self.over.relation(self.query.analysis.source, low, high, carried), carried)

    def through(self, source: Source, rows: str, carried: Sequence[str] = RECORD) -> str:
        """Rows of a chunk of the underlying log, after the SELECT, with the columns of a source."""
        assert isinstance(self.over, Log | Selection)
        return self._selected(source, self.over.through(self.query.analysis.source, rows, carried), carried)

    def _selected(self, source: Source, relation: str, carried: Sequence[str]) -> str:
        if TOMBSTONE in carried:
            rows = passing.rows(self.query.analysis, relation, f"NOT {TOMBSTONE}", carried=carried)
        else:
            rows = selects.rows(self.query.analysis, relation, carried=carried)
        return selects.as_source(source, rows, columns_of(self.query), carried)


def feeds(catalog: Catalog, logs: Mapping[str, tuple[str, ...]], topic: str) -> list[RowFeed]:
    """The feeds of rows of a topic. ``logs`` are the existing log tables, with their columns."""
    result: list[RowFeed] = []
    chunks: dict[str, list[LogChunk]] = {}
    chunk_columns: dict[str, tuple[str, ...]] = {}
    for name, columns in logs.items():
        owner, _, rest = name.partition(SEPARATOR)
        if owner != topic:
            continue
        made_by, _, base = rest.partition(BASE)
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
            result.append(Changes(query, keeps_replaced(catalog, query)))
        elif query.analysis.gives_table:
            result.append(TableRows(query))
        elif not query.analysis.is_ordered:  # a query of this kind has its rows in a log
            below = feeds(catalog, logs, query.analysis.source.topic)
            result.extend(Selection(query, feed) for feed in below)
    return result


def json_log(logs: Mapping[str, tuple[str, ...]], topic: str, feed_id: str) -> Log | None:
    """The log of a feed. None if no row has been written into it yet."""
    matching = (feed for feed in feeds(Catalog(), logs, topic) if isinstance(feed, Log) and feed.id == feed_id)
    return next(matching, None)


def json_log_id(query_id: str) -> str:
    """The id of the log of the rows that a query creates from JSON, or from several sources."""
    return f"{query_id} of JSON"


def stored(feed: RowFeed) -> RowFeed:
    """The feed that stores the rows of a feed."""
    return stored(feed.over) if isinstance(feed, Selection) else feed


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

