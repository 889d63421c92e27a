"""The state of aggregations, windowed or not: takes rows of a source and keeps the newest row of each key."""

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
    """Create the empty table of the state.

    Its columns are the keys, the accumulators, ``_ts``, and ``_off``, the offset of a row's last change.
    """
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
    """Merge the rows of a relation into the state in ``table``.

    ``seen`` holds the greatest ROWTIME so far (epoch ms) of each partition: see :class:`StreamTime`. Returns the
    new greatest ROWTIMEs, and the number of late rows, which are left out. A row is late if its window had closed
    before it arrived: in stream time, the window's end and the grace period had passed.
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
    """Merge the rows of ``delta`` into the state. The row of each changed key gets a new offset, from ``known`` on."""
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
    # Ordered by window, so that readers of the changes see time go forward only.
    order = " ORDER BY _ws" if windows else ""
    cursor.execute(
        f"INSERT INTO {table} SELECT *, {known} + row_number() OVER () - 1 "
        f"FROM ({changed}{order})"
    )
