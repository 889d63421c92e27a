"""Computes a grouping in DuckDB in parts."""

from __future__ import annotations

from dataclasses import dataclass, field

import duckdb

from opensea_metrics.core.quoting import quoted
from opensea_metrics.spark_batch.statement_runner import StatementRunner
from opensea_metrics.sql.language.catalog.catalog import Query
from opensea_metrics.sql.language.lowering.duckdb import groupings
from opensea_metrics.sql.language.lowering.duckdb.stream_time import StreamTime

_ROWS = 500_000
"""The least number of rows of parts that is worth merging."""
_SEARCHED = 5_000
"""The least number of rows in which a search for windows of one part only is worth its time."""
_SHARED = 1_000
"""The most windows of several parts that a statement names."""


@dataclass(frozen=True)
class PartialGrouping:
    """A table of state (see ``groupings.Grouping``), with one row for each key."""

    table: str
    rows: int


def compute_part(
    connection: duckdb.DuckDBPyConnection,
    runner: StatementRunner,
    query: Query,
    relation: str,
    name: str,
    time: StreamTime | None = None,
) -> PartialGrouping:
    """Compute a query's grouping over the rows of a relation. All connections of the database see the part.

    With a stream time, late rows are left out. The relation then has ROWPARTITION.
    """
    rows = groupings.grouping(query.analysis).partial(relation, time)
    return _kept(runner, connection, f"part {name} of {query.id}", rows)


@dataclass
class PartialGroupings:
    """The parts of a grouping, older ones first, merged when they have many rows."""

    database: duckdb.DuckDBPyConnection
    runner: StatementRunner
    query: Query
    parts: list[PartialGrouping] = field(default_factory=list)
    merged: int = 0

    def add(self, part: PartialGrouping) -> None:
        """Add a part whose rows come after those of the earlier parts."""
        self.parts.append(part)
        if sum(existing.rows for existing in self.parts) > max(_ROWS, 2 * self.merged):
            whole = _kept(self.runner, self.database, f"merging {self.query.id}", self._whole(self.database))
            self._drop(self.database)
            merged = quoted(f"merged {self.query.id}")
            self.database.execute(f"ALTER TABLE {whole.table} RENAME TO {merged}")
            self.parts.append(PartialGrouping(merged, whole.rows))
            self.merged = whole.rows

    def finish(self, connection: duckdb.DuckDBPyConnection, name: str, kept: str) -> None:
        """Write the rows of the SELECT into a table, in the order of windows. ``kept`` is a condition or empty.

        ``connection`` is one of the database.
        """
        grouping = groupings.grouping(self.query.analysis)
        rows = self.parts[0].table if len(self.parts) == 1 else f"({self._whole(connection)})"
        order = "ORDER BY _ws" if self.query.analysis.window else ""
        # Without an order of its own, row_number() numbers the rows as they come. So they are sorted only once.
        numbered = f"SELECT *, row_number() OVER () AS _off FROM (SELECT * FROM {rows} {order})"
        finished = f"SELECT * FROM ({grouping.finish(numbered)}) {kept}"
        _kept(self.runner, connection, name, finished)
        self._drop(connection)

    def _whole(self, connection: duckdb.DuckDBPyConnection) -> str:
        """A query for one row for each key of all the parts."""
        grouping = groupings.grouping(self.query.analysis)
        shared = self._shared_windows(connection)
        if shared is None:
            return grouping.merge(self._rows("true"))
        # Rows of the other windows need no merge. An archive is in the order of time, so most windows are in one part.
        windows = ", ".join(map(str, shared))
        alone = f"SELECT * EXCLUDE (_src) FROM ({self._rows(f'_ws NOT IN ({windows})' if shared else 'true')})"
        if not shared:
            return alone
        return f"{alone} UNION ALL BY NAME ({grouping.merge(self._rows(f'_ws IN ({windows})'))})"

    def _rows(self, condition: str) -> str:
        """The parts' rows that meet a condition, with the number of their part in ``_src``."""
        rows = (f"SELECT *, {at} AS _src FROM {part.table} WHERE {condition}" for at, part in enumerate(self.parts))
        return " UNION ALL ".join(rows)

    def _shared_windows(self, connection: duckdb.DuckDBPyConnection) -> list[int] | None:
        """The starts of the windows that several parts have. None if a search for them is not worth its time."""
        window = self.query.analysis.window
        if window is None or window.is_session or sum(part.rows for part in self.parts) < _SEARCHED:
            return None
        windows = " UNION ALL ".join(f"SELECT DISTINCT _ws FROM {part.table}" for part in self.parts)
        shared = f"SELECT _ws FROM ({windows}) GROUP BY _ws HAVING count(*) > 1 LIMIT {_SHARED + 1}"
        starts = [start for (start,) in connection.execute(shared).fetchall()]
        return starts if len(starts) <= _SHARED else None

    def _drop(self, connection: duckdb.DuckDBPyConnection) -> None:
        for part in self.parts:
            connection.execute(f"DROP TABLE {part.table}")
        self.parts.clear()


def _kept(
    runner: StatementRunner, connection: duckdb.DuckDBPyConnection, name: str, rows: str
) -> PartialGrouping:
    table = quoted(name)
    return PartialGrouping(table, runner.number(connection, f"CREATE TABLE {table} AS {rows}"))
