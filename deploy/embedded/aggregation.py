"""Windowed (and other) grouped state: rows of a source in, newest row of each key kept."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from opensea_metrics.deploy.embedded import feeds
from opensea_metrics.sql.language.lowering.duckdb.selects import Grouping
from opensea_metrics.sql.language.lowering.duckdb.stream_time import stream_time

_MADE = "CREATE OR REPLACE TEMP TABLE"


def create(
    cursor: duckdb.DuckDBPyConnection, grouping: Grouping, table: str, temporary: bool = False
) -> None:
    """Make the state's table, empty: keys, accumulators, ``_ts`` and ``_off``, the offset of a row's
    last change."""
    empty = grouping.partial(feeds.nothing(grouping.analysis.source), None)
    kind = "TEMP TABLE" if temporary else "TABLE"
    cursor.execute(f"CREATE OR REPLACE {kind} {table} AS SELECT *, 0::BIGINT AS _off FROM ({empty})")


def absorb(
    cursor: duckdb.DuckDBPyConnection,
    grouping: Grouping,
    table: str,
    relation: str,
    seen: Mapping[int, int],
) -> tuple[dict[int, int], int]:
    """Take rows of a relation into the state of ``table``.

    ``seen`` are the greatest ROWTIMEs seen before (epoch ms), by partition: see :class:`StreamTime`. Returns
    those seen now, and the number of rows that were left out, because their window had closed: its end and the
    grace period had passed in stream time before they came.
    """
    cursor.execute(f"{_MADE} delta AS {grouping.partial(relation, None)}")
    late = 0
    window = grouping.analysis.window
    bounds = "min(_ws), max(_ws)" if window else "NULL, NULL"
    first, last, newest, known = cursor.execute(
        f"SELECT {bounds}, max(_ts), (SELECT coalesce(max(_off) + 1, 0) FROM {table}) FROM delta"
    ).fetchone()  # type: ignore[misc]
    if newest is None:
        return dict(seen), 0
    time = stream_time(grouping.analysis, seen)
    now = {0: newest}
    if window and time.is_by_partition:
        now = dict(cursor.execute(grouping.newest(relation, time)).fetchall())
    now = {number: max(now.get(number, 0), seen.get(number, 0)) for number in {*now, *seen}}
    if window and first + window.size + window.grace <= max(now.values()):
        late = int(cursor.execute(grouping.count_late(relation, time)).fetchone()[0])  # type: ignore[index]
        if late:
            cursor.execute(f"{_MADE} delta AS {grouping.partial(relation, time)}")
    _merge(cursor, grouping, table, (first, last) if window else None, known)
    return now, late


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
