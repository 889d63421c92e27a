"""How far queries have read: the positions and counters of each reader, and the files that it has not finished."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import duckdb

from opensea_metrics.deploy.embedded.files.unread import Unread, Why
from opensea_metrics.deploy.embedded.topics.log_tables import rows_of, state_table
from opensea_metrics.deploy.embedded.topics.record_topic import Positions, ReadPosition

STREAM_TIME = "stream time"
"""Not a feed, but a counter: the greatest ROWTIME (epoch ms) that a query has seen in a partition."""
LATE = ReadPosition("late")
"""Not a position, but a counter: the rows that were dropped because their window had closed before they arrived."""
ROWS = ReadPosition("rows")
"""Not a position, but a counter: the number of the next change of a table's row, if rows can be deleted."""


def positions(cursor: duckdb.DuckDBPyConnection, reader_id: str) -> dict[ReadPosition, int]:
    """The positions up to which a reader has read each feed of its source's topic, and its counters."""
    rows = cursor.execute(
        "SELECT feed, partition, position FROM meta.positions WHERE query = ?", [reader_id]
    ).fetchall()
    return {ReadPosition(feed, partition): number for feed, partition, number in rows}


def all_positions(cursor: duckdb.DuckDBPyConnection) -> dict[str, Positions]:
    """:func:`positions` of all readers that have any, by their ids."""
    result: defaultdict[str, dict[ReadPosition, int]] = defaultdict(dict)
    rows = cursor.execute("SELECT query, feed, partition, position FROM meta.positions").fetchall()
    for reader_id, feed, partition, number in rows:
        result[reader_id][ReadPosition(feed, partition)] = number
    return dict(result)


def stream_times(known: Positions) -> dict[int, int]:
    """The greatest ROWTIME (epoch ms) that a query has seen, by partition."""
    return {position.partition: time for position, time in known.items() if position.feed == STREAM_TIME}


class StateEnd(NamedTuple):
    """The number of the next change of an aggregation's state, and the start (epoch ms) of its newest window.

    Both may be greater than those of the existing rows. Without rows, the window is None.
    """

    number: int
    window: int | None


class PartSpan(NamedTuple):
    """Parts of a state: those from a number of a change on, whose windows start in [first, last] (epoch ms)."""

    number: int
    first: int
    last: int


class KnownPositions:
    """The positions of readers, kept in memory because the same query is moved many times a second.

    Code that changes ``meta.positions`` must call :meth:`reached` or :meth:`forget` after the transaction. The same is
    true for the states of aggregations with windows, and :meth:`reached_in_state`. A state from which old windows are
    deleted still has the same end.
    """

    def __init__(self) -> None:
        self._known: dict[str, Positions] = {}
        self._ends: dict[str, StateEnd] = {}
        self._rows: dict[str, int] = {}
        self.parts: dict[str, list[list[PartSpan]]] = {}
        """The parts of each query's state: see :mod:`deploy.embedded.queries.state_parts`."""

    def of(self, cursor: duckdb.DuckDBPyConnection, reader_id: str) -> Positions:
        """:func:`positions` of a reader."""
        if reader_id not in self._known:
            self._known[reader_id] = positions(cursor, reader_id)
        return self._known[reader_id]

    def reached(self, reached: Mapping[str, Positions]) -> None:
        """Store the positions that :func:`set_positions_of` has saved."""
        for reader_id, new in reached.items():
            self._known[reader_id] = {**self._known[reader_id], **new}

    def end_of_state(self, cursor: duckdb.DuckDBPyConnection, query_id: str) -> StateEnd:
        """The end of the state of an aggregation with windows."""
        if query_id not in self._ends:
            row = cursor.execute(
                f"SELECT coalesce(max(_off) + 1, 0), max(_ws) FROM {state_table(query_id)}"
            ).fetchone()
            self._ends[query_id] = StateEnd(*row)  # type: ignore[misc]
        return self._ends[query_id]

    def rows_of_log(self, cursor: duckdb.DuckDBPyConnection, table: str) -> int:
        """The number of rows of the table to which a log's rows are added."""
        if table not in self._rows:
            self._rows[table] = rows_of(cursor, table)
        return self._rows[table]

    def added_to_log(self, table: str, count: int) -> None:
        """Note that rows were added to the table of a log, after the transaction."""
        self._rows[table] += count

    def known_ends(self) -> dict[str, int]:
        """The ends that are known, of states and logs.

        A state's end is the number after its last change, by the id of its query. A log's end is the number of rows
        of the table to which rows are added, by the name of that table.
        """
        return {query_id: end.number for query_id, end in self._ends.items()} | self._rows

    def reached_in_state(self, query_id: str, end: StateEnd) -> None:
        """Note the end of a state after rows were added. If the transaction fails, call :meth:`forget`."""
        self._ends[query_id] = end

    def forget(self) -> None:
        """Read all positions and ends from the database again."""
        self._known.clear()
        self._ends.clear()
        self._rows.clear()
        self.parts.clear()


def set_positions(cursor: duckdb.DuckDBPyConnection, reader_id: str, reached: Positions) -> None:
    """Save the positions (exclusive) up to which a reader has read, and its counters."""
    set_positions_of(cursor, {reader_id: reached})


def set_positions_of(cursor: duckdb.DuckDBPyConnection, reached: Mapping[str, Positions]) -> None:
    """:func:`set_positions` of several readers, by their ids."""
    rows = [(reader_id, *place, number) for reader_id, of in reached.items() for place, number in of.items()]
    if rows:
        cursor.execute(
            "INSERT OR REPLACE INTO meta.positions SELECT unnest(?::VARCHAR[]), unnest(?::VARCHAR[]),"
            " unnest(?::INTEGER[]), unnest(?::BIGINT[])",
            list(map(list, zip(*rows, strict=True))),
        )


def unread(cursor: duckdb.DuckDBPyConnection, reader_id: str) -> list[Unread]:
    """The segments that a reader has not read to their end."""
    rows = cursor.execute(
        "SELECT seq, taken, checksum, tried, why FROM meta.unread WHERE query = ?", [reader_id]
    ).fetchall()
    return [
        Unread(seq, taken, checksum, tried, Why(why)) for seq, taken, checksum, tried, why in rows
    ]
