"""EMIT FINAL: a window's row is final when stream time reaches the window's end plus the grace period.

The state keeps all windows, and ``_off`` is NULL until a window's row is final. As in Kafka Streams, a tumbling or
hopping window that its store no longer holds when it closes never becomes final: see :func:`emit`.
"""

from __future__ import annotations

import duckdb

from opensea_metrics.sql.language.catalog.sources import Window
from opensea_metrics.sql.language.lowering.duckdb.groupings import Grouping
from opensea_metrics.sql.language.lowering.duckdb.stream_time import StreamTime

PARTITION = "_partition"
"""A column of the state: the partition whose stream time closes the row's window."""


def emit(
    cursor: duckdb.DuckDBPyConnection, grouping: Grouping, table: str, relation: str, time: StreamTime, now: int
) -> None:
    """Number the rows of windows that close with the records of a relation, in the order in which they close.

    ``now`` is the greatest stream time (epoch ms) of all partitions. The store of a window ends RETENTION (or size
    and grace) before the start of the newest window. So if stream time jumps, it may end after windows that close at
    that moment. Kafka Streams does not emit these windows, and they are deleted here. The result does not depend on
    how the records are cut into batches, because each window closes at a record.
    """
    window = grouping.analysis.window
    assert window is not None
    closes = _closes(window)
    (first,) = cursor.execute(f"SELECT min({closes}) FROM {table} WHERE _off IS NULL").fetchone()  # type: ignore[misc]
    if first is None or first > now:
        return
    times = f"SELECT DISTINCT {PARTITION}, _now FROM ({grouping.timed(relation, time)})"
    cursor.execute(
        f"CREATE OR REPLACE TEMP TABLE closing AS SELECT row.rowid AS _row, _ws, _now FROM {table} AS row"
        f" ASOF JOIN ({times}) AS times ON row.{PARTITION} = times.{PARTITION} AND {closes} <= _now"
        " WHERE _off IS NULL"
    )
    if not window.is_session:
        newest = f"_now - (_now - {window.origin}) % {window.advance}"
        gone = f"SELECT _row FROM closing WHERE _ws < {newest} - {window.kept}"
        cursor.execute(f"DELETE FROM {table} WHERE rowid IN ({gone})")
        cursor.execute(f"DELETE FROM closing WHERE _ws < {newest} - {window.kept}")
    cursor.execute(
        f"UPDATE {table} SET _off = numbered.number FROM (SELECT _row,"
        f" (SELECT coalesce(max(_off) + 1, 0) FROM {table}) + row_number() OVER (ORDER BY _now, _ws) - 1 AS number"
        f" FROM closing) AS numbered WHERE {table}.rowid = numbered._row"
    )


def _closes(window: Window) -> str:
    """The least stream time at which a window is closed. The last time of a session is within the session."""
    if window.is_session:
        return f"_we + {window.size + window.grace + 1}"
    return f"_ws + {window.size + window.grace}"
