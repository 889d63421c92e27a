"""Families: aggregations that differ only in their windows and sources are merged into their states together.

One statement computes the rows of state of all members, and one merges them with older rows. DuckDB needs longer to
plan these statements than to run them on a second's records, so this takes a fraction of the time.

The rows of state of a small window are slices of every larger window whose bounds are among its own. So one pass over
the records gives the smallest window's rows, and the larger windows are merged from these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import duckdb

from opensea_metrics.deploy.embedded.queries import state_parts
from opensea_metrics.deploy.embedded.queries.aggregation import late_rows, newest_times
from opensea_metrics.deploy.embedded.topics import feeds
from opensea_metrics.deploy.embedded.topics.feeds import ChangesRead
from opensea_metrics.deploy.embedded.topics.log_tables import state_table
from opensea_metrics.deploy.embedded.topics.positions import (
    KnownPositions,
    PartSpan,
    StateEnd,
    stream_times,
)
from opensea_metrics.deploy.embedded.topics.record_topic import Positions
from opensea_metrics.sql.language.catalog.catalog import Query
from opensea_metrics.sql.language.catalog.sources import Window
from opensea_metrics.sql.language.lowering.duckdb import selects
from opensea_metrics.sql.language.lowering.duckdb.selects import Grouping
from opensea_metrics.sql.language.lowering.duckdb.stream_time import stream_time

_DELTA, _CHANGED = "family_delta", "family_changed"
_MEMBER = "_member"


@dataclass(frozen=True)
class Member:
    """An aggregation that takes the rows of ``relation``. ``known`` are its counters before.

    ``changes`` describes the rows if they are changes of a table.
    """

    query: Query
    relation: str
    known: Positions
    changes: ChangesRead | None = None

    @property
    def grouping(self) -> Grouping:
        return selects.grouping(self.query.analysis)

    @property
    def window(self) -> Window:
        window = self.query.analysis.window
        assert window is not None
        return window


def can_be_member(query: Query) -> bool:
    """True for tumbling and hopping windows whose rows change until they close."""
    window = query.analysis.window
    return window is not None and not window.is_session and query.analysis.emit != "FINAL"


def families(members: Iterable[Member]) -> Iterator[list[Member]]:
    """The families of members, each sorted by the size of its windows."""
    alike: dict[object, list[Member]] = {}
    for member in members:
        grouping, source = member.grouping, member.query.analysis.source
        key = grouping.key_sql, grouping.where_sql, grouping.accumulators, source.columns, source.window is None
        alike.setdefault(key, []).append(member)
    for family in alike.values():
        yield sorted(family, key=lambda member: member.window.size)


def absorb(
    cursor: duckdb.DuckDBPyConnection, family: Sequence[Member], places: KnownPositions
) -> list[tuple[dict[int, int], int]]:
    """Merge rows into the states of a family's members. Returns the result of :func:`aggregation.absorb` for each.

    The temporary tables have one more group key than the members: the number of the member.
    """
    alike = family[0].grouping
    keyed = replace(alike, key_sql=(*alike.key_sql, _MEMBER))
    column = keyed.group[-1]
    cursor.execute(f"CREATE OR REPLACE TEMP TABLE {_DELTA} AS {_delta(keyed, family)}")
    bounds = cursor.execute(
        f"SELECT {column}, min(_ws), max(_ws), max(_ts) FROM {_DELTA} GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    results = [(stream_times(member.known), 0) for member in family]
    changes = []
    for number, first, last, newest in bounds:
        member, (seen, _) = family[number], results[number]
        time = stream_time(member.query.analysis, seen)
        now = newest_times(cursor, member.grouping, member.relation, time, newest)
        late = late_rows(cursor, member.grouping, member.relation, time, first, max(now.values()))
        if late:
            in_time = member.grouping.partial(member.relation, time)
            cursor.execute(f"DELETE FROM {_DELTA} WHERE {column} = {number}")
            cursor.execute(f"INSERT INTO {_DELTA} BY NAME SELECT *, {number} AS {column} FROM ({in_time})")
        results[number] = now, late
        end = places.end_of_state(cursor, member.query.id)
        if alike.is_in_parts:
            state_parts.note(places, member.query.id, PartSpan(end.number, first, last))
        changes.append(_Change(member.query.id, number, first, last, end, alike.is_in_parts))
    if not alike.is_in_parts:
        _merge(cursor, keyed, changes)
    for change in changes:
        places.reached_in_state(change.query_id, change.insert(cursor, column))
    for table in (_DELTA, _CHANGED):
        cursor.execute(f"DROP TABLE IF EXISTS {table}")  # the next family needs the memory
    return results


@dataclass(frozen=True)
class _Change:
    """The rows of ``_DELTA`` in which ``_member`` is ``number``. Their windows start in [first, last] (epoch ms).

    ``end`` is the end of the query's state before. With ``is_part`` the rows are added as a part.
    """

    query_id: str
    number: int
    first: int
    last: int
    end: StateEnd
    is_part: bool = False

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

    def insert(self, cursor: duckdb.DuckDBPyConnection, column: str) -> StateEnd:
        """Insert the rows into the state. They are numbered by window, so readers of changes see time go forward."""
        if self.is_part:
            part = f"_ws <= {self.end.window}" if self.has_older else "false"
            rows = [f"SELECT *, {part} AS _part FROM {_DELTA} WHERE {column} = {self.number}"]
        else:
            rows = [f"SELECT * FROM {_CHANGED} WHERE {column} = {self.number}"] if self.has_older else []
            if self.has_newer:
                after = f" AND _ws > {self.end.window}" if self.has_older else ""
                rows.append(f"SELECT * FROM {_DELTA} WHERE {column} = {self.number}{after}")
        order = " ORDER BY _ws" if self.first < self.last else ""
        (inserted,) = cursor.execute(
            f"INSERT INTO {self.table} BY NAME SELECT * EXCLUDE ({column}),"
            f" {self.end.number} + row_number() OVER () - 1 AS _off FROM ({' UNION ALL BY NAME '.join(rows)}{order})"
        ).fetchone()  # type: ignore[misc]
        window = max(self.last, self.end.window or self.last)
        return StateEnd(self.end.number + int(inserted), window)


def _merge(cursor: duckdb.DuckDBPyConnection, keyed: Grouping, changes: Sequence[_Change]) -> None:
    """Take the rows that change out of the states, and write them, merged, into ``_CHANGED``."""
    column = keyed.group[-1]
    older = [change for change in changes if change.has_older]
    if not older:
        return
    keys = [key for key in keyed.keys if key != column]
    same = {
        change: " AND ".join(
            [
                f"new.{column} = {change.number}",
                f"old._ws BETWEEN {change.first} AND {change.last}",
                *(f"old.{key} = new.{key}" for key in keys),
            ]
        )
        for change in older
    }
    known = " UNION ALL BY NAME ".join(
        f"SELECT * EXCLUDE (_off), {change.number} AS {column} FROM {change.table}"
        f" WHERE _ws BETWEEN {change.first} AND {change.last}"
        for change in older
    )
    rows = [f"SELECT 0 AS _src, * FROM ({known}) SEMI JOIN {_DELTA} USING ({', '.join(keyed.keys)})"]
    all_of_them = len(older) == len(changes) and not any(change.has_newer for change in older)
    parts = " OR ".join(f"({column} = {change.number} AND _ws <= {change.end.window})" for change in older)
    rows.append(f"SELECT 1 AS _src, * FROM {_DELTA} WHERE {'true' if all_of_them else parts}")
    merged = keyed.merge(" UNION ALL BY NAME ".join(rows))
    cursor.execute(f"CREATE OR REPLACE TEMP TABLE {_CHANGED} AS {merged}")
    for change, condition in same.items():
        cursor.execute(f"DELETE FROM {change.table} AS old USING {_DELTA} AS new WHERE {condition}")


def sliced(family: Sequence[Member]) -> dict[int, int]:
    """The numbers of the members that are merged from another member's slices, with the number of that member.

    The others are computed from their records.
    """
    result: dict[int, int] = {}
    for number, member in enumerate(family):
        if member.grouping.is_ordered:
            continue
        smaller = [other for other in range(number) if other not in result and _is_cut_by(member, family[other])]
        if smaller:
            result[number] = smaller[-1]
    return result


def _delta(keyed: Grouping, family: Sequence[Member]) -> str:
    """The rows of state of all members."""
    from_slices = sliced(family)
    from_records = {number: member for number, member in enumerate(family) if number not in from_slices}
    computed = keyed.of_windowed(_windowed(from_records))
    if not from_slices:
        return computed
    merged = keyed.merge(_slices(keyed, {number: family[number] for number in from_slices}, from_slices))
    return f"WITH slices AS MATERIALIZED ({computed}) SELECT * FROM slices UNION ALL BY NAME ({merged})"


def _windowed(members: Mapping[int, Member]) -> str:
    """The rows of members, with the start of their window and the member's number."""
    forms = {member.changes.form if member.changes else None for member in members.values()}
    if None not in forms and len(forms) == 1 and all(map(_is_simple, members.values())):
        reads = [
            (member.changes, {_MEMBER: number, "_size": member.window.size})
            for number, member in members.items()
            if member.changes
        ]
        return selects.tumbled(feeds.all_changes(reads))
    return " UNION ALL BY NAME ".join(
        f"SELECT *, {number} AS {_MEMBER} FROM ({selects.windowed(member.relation, member.window)})"
        for number, member in members.items()
    )


def _slices(keyed: Grouping, members: Mapping[int, Member], from_slices: Mapping[int, int]) -> str:
    """The slices of members' windows, as their rows. ``from_slices`` has the number of the member with the slices."""
    column = keyed.group[-1]
    if all(map(_is_simple, members.values())):
        sizes = ", ".join(f"({number}, {from_slices[number]}, {m.window.size})" for number, m in members.items())
        kept = ", ".join(
            [*keyed.group[:-1], *(f"_a{number}" for number in range(len(keyed.accumulators))), "_ts"]
        )
        return (
            f"SELECT {kept}, _number AS {column}, _ws - _ws % _size AS _ws"
            f" FROM slices JOIN (VALUES {sizes}) AS larger(_number, _cut, _size) ON {column} = _cut"
        )
    rows = {
        number: selects.slices(f"SELECT * FROM slices WHERE {column} = {from_slices[number]}", member.window)
        for number, member in members.items()
    }
    return " UNION ALL BY NAME ".join(
        f"SELECT * REPLACE ({number} AS {column}) FROM ({of_member})" for number, of_member in rows.items()
    )


def _is_simple(member: Member) -> bool:
    """True for tumbling windows that start at the epoch."""
    return member.window.advance == member.window.size and not member.window.origin


def _is_cut_by(member: Member, other: Member) -> bool:
    """True if the bounds of all windows are bounds of another member's smaller, tumbling windows."""
    window, smaller = member.window, other.window
    return (
        member.relation == other.relation
        and smaller.advance == smaller.size
        and smaller.origin == window.origin
        and window.size % smaller.size == 0
        and window.advance % smaller.size == 0
    )
