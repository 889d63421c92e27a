"""The feeds of tables that queries compute.

- The changes of an aggregation: its newest row for each key, at the number of the key's last change. As in a compacted
  topic, later readers do not see older changes of a key. With EMIT FINAL these are the final rows. A running query that
  joins the table, or selects from it, gets each change from the query that computes the table
  (:mod:`deploy.embedded.queries.ordered.sending`).
- The newest row of each key of a table without groups.

They are feeds of rows: see :class:`deploy.embedded.topics.feeds.RowFeed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from opensea_metrics.deploy.embedded.topics import state_rows
from opensea_metrics.deploy.embedded.topics.log_tables import state_table
from opensea_metrics.deploy.embedded.topics.logs import Counts
from opensea_metrics.deploy.embedded.topics.positions import ROWS, positions
from opensea_metrics.deploy.embedded.topics.record_topic import RECORD, TOMBSTONE
from opensea_metrics.deploy.embedded.topics.state_rows import between
from opensea_metrics.sql.language.catalog.catalog import Catalog, Query
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.duckdb import groupings, selects

REPLACED = "_replaced"
"""A column of left rows, which is true for sessions that other rows have replaced. Tables do not read them."""


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
        return f"SELECT *, false AS {REPLACED} FROM ({rows}) UNION ALL SELECT *, true FROM ({replaced})"

    def with_open(self, source: Source, keys: str | None = None) -> str:
        """All rows, including those of open windows of EMIT FINAL, which pull queries see.

        ``keys`` is a SELECT of the keys whose rows are needed, for a table with one column as its key.
        """
        return self._finished(source, state_rows.rows(self.query, keys=keys), RECORD)

    def _finished(self, source: Source, rows: str, carried: Sequence[str]) -> str:
        finished = groupings.grouping(self.query.analysis).finish(rows)
        return self.as_records(source, finished, carried)

    def as_records(self, source: Source, finished: str, carried: Sequence[str]) -> str:
        """Finished rows of this table as records of a source."""
        rows = f"SELECT *, 0::INTEGER AS ROWPARTITION, _off AS ROWOFFSET FROM ({finished})"
        names = [*columns_of(self.query), "WINDOWSTART", "WINDOWEND"]
        return selects.as_source(source, with_values(rows), names, carried)


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
        grouping, source = groupings.grouping(self.changes.query.analysis), self.source
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
        rows.append(groupings.grouping(query.analysis).with_end(state_rows.rows(query, read.low, read.high), values))
    first = reads[0][0]
    grouping = groupings.grouping(first.changes.query.analysis)
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
        return selects.as_source(source, with_values(rows), columns_of(self.query), carried)

    def with_open(self, source: Source, keys: str | None = None) -> str:
        """All rows. The method of :class:`Changes` with this name adds open windows, but these rows have no windows."""
        return self.relation(source, None, None)


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


def end_of(cursor: duckdb.DuckDBPyConnection, table: str) -> int:
    """The number after the last row of a table with ``_off``."""
    row = cursor.execute(f"SELECT max(_off) FROM {table}").fetchone()
    return 0 if row is None or row[0] is None else int(row[0]) + 1


def with_values(rows: str) -> str:
    """The rows with the column ``record_topic.TOMBSTONE``, which is false for all of them."""
    return f"SELECT *, false AS {TOMBSTONE} FROM ({rows})"


def columns_of(query: Query) -> list[str]:
    """The columns of a query's rows. A stream over a source with windows has their bounds too."""
    bounds = ["WINDOWSTART", "WINDOWEND"] if query.analysis.source.window else []
    return [*(column.name for column in query.analysis.columns), *bounds]


def _counted(cursor: duckdb.DuckDBPyConnection, numbers: str, number: int) -> Counts:
    """:meth:`RowFeed.counted` of the newest rows of a query's table, all of which are in partition 0.

    ``numbers`` is a SELECT of their ``_off``.
    """
    return cursor.execute(
        f"SELECT 0, coalesce(max(_off) + 1, 0), count(*) FILTER (_off >= {number}) FROM ({numbers})"
    ).fetchall()
