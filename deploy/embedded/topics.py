"""Where a topic's records are.

A topic is made of parts, each with offsets of its own that only grow. Typed parts are relations that
can be read from an offset on:

- a log: rows that a stream's query made of JSON, or that a dropped stream or table left;
- the changes of a table: its newest row for each key, at the offset of its last change (as in a
  compacted topic, older changes of a key are not seen by who comes later);
- a selection: what a stream's SELECT gives over a typed part of another topic. Nothing is stored.

Besides these a topic may have JSON: files of the archive, and records put in by INSERT … VALUES. They
are read through :mod:`sql.language.lowering.records.rows`, by the source that declares their columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import duckdb

from opensea_metrics.core.quoting import column as column_of
from opensea_metrics.core.quoting import name_of_column, quoted
from opensea_metrics.core.types import duckdb as duckdb_type
from opensea_metrics.sql.language.catalog.catalog import Catalog, Query
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.duckdb import selects

_SEPARATOR = " of "
UNREADABLE = ("_failed", "_line", "_path")
"""Columns of a log made of JSON: for a record that cannot be read why, its text, and where it stood."""


class Part(Protocol):
    """A typed part of a topic; ``id`` names it in the positions of its readers."""

    @property
    def id(self) -> str: ...

    def end(self, cursor: duckdb.DuckDBPyConnection) -> int:
        """The offset after the last record."""
        ...

    def relation(self, source: Source, low: int | None, high: int | None) -> str:
        """The records with offsets in [low, high): the columns of ``source``, ROWTIME, ``_off``."""
        ...


@dataclass(frozen=True)
class Log:
    """Rows in a DuckDB table: made of JSON by a query, or left by one that has ended (``is_left``).

    The first kind holds unreadable records too (``_failed`` says why, in ``UNREADABLE``) and its
    offsets are DuckDB's own row numbers, as nothing is ever deleted from it: numbering rows while they
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

    def relation(self, source: Source, low: int | None, high: int | None) -> str:
        rows = f"SELECT * FROM {self.table}"
        if not self.is_left:
            rows = (
                f"SELECT * EXCLUDE ({', '.join(UNREADABLE)}), rowid AS _off FROM {self.table}"
                " WHERE _failed IS NULL"
            )
        names = [name_of_column(column) for column in self.columns]
        return selects.as_source(source, f"SELECT * FROM ({rows}){_between(low, high)}", names)


@dataclass(frozen=True)
class Changes:
    """The newest row of each key of an aggregation."""

    query: Query

    @property
    def id(self) -> str:
        return self.query.id

    def end(self, cursor: duckdb.DuckDBPyConnection) -> int:
        return _end(cursor, state_table(self.query.id))

    def relation(self, source: Source, low: int | None, high: int | None) -> str:
        rows = f"SELECT * FROM {state_table(self.query.id)}{_between(low, high)}"
        finished = selects.grouping(self.query.analysis).finish(rows)
        return selects.as_source(source, finished, [*_columns(self.query), "WINDOWSTART", "WINDOWEND"])


@dataclass(frozen=True)
class Selection:
    """A stream's SELECT over a part of its source's topic."""

    query: Query
    over: Part

    @property
    def id(self) -> str:
        return f"{self.query.id} over {self.over.id}"

    def end(self, cursor: duckdb.DuckDBPyConnection) -> int:
        return self.over.end(cursor)

    def relation(self, source: Source, low: int | None, high: int | None) -> str:
        analysis = self.query.analysis
        rows = selects.rows(analysis, self.over.relation(analysis.source, low, high))
        return selects.as_source(source, rows, _columns(self.query))


def parts(catalog: Catalog, logs: Mapping[str, tuple[str, ...]], topic: str) -> list[Part]:
    """The typed parts of a topic; ``logs`` are the log tables that exist, with their columns."""
    found: list[Part] = []
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
            below = parts(catalog, logs, query.analysis.source.topic)
            found.extend(Selection(query, part) for part in below)
    return found


def log_table(topic: str, part: str) -> str:
    """The name, in schema ``log``, of the table with a part's rows of a topic."""
    return f"{topic}{_SEPARATOR}{part}"


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
    hidden = [*bounds, "0::BIGINT AS ROWTIME", "0::BIGINT AS _off"]
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
