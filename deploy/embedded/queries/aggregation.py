"""The state of aggregations, windowed or not: takes rows of a source and keeps the newest row of each key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import duckdb

from opensea_metrics.deploy.embedded.queries import (
    changed_rows,
    final_results,
    replaced_rows,
    sessions,
)
from opensea_metrics.deploy.embedded.topics import feeds
from opensea_metrics.sql.language.lowering.duckdb.groupings import Grouping
from opensea_metrics.sql.language.lowering.duckdb.stream_time import StreamTime, stream_time

_MADE = "CREATE OR REPLACE TEMP TABLE"


def create(
    cursor: duckdb.DuckDBPyConnection,
    grouping: Grouping,
    table: str,
    temporary: bool = False,
    relation: str | None = None,
) -> None:
    """Create the empty table of the state. ``relation`` has the columns of the rows, by default those of the source.

    Its columns are the keys, the accumulators, ``_ts``, and ``_off``, the offset of a row's last change. With EMIT
    FINAL, ``_off`` is NULL until the row is final, and ``_partition`` is the partition of the row's stream time. A
    state in parts also has ``_part``: see :mod:`deploy.embedded.topics.state_rows`.
    """
    rows = relation or feeds.nothing(grouping.analysis.source)
    grouping, rows = _tracked(grouping, rows, stream_time(grouping.analysis, {}))
    empty = grouping.partial(rows, None)
    if grouping.is_in_parts:
        empty = f"SELECT *, false AS _part FROM ({empty})"
    kind = "TEMP TABLE" if temporary else "TABLE"
    cursor.execute(f"CREATE OR REPLACE {kind} {table} AS SELECT *, 0::BIGINT AS _off FROM ({empty}) LIMIT 0")


def absorb(
    cursor: duckdb.DuckDBPyConnection,
    grouping: Grouping,
    table: str,
    relation: str,
    seen: Mapping[int, int],
    replaced: str | None = None,
) -> tuple[dict[int, int], int]:
    """Merge the rows of a relation into the state in ``table``.

    ``seen`` holds the greatest ROWTIME so far (epoch ms) of each partition: see :class:`StreamTime`. Returns the
    new greatest ROWTIMEs, and the number of late rows, which are left out. A row is late if its window had closed
    before it arrived: in stream time, the window's end and the grace period had passed.

    The table ``replaced``, if there is one, gets the rows of sessions that leave the state.
    """
    window, time, delta = grouping.analysis.window, stream_time(grouping.analysis, seen), "delta"
    grouping, relation = _tracked(grouping, relation, time)
    cursor.execute(f"{_MADE} {delta} AS {grouping.partial(relation, None)}")
    bounds = "min(_ws), max(_ws)" if window else "NULL, NULL"
    newest_window = f"(SELECT max(_ws) FROM {table})" if window else f"(SELECT 0 FROM {table} LIMIT 1)"
    first, last, newest, known, newest_window = cursor.execute(
        f"SELECT {bounds}, max(_ts), (SELECT coalesce(max(_off) + 1, 0) FROM {table}), {newest_window} FROM {delta}"
    ).fetchone()  # type: ignore[misc]
    if newest is None:
        return dict(seen), 0
    now = newest_times(cursor, grouping, relation, time, newest)
    late, changed = 0, "changed"
    if window and window.is_session:
        if replaced:
            replaced_rows.note(cursor, grouping, table, delta)
        late = sessions.merge(cursor, grouping, table, relation, time, max(now.values()))
        if replaced:
            replaced_rows.keep(cursor, table, replaced)
    else:
        late = late_rows(cursor, grouping, relation, time, first, max(now.values()))
        if late:
            delta = "delta_in_time"
            cursor.execute(f"{_MADE} {delta} AS {grouping.partial(relation, time)}")
        same = " AND ".join(f"old.{key} = new.{key}" for key in grouping.keys)
        near = f" AND old._ws BETWEEN {first} AND {last}" if window else ""
        if newest_window is None or (window and newest_window < first):
            changed = delta  # the state has no rows of these windows
        else:
            split = newest_window if window and newest_window < last else None
            changed_rows.take_out(cursor, grouping, table, f"{same}{near}", delta, split)
    # Ordered by window, so that readers of the changes see time go forward only.
    order = " ORDER BY _ws" if window else ""
    rows = f"SELECT * FROM {changed}{order}"
    is_final = grouping.analysis.emit == "FINAL"
    number = "NULL" if is_final else f"{known} + row_number() OVER () - 1"
    cursor.execute(f"INSERT INTO {table} BY NAME SELECT *, {number} AS _off FROM ({rows})")
    if is_final:
        final_results.emit(cursor, grouping, table, relation, time, max(now.values()))
    return now, late


def late_rows(
    cursor: duckdb.DuckDBPyConnection, grouping: Grouping, relation: str, time: StreamTime, first: int, now: int
) -> int:
    """How many rows of a relation are late. ``first`` is the start of its first window, ``now`` the stream time after
    it (both epoch ms)."""
    window = grouping.analysis.window
    if window is None or first + window.size + window.grace > now:
        return 0  # no window has closed
    return int(cursor.execute(grouping.count_late(relation, time)).fetchone()[0])  # type: ignore[index]


def newest_times(
    cursor: duckdb.DuckDBPyConnection, grouping: Grouping, relation: str, time: StreamTime, newest: int
) -> dict[int, int]:
    """The greatest ROWTIME (epoch ms) of each partition after the rows of a relation. ``newest`` is their greatest."""
    now = {0: newest}
    if grouping.analysis.window and time.is_by_partition:
        now = dict(cursor.execute(grouping.newest(relation, time)).fetchall())
    seen = time.seen
    return {number: max(now.get(number, 0), seen.get(number, 0)) for number in {*now, *seen}}


def _tracked(grouping: Grouping, relation: str, time: StreamTime) -> tuple[Grouping, str]:
    """The grouping and its relation with the partition of each row's stream time, if results are to be final."""
    if grouping.analysis.emit != "FINAL":
        return grouping, relation
    partition = final_results.PARTITION
    return replace(grouping, carried=(partition,)), f"SELECT *, {time.partition} AS {partition} FROM ({relation})"
