"""Compares two sets of rows of a table. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

TOLERANCE = 1e-9
"""The relative tolerance for sums, because engines add in different orders."""

Row = Mapping[str, Any]
RowKey = tuple[int, tuple[Any, ...]]
"""A row's window start (epoch ms) and its key."""


@dataclass(frozen=True)
class ColumnDifference:
    """A column whose values differ, or a place in a column, such as ``BY_TRANSFERS[2].VALUE``.

    ``absolute`` is the streamed value minus the recomputed one. ``relative`` is ``absolute`` divided by the recomputed
    value.
    Both are None unless the values are numbers.
    """

    column: str
    streamed: Any
    recomputed: Any
    absolute: float | None = None
    relative: float | None = None


@dataclass(frozen=True)
class RowDifference:
    """A row that differs.

    A ``missing`` row is only in the recomputed table, and a ``surplus`` row only in the streamed one.
    """

    window: int
    key: tuple[Any, ...]
    kind: str
    columns: tuple[ColumnDifference, ...] = ()

    @property
    def row_key(self) -> RowKey:
        return self.window, self.key


def by_key(rows: Iterator[Row], keys: Sequence[str]) -> dict[RowKey, Row]:
    """Rows by window start and key."""
    return {(row["WINDOWSTART"], tuple(row[name] for name in keys)): row for row in rows}


def differences(
    streamed: Mapping[RowKey, Row], recomputed: Mapping[RowKey, Row], columns: Sequence[str]
) -> list[RowDifference]:
    """The rows that differ in some columns, in order of window and key."""
    rows = []
    for key in streamed.keys() | recomputed.keys():
        if key not in streamed:
            rows.append(RowDifference(*key, "missing"))
        elif key not in recomputed:
            rows.append(RowDifference(*key, "surplus"))
        elif unlike := tuple(_of_row(streamed[key], recomputed[key], columns)):
            rows.append(RowDifference(*key, "differs", unlike))
    return sorted(rows, key=lambda row: (row.window, [str(part) for part in row.key]))


def _of_row(streamed: Row, recomputed: Row, columns: Sequence[str]) -> Iterator[ColumnDifference]:
    for column in columns:
        yield from _of_value(column, streamed.get(column), recomputed.get(column))


def _of_value(place: str, streamed: Any, recomputed: Any) -> Iterator[ColumnDifference]:
    if isinstance(streamed, list) and isinstance(recomputed, list):
        for index in range(max(len(streamed), len(recomputed))):
            one, other = (items[index] if index < len(items) else None for items in (streamed, recomputed))
            yield from _of_value(f"{place}[{index}]", one, other)
    elif isinstance(streamed, Mapping) and isinstance(recomputed, Mapping):
        for name in dict.fromkeys((*recomputed, *streamed)):
            yield from _of_value(f"{place}.{name}", streamed.get(name), recomputed.get(name))
    elif isinstance(streamed, str) and isinstance(recomputed, str):
        # A text may be JSON that contains sums, such as the details of top lists.
        if streamed != recomputed:
            one, other = _object(streamed), _object(recomputed)
            if one is None or other is None:
                yield ColumnDifference(place, streamed, recomputed)
            else:
                yield from _of_value(place, one, other)
    elif _is_number(streamed) and _is_number(recomputed):
        yield from _of_numbers(place, streamed, recomputed)
    elif streamed != recomputed:
        yield ColumnDifference(place, streamed, recomputed)


def _of_numbers(place: str, streamed: Any, recomputed: Any) -> Iterator[ColumnDifference]:
    if streamed == recomputed or (streamed != streamed and recomputed != recomputed):
        return
    one, other = float(streamed), float(recomputed)
    apart = one - other
    exact = isinstance(streamed, int) and isinstance(recomputed, int)
    if exact or not abs(apart) <= TOLERANCE * max(abs(one), abs(other)):
        yield ColumnDifference(place, streamed, recomputed, apart, apart / other if other else None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _object(text: str) -> Any:
    try:
        return json.loads(text) if text.startswith("{") else None
    except ValueError:
        return None
