"""Windowed (and other) grouped state: rows of a source in, newest row of each key kept."""

from __future__ import annotations

import duckdb

from opensea_metrics.deploy.embedded import topics
from opensea_metrics.sql.language.lowering.duckdb.selects import Grouping

_MADE = "CREATE OR REPLACE TEMP TABLE"


def create(
    cursor: duckdb.DuckDBPyConnection, grouping: Grouping, table: str, temporary: bool = False
) -> None:
    """Make the state's table, empty: keys, accumulators, ``_ts`` and ``_off``, the offset of a row's
    last change."""
    empty = grouping.partial(topics.nothing(grouping.analysis.source), None)
    kind = "TEMP TABLE" if temporary else "TABLE"
    cursor.execute(f"CREATE OR REPLACE {kind} {table} AS SELECT *, 0::BIGINT AS _off FROM ({empty})")


def absorb(
    cursor: duckdb.DuckDBPyConnection,
    grouping: Grouping,
    table: str,
    relation: str,
    stream_time: int,
) -> tuple[int, int]:
    """Take rows of a relation into the state of ``table``.

    ``stream_time`` is the greatest ROWTIME seen before (epoch ms). Returns the new stream time and
    the number of rows that were left out, as their window had closed: its end and the grace period
    had passed in stream time before they came.
    """
    cursor.execute(f"{_MADE} delta AS {grouping.partial(relation, None)}")
    late = 0
    window = grouping.analysis.window
    bounds = "min(_ws), max(_ws)" if window else "NULL, NULL"
    first, last, newest, known = cursor.execute(
        f"SELECT {bounds}, max(_ts), (SELECT coalesce(max(_off) + 1, 0) FROM {table}) FROM delta"
    ).fetchone()  # type: ignore[misc]
    if newest is None:
        return stream_time, 0
    if window and first + window.size + window.grace <= max(newest, stream_time):
        late = int(cursor.execute(grouping.count_late(relation, stream_time)).fetchone()[0])  # type: ignore[index]
        if late:
            cursor.execute(f"{_MADE} delta AS {grouping.partial(relation, stream_time)}")
    _merge(cursor, grouping, table, (first, last) if window else None, known)
    return max(newest, stream_time), late


def _merge(
    cursor: duckdb.DuckDBPyConnection,
    grouping: Grouping,
    table: str,
    windows: tuple[int, int] | None,
    known: int,
) -> None:
    """The rows of ``delta`` into the state, each changed key's row moved to a new offset, from
    ``known`` on."""
    same = " AND ".join(f"old.{key} = new.{key}" for key in grouping.keys)
    near = f" AND old._ws BETWEEN {windows[0]} AND {windows[1]}" if windows else ""
    changed = "SELECT * FROM delta"
    if known:
        older = (
            f"SELECT 0 AS _src, old.* EXCLUDE (_off) FROM {table} AS old "
            f"SEMI JOIN delta AS new ON {same}{near}"
        )
        cursor.execute(
            f"{_MADE} merged AS "
            + grouping.merge(f"{older} UNION ALL SELECT 1 AS _src, * FROM delta")
        )
        cursor.execute(f"DELETE FROM {table} AS old USING delta AS new WHERE {same}{near}")
        changed = "SELECT * FROM merged"
    # In order of windows: who reads the changes then sees time go on, not back.
    order = " ORDER BY _ws" if windows else ""
    cursor.execute(
        f"INSERT INTO {table} SELECT *, {known} + row_number() OVER () - 1 "
        f"FROM ({changed}{order})"
    )
