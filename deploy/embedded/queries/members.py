"""Members of families: aggregations that differ only in their windows and sources.

The rows of state of a small window are slices of every larger window whose bounds are among its own. So one pass over
the records gives the smallest window's rows, and the larger windows are merged from these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from opensea_metrics.deploy.embedded.topics import table_feeds
from opensea_metrics.deploy.embedded.topics.record_topic import Positions
from opensea_metrics.deploy.embedded.topics.table_feeds import ChangesRead
from opensea_metrics.sql.language.catalog.catalog import Query
from opensea_metrics.sql.language.catalog.sources import Window
from opensea_metrics.sql.language.lowering.duckdb import groupings, selects
from opensea_metrics.sql.language.lowering.duckdb.groupings import Grouping

MEMBER = "_member"
"""A column with the number of a row's member."""


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
        return groupings.grouping(self.query.analysis)

    @property
    def window(self) -> Window:
        window = self.query.analysis.window
        assert window is not None
        return window


def can_be_member(query: Query) -> bool:
    """True for tumbling and hopping windows whose rows change until they close."""
    window = query.analysis.window
    return window is not None and not window.is_session and query.analysis.emit != "FINAL"


def families_of(members: Iterable[Member]) -> Iterator[list[Member]]:
    """The families of members, each sorted by the size of its windows."""
    alike: dict[object, list[Member]] = {}
    for member in members:
        grouping, source = member.grouping, member.query.analysis.source
        key = grouping.key_sql, grouping.where_sql, grouping.accumulators, source.columns, source.window is None
        alike.setdefault(key, []).append(member)
    for family in alike.values():
        yield sorted(family, key=lambda member: member.window.size)


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


def rows_of_state(keyed: Grouping, family: Sequence[Member]) -> str:
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
            (member.changes, {MEMBER: number, "_size": member.window.size})
            for number, member in members.items()
            if member.changes
        ]
        return selects.tumbled(table_feeds.all_changes(reads))
    return " UNION ALL BY NAME ".join(
        f"SELECT *, {number} AS {MEMBER} FROM ({selects.windowed(member.relation, member.window)})"
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
