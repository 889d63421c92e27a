"""Joins, one record at a time: what Kafka Streams does, written down as plainly as possible.

Records are of one partition. Keys are integers, and a value of None is a tombstone, which streams leave out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Record(NamedTuple):
    """A record of the left (0) or the right (1) source."""

    source: int
    key: int | None
    value: int | None
    time: int


class Row(NamedTuple):
    """A result: the key, the two values, and the time."""

    key: int | None
    left: int | None
    right: int | None
    time: int


def in_order(records: Sequence[Record]) -> Iterator[Record]:
    """The order of processing: the source whose next record is the oldest goes first, then the left source."""
    waiting = [[r for r in records if r.source == number] for number in (0, 1)]
    while any(waiting):
        source = min((side for side in (0, 1) if waiting[side]), key=lambda side: (waiting[side][0].time, side))
        yield waiting[source].pop(0)


def stream_table(records: Sequence[Record], is_outer: bool) -> list[Row]:
    """The rows of a stream joined with a table."""
    table: dict[int, int] = {}
    rows = []
    for source, key, value, time in in_order([r for r in records if r.source == 1 or r.value is not None]):
        if source == 1:
            if key is not None:
                table.pop(key, None)
                if value is not None:
                    table[key] = value
        elif value is not None:
            match = None if key is None else table.get(key)
            if match is not None or is_outer:
                rows.append(Row(key, value, match, time))
    return rows


def table_table(records: Sequence[Record], side: str) -> dict[int, Row]:
    """The newest rows of a table joined with a table."""
    tables: tuple[dict[int, tuple[int, int]], dict[int, tuple[int, int]]] = ({}, {})
    rows: dict[int, Row] = {}
    for source, key, value, time in in_order(records):
        if key is None:
            continue
        tables[source].pop(key, None)
        if value is not None:
            tables[source][key] = value, time
        left, right = (table.get(key) for table in tables)
        alive = {
            "INNER": left and right, "LEFT": left, "RIGHT": right, "FULL": left or right,
        }[side]  # fmt: skip
        rows.pop(key, None)
        if alive:
            other = tables[1 - source].get(key)
            when = max(time, other[1]) if other else time
            rows[key] = Row(key, left and left[0], right and right[0], when)
    return rows


class _Kept(NamedTuple):
    number: int
    record: Record


def stream_stream(records: Sequence[Record], side: str, before: int, after: int, grace: int | None) -> list[Row]:
    """The rows of a stream joined with a stream."""
    kept: tuple[list[_Kept], list[_Kept]] = ([], [])
    seen: list[int | None] = [None, None]
    waiting: list[_Kept] = []
    now = 0
    rows: list[Row] = []
    retention = before + after + (max(0, 86_400_000 - 2 * before) if grace is None else grace)
    if side == "RIGHT":  # a LEFT join of the other side
        before, after = after, before
    is_outer = side in ("LEFT", "FULL"), side in ("RIGHT", "FULL")
    ahead = after, before  # how far after a record of this side the other one may be

    def alone(record: Record) -> Row:
        left, right = (record.value, None) if record.source == 0 else (None, record.value)
        return Row(record.key, left, right, record.time)

    for number, record in enumerate(in_order([r for r in records if r.value is not None])):
        source, key, _, time = record
        now = max(now, time)
        if key is None:
            if is_outer[source]:
                rows.append(alone(record))
            continue
        mine = seen[source]
        seen[source] = time if mine is None else max(mine, time)
        if time == now and grace is not None:
            closed = [one for one in waiting if one.record.time + ahead[one.record.source] + grace < now]
            waiting = [one for one in waiting if one not in closed]
            rows += [alone(one.record) for one in sorted(closed, key=lambda one: (one.record.time, one.number))]
        other = seen[1 - source]
        matches = [
            one
            for one in kept[1 - source]
            if one.record.key == key
            and time - ahead[1 - source] <= one.record.time <= time + ahead[source]
            and other is not None
            and one.record.time > other - retention
        ]
        for one in sorted(matches, key=lambda one: (one.record.time, one.number)):
            waiting = [other_one for other_one in waiting if other_one != one]
            pair = (record, one.record) if source == 0 else (one.record, record)
            rows.append(Row(key, pair[0].value, pair[1].value, max(time, one.record.time)))
        if not matches and is_outer[source]:
            if grace is None or time + ahead[source] < now:
                rows.append(alone(record))
            else:
                waiting.append(_Kept(number, record))
        kept[source].append(_Kept(number, record))
    return rows
