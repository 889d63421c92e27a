"""Families: aggregations that differ only in their windows and sources are merged into their states together.

One statement computes the rows of state of all members, and one merges them with older rows and writes them into all
states. DuckDB needs longer to plan these statements than to run them on a second's records, so this takes a fraction
of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import duckdb

from opensea_metrics.deploy.embedded.queries import state_parts
from opensea_metrics.deploy.embedded.queries.aggregation import late_rows, newest_times
from opensea_metrics.deploy.embedded.queries.members import MEMBER, Member, rows_of_state
from opensea_metrics.deploy.embedded.topics.log_tables import state_table
from opensea_metrics.deploy.embedded.topics.positions import (
    KnownPositions,
    PartSpan,
    StateEnd,
    stream_times,
)
from opensea_metrics.sql.language.lowering.duckdb.groupings import Grouping
from opensea_metrics.sql.language.lowering.duckdb.stream_time import stream_time

_DELTA = "family_delta"
_FEW = 10_000
"""Rows of state that can stay in memory until the next family's."""


def absorb(
    cursor: duckdb.DuckDBPyConnection, family: Sequence[Member], places: KnownPositions
) -> list[tuple[dict[int, int], int]]:
    """Merge rows into the states of a family's members. Returns the result of :func:`aggregation.absorb` for each.

    The temporary table has one more group key than the members: the number of the member.
    """
    alike = family[0].grouping
    keyed = replace(alike, key_sql=(*alike.key_sql, MEMBER))
    column = keyed.group[-1]
    cursor.execute(f"CREATE OR REPLACE TEMP TABLE {_DELTA} AS {rows_of_state(keyed, family)}")
    bounds = cursor.execute(
        f"SELECT {column}, min(_ws), max(_ws), max(_ts), count(*) FROM {_DELTA} GROUP BY {column}"
    ).fetchall()
    results = [(stream_times(member.known), 0) for member in family]
    changes = []
    for number, first, last, newest, count in sorted(bounds):
        member, (seen, _) = family[number], results[number]
        time = stream_time(member.query.analysis, seen)
        now = newest_times(cursor, member.grouping, member.relation, time, newest)
        late = late_rows(cursor, member.grouping, member.relation, time, first, max(now.values()))
        if late:
            in_time = member.grouping.partial(member.relation, time)
            cursor.execute(f"DELETE FROM {_DELTA} WHERE {column} = {number}")
            (count,) = cursor.execute(
                f"INSERT INTO {_DELTA} BY NAME SELECT *, {number} AS {column} FROM ({in_time})"
            ).fetchone()  # type: ignore[misc]
        results[number] = now, late
        end = places.end_of_state(cursor, member.query.id)
        if alike.is_in_parts:
            state_parts.note(places, member.query.id, PartSpan(end.number, first, last))
        changes.append(_Change(member.query.id, number, first, last, int(count), end))
    if changes:
        cursor.execute(_parts_added(column, changes) if alike.is_in_parts else _merged(keyed, changes))
    for change in changes:
        places.reached_in_state(change.query_id, change.end_after)
    if sum(change.count for change in changes) > _FEW:
        cursor.execute(f"DROP TABLE {_DELTA}")  # the next family needs the memory
    return results


@dataclass(frozen=True)
class _Change:
    """The ``count`` rows of ``_DELTA`` of the member ``number``. Their windows start in [first, last] (epoch ms).

    ``end`` is the end of the query's state before.
    """

    query_id: str
    number: int
    first: int
    last: int
    count: int
    end: StateEnd

    @property
    def table(self) -> str:
        return state_table(self.query_id)

    @property
    def has_older(self) -> bool:
        """Whether the state may have rows of these windows."""
        return self.end.window is not None and self.first <= self.end.window

    @property
    def has_newer(self) -> bool:
        """Whether some windows are newer than all windows of the state."""
        return self.end.window is None or self.last > self.end.window

    @property
    def end_after(self) -> StateEnd:
        """The end of the state with these rows. Each of them becomes one row."""
        return StateEnd(self.end.number + self.count, max(self.last, self.end.window or self.last))

    def older(self) -> str:
        """The rows of the state that may have to be merged, as FROM and WHERE."""
        return f"FROM {self.table} WHERE _ws BETWEEN {self.first} AND {self.last}"

    def insertion(self, column: str, rows: str) -> str:
        """Inserts rows into the state. They are numbered by window, so readers of changes see time go forward."""
        order = " ORDER BY _ws" if self.first < self.last else ""
        return (
            f"INSERT INTO {self.table} BY NAME SELECT * EXCLUDE ({column}),"
            f" {self.end.number} + row_number() OVER () - 1 AS _off FROM ({rows}{order})"
        )


def _parts_added(column: str, changes: Sequence[_Change]) -> str:
    """A statement that adds the rows of ``_DELTA`` to states in parts."""
    insertions = []
    for change in changes:
        part = f"_ws <= {change.end.window}" if change.has_older else "false"
        rows = f"SELECT *, {part} AS _part FROM {_DELTA} WHERE {column} = {change.number}"
        insertions.append(change.insertion(column, rows))
    return _together(insertions)


def _merged(keyed: Grouping, changes: Sequence[_Change]) -> str:
    """A statement that merges the rows of ``_DELTA`` into states.

    DuckDB promises no order of its parts. So the deletions read the merged rows: these exist only after all older rows
    were read. ``_row`` is the older row's place in its table.
    """
    column = keyed.group[-1]
    older = [change for change in changes if change.has_older]
    deletions, insertions = [], []
    for change in changes:
        rows = []
        if change.has_older:
            own = f"FROM changed WHERE {column} = {change.number}"
            rows.append(f"SELECT * EXCLUDE (_row) {own}")
            deletions.append(f"DELETE {change.older()} AND rowid IN (SELECT _row {own})")
        if change.has_newer:
            after = f" AND _ws > {change.end.window}" if change.has_older else ""
            rows.append(f"SELECT * FROM {_DELTA} WHERE {column} = {change.number}{after}")
        insertions.append(change.insertion(column, " UNION ALL BY NAME ".join(rows)))
    if not older:
        return _together(insertions)
    known = " UNION ALL BY NAME ".join(
        f"SELECT * EXCLUDE (_off), {change.number} AS {column}, rowid AS _row {change.older()}" for change in older
    )
    before = f"SELECT 0 AS _src, * FROM ({known}) SEMI JOIN {_DELTA} USING ({', '.join(keyed.keys)})"
    all_of_them = len(older) == len(changes) and not any(change.has_newer for change in older)
    parts = " OR ".join(f"({column} = {change.number} AND _ws <= {change.end.window})" for change in older)
    now = f"SELECT 1 AS _src, *, NULL::BIGINT AS _row FROM {_DELTA} WHERE {'true' if all_of_them else parts}"
    changed = replace(keyed, carried=("_row",)).merge(f"{before} UNION ALL BY NAME {now}")
    return _together([*deletions, *insertions], f"changed AS MATERIALIZED ({changed})")


def _together(writes: Sequence[str], *relations: str) -> str:
    """One statement that carries out several. They can read the ``relations``, which are definitions for WITH.

    DuckDB plans and starts one large statement faster than several small ones.
    """
    named = [f"write_{number} AS ({write})" for number, write in enumerate(writes)]
    return f"WITH {', '.join([*relations, *named])} SELECT 1"
