"""How far queries have read: the positions and the counters of each reader, and the files that it has not finished."""

from __future__ import annotations

import duckdb

from opensea_metrics.deploy.embedded.topics import Positions, ReadPosition
from opensea_metrics.deploy.embedded.unread import Unread, Why

STREAM_TIME = "stream time"
"""Not a feed, but a counter: the greatest ROWTIME (epoch ms) that a query has seen in a partition."""
LATE = ReadPosition("late")
"""Not a position, but a counter: the rows that were left out because their window had closed before they arrived."""
ROWS = ReadPosition("rows")
"""Not a position, but a counter: the number of the next change of a table's row, if rows can be deleted."""


def positions(cursor: duckdb.DuckDBPyConnection, reader_id: str) -> dict[ReadPosition, int]:
    """The positions up to which a reader has read each feed of its source's topic, and its counters."""
    rows = cursor.execute(
        "SELECT feed, partition, position FROM meta.positions WHERE query = ?", [reader_id]
    ).fetchall()
    return {ReadPosition(feed, partition): number for feed, partition, number in rows}


def set_positions(cursor: duckdb.DuckDBPyConnection, reader_id: str, reached: Positions) -> None:
    """Save the positions up to which (exclusive) a reader has read, and its counters."""
    values = [value for position, number in reached.items() for value in (reader_id, *position, number)]
    if values:
        rows = ", ".join(["(?, ?, ?, ?)"] * len(reached))
        cursor.execute(f"INSERT OR REPLACE INTO meta.positions VALUES {rows}", values)


def unread(cursor: duckdb.DuckDBPyConnection, reader_id: str) -> list[Unread]:
    """The segments that a reader has not read to their end."""
    rows = cursor.execute(
        "SELECT seq, taken, checksum, tried, why FROM meta.unread WHERE query = ?", [reader_id]
    ).fetchall()
    return [
        Unread(seq, taken, checksum, tried, Why(why)) for seq, taken, checksum, tried, why in rows
    ]
