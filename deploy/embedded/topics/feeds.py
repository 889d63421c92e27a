"""The feeds of a topic whose records are rows: relations that can be read from any row number.

- A log: the rows that a stream's query creates from JSON, or that it joins.
- The rows that remain of a dropped stream or table.
- The changes of a table: its newest row for each key, at the number of the key's last change. As in a
  compacted topic, later readers do not see older changes of a key. With EMIT FINAL these are the final rows. A
  running query that joins the table, or selects from it, gets each change from the query that computes the table
  (:mod:`deploy.embedded.queries.ordered.sending`).
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
from opensea_metrics.deploy.embedded.topics import passing, state_rows
from opensea_metrics.deploy.embedded.topics.log_tables import BASE, SEPARATOR, state_table
from opensea_metrics.deploy.embedded.topics.logs import Counts, Log, LogChunk
from opensea_metrics.deploy.embedded.topics.positions import ROWS, positions
from opensea_metrics.deploy.embedded.topics.record_topic import RECORD, TOMBSTONE
from opensea_metrics.deploy.embedded.topics.state_rows import between
from opensea_metrics.sql.language.catalog.catalog import Catalog, Query
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.duckdb import selects

_REPLACED = "_replaced"
"""A column of left rows, which is true for sessions that other rows have replaced. Tables do not read them."""


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
        names = [name_of_column(column) for column in self.columns if column not in (TOMBSTONE, _REPLACED)]
        rows = f"SELECT * FROM {self.table}{between(low, high)}"
        if _REPLACED in self.columns and source.is_table:
            rows = f"SELECT * FROM ({rows}) WHERE NOT {_REPLACED}"
        if TOMBSTONE not in self.columns:
            rows = _with_values(rows)
        elif TOMBSTONE not in carried:
            rows = f"SELECT * FROM ({rows}) WHERE NOT {TOMBSTONE}"
        return selects.as_source(source, rows, names, carried)


@dataclass(frozen=True)
class Changes:
    """The newest row of each key of an aggregation.

    With ``has_replaced``, streams also read the rows of sessions that other rows have replaced.
    """

    query: Query
    has_replaced: bool = False

    @property
    def id(self) -> str:
        return self.query.id

    def end(self, cursor: duckdb.DuckDBPyConnection) -> int:
        return end_of(cursor, state_table(self.query.id))

    def counted(self, cursor: duckdb.DuckDBPyConnection, number: int) -> Counts:
        return _counted(cursor, state_rows.numbers(self.query), number)

    def relation(
        self, source: Source, low: int | None, high: int | None, carried: Sequence[str] = RECORD
    ) -> str:
        rows = state_rows.rows(self.query, low, high)
        if self.has_replaced and not source.is_table:
            replaced = f"SELECT * FROM {replaced_table(self.query.id)}{between(low, high)}"
            rows = f"{rows} UNION ALL BY NAME {replaced}"
        return self._finished(source, f"SELECT * FROM ({rows}) WHERE _off IS NOT NULL", carried)

    def left(self, source: Source, carried: Sequence[str]) -> str:
        """The rows to keep as :class:`LeftRows` when the query ends."""
        rows = self.relation(source, None, None, carried)
        if not self.has_replaced:
            return rows
        replaced = self._finished(source, f"SELECT * FROM {replaced_table(self.query.id)}", carried)
        return f"SELECT *, false AS {_REPLACED} FROM ({rows}) UNION ALL SELECT *, true FROM ({replaced})"

    def with_open(self, source: Source, keys: str | None = None) -> str:
        """All rows, including those of open windows of EMIT FINAL, which pull queries see.

        ``keys`` is a SELECT of the keys whose rows are needed, for a table with one column as its key.
        """
        return self._finished(source, state_rows.rows(self.query, keys=keys), RECORD)

    def _finished(self, source: Source, rows: str, carried: Sequence[str]) -> str:
        finished = selects.grouping(self.query.analysis).finish(rows)
        return self.as_records(source, finished, carried)

    def as_records(self, source: Source, finished: str, carried: Sequence[str]) -> str:
        """Finished rows of this table as records of a source."""
        rows = f"SELECT *, 0::INTEGER AS ROWPARTITION, _off AS ROWOFFSET FROM ({finished})"
        names = [*_columns(self.query), "WINDOWSTART", "WINDOWEND"]
        return selects.as_source(source, _with_values(rows), names, carried)


@dataclass(frozen=True)
class ChangesRead:
    """The changes of a table with numbers in [low, high), for a source."""

    changes: Changes
    source: Source
    low: int
    high: int
    carried: Sequence[str]

    @property
    def form(self) -> object:
        """It is equal for reads that differ only in the table, its windows and the numbers."""
        grouping, source = selects.grouping(self.changes.query.analysis), self.source
        state = grouping.key_sql, grouping.accumulators, grouping.columns_sql, grouping.having_sql
        columns = source.columns, source.timestamp, source.timestamp_format
        return state, columns, source.window is None, source.is_table, self.carried


def all_changes(reads: Sequence[tuple[ChangesRead, Mapping[str, int]]]) -> str:
    """The rows of several reads of one :attr:`ChangesRead.form`, each with constants as further columns.

    The rows are finished together, because DuckDB would plan this again for each read.
    """
    rows, added = [], list(reads[0][1])
    for read, constants in reads:
        query = read.changes.query
        values = [f"{constant} AS {name}" for name, constant in constants.items()]
        rows.append(selects.grouping(query.analysis).with_end(state_rows.rows(query, read.low, read.high), values))
    first = reads[0][0]
    grouping = selects.grouping(first.changes.query.analysis)
    finished = grouping.finish_with_end(" UNION ALL BY NAME ".join(rows), added)
    return first.changes.as_records(first.source, finished, [*first.carried, *added])


@dataclass(frozen=True)
class TableRows:
    """The newest row of each key of a table that a query computes without groups. Its keys can be deleted."""

    query: Query

    @property
    def id(self) -> str:
        return self.query.id

    def end(self, cursor: duckdb.DuckDBPyConnection) -> int:
        return positions(cursor, self.query.id).get(ROWS, 0)

    def counted(self, cursor: duckdb.DuckDBPyConnection, number: int) -> Counts:
        return _counted(cursor, f"SELECT _off FROM {state_table(self.query.id)}", number)

    def relation(
        self, source: Source, low: int | None, high: int | None, carried: Sequence[str] = RECORD
    ) -> str:
        rows = f"SELECT * FROM {state_table(self.query.id)}{between(low, high)}"
        rows = f"SELECT *, 0::INTEGER AS ROWPARTITION, _off AS ROWOFFSET FROM ({rows})"
        return selects.as_source(source, _with_values(rows), _columns(self.query), carried)

    def with_open(self, source: Source, keys: str | None = None) -> str:
        """All rows. The method of :class:`Changes` with this name adds open windows, but these rows have no windows."""
        return self.relation(source, None, None)


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
        return selects.as_source(source, rows, _columns(self.query), carried)


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


def replaced_table(query_id: str) -> str:
    """The table of an aggregation's sessions that other rows have replaced."""
    return state_table(f"{query_id} replaced")


def keeps_replaced(catalog: Catalog, query: Query) -> bool:
    """True for a query whose sessions change and whose topic a stream reads."""
    analysis = query.analysis
    if analysis.window is None or not analysis.window.is_session or analysis.emit == "FINAL":
        return False
    topic = catalog.sources[query.sink].topic
    return analysis.is_aggregation and any(s.topic == topic and not s.is_table for s in catalog.sources.values())


def of_table(catalog: Catalog, name: str) -> Changes | TableRows:
    """The rows of a table that a query computes."""
    (query,) = catalog.writers(name)
    return Changes(query) if query.analysis.is_aggregation else TableRows(query)


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


def _with_values(rows: str) -> str:
    """The rows with the column ``record_topic.TOMBSTONE``, which is false for all of them."""
    return f"SELECT *, false AS {TOMBSTONE} FROM ({rows})"


def _columns(query: Query) -> list[str]:
    """The columns of a query's rows. A stream over a source with windows has their bounds too."""
    bounds = ["WINDOWSTART", "WINDOWEND"] if query.analysis.source.window else []
    return [*(column.name for column in query.analysis.columns), *bounds]


def end_of(cursor: duckdb.DuckDBPyConnection, table: str) -> int:
    """The number after the last row of a table with ``_off``."""
    row = cursor.execute(f"SELECT max(_off) FROM {table}").fetchone()
    return 0 if row is None or row[0] is None else int(row[0]) + 1


def _counted(cursor: duckdb.DuckDBPyConnection, numbers: str, number: int) -> Counts:
    """:meth:`RowFeed.counted` of the newest rows of a query's table, all of which are in partition 0.

    ``numbers`` is a SELECT of their ``_off``.
    """
    return cursor.execute(
        f"SELECT 0, coalesce(max(_off) + 1, 0), count(*) FILTER (_off >= {number}) FROM ({numbers})"
    ).fetchall()
