"""Compares expected rows with the rows of a stream or table. Pure."""

from __future__ import annotations

import base64
import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from opensea_metrics.core.errors import Place
from opensea_metrics.core.types import ArrayType, DecimalType, KsqlType, MapType, StructType
from opensea_metrics.sql.language.values import timestamps
from opensea_metrics.sql.language.values.topic_json import plain

Row = Mapping[str, Any]
"""A row: values by column, also ROWTIME, WINDOWSTART and WINDOWEND. Values are as :func:`canonical` returns them."""

_TIMES = {"DATE": timestamps.days, "TIME": timestamps.time_of_day, "TIMESTAMP": timestamps.milliseconds}
_SHOWN = 10
"""How many actual rows a difference shows."""


@dataclass(frozen=True)
class ExpectedRow:
    """A row that an assertion expects. ``is_tombstone``: the row with these key columns must have been deleted."""

    columns: tuple[str, ...]
    values: tuple[Any, ...]
    place: Place
    is_tombstone: bool = False

    def fits(self, row: Row) -> bool:
        """Whether a row has the expected values. A tombstone only has key columns, so only these are compared."""
        return not self.wrong(row)

    def wrong(self, row: Row) -> list[str]:
        """The columns in which a row differs."""
        pairs = zip(self.columns, self.values, strict=True)
        return [name for name, value in pairs if not _equal(value, row.get(name))]


@dataclass(frozen=True)
class RowMismatch:
    """Why an assertion fails: a sentence, and the expected and actual rows to compare."""

    message: str
    expected: ExpectedRow
    rows: tuple[Row, ...] = ()
    hint: str | None = None


@dataclass(frozen=True)
class TableState:
    """A table: its current rows, and the changes that nobody has asserted yet.

    ``keys`` are the columns that identify a row. A change is the new row of a key. ``earlier`` are all rows
    that the table ever had. ``earlier`` and ``changes`` are None if only the current rows are known.
    """

    keys: tuple[str, ...]
    rows: Sequence[Row]
    changes: Sequence[Row] | None = None
    earlier: Sequence[Row] | None = None

    def key_of(self, row: Row) -> tuple[str, ...]:
        return tuple(repr(row.get(name)) for name in self.keys)


def canonical(kind: KsqlType, value: Any) -> Any:
    """A value of a server's reply, or of a topic, in the form for comparisons.

    Dates and times become numbers, as in topics. BYTES become base64. DECIMALs become exact, except floats. A TIME is
    cut to seconds, as in replies (observed on 7.9.1). A value that does not have the type stays unchanged.
    """
    if value is None:
        return None
    match kind:
        case ArrayType() if isinstance(value, list):
            return [canonical(kind.element, item) for item in value]
        case MapType() if isinstance(value, dict):
            return {key: canonical(kind.value, item) for key, item in value.items()}
        case StructType() if isinstance(value, dict):
            given = {name.upper(): item for name, item in value.items()}
            return {
                name: canonical(inner, value.get(name, given.get(name.upper()))) for name, inner in kind.fields
            }
        case DecimalType() if not isinstance(value, float):
            try:
                return Decimal(str(value))
            except InvalidOperation:
                return value
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    if kind.name in _TIMES:
        if isinstance(value, datetime.date | datetime.time):
            value = plain(value)
        number = _TIMES[kind.name](value) if isinstance(value, str) else value
        return number // 1000 * 1000 if kind.name == "TIME" and number is not None else number
    if kind.name == "DOUBLE" and isinstance(value, int | str | Decimal) and not isinstance(value, bool):
        return float(value)
    return value


def row_of(kinds: Mapping[str, KsqlType], row: Row) -> Row:
    """A row with canonical values. ``kinds`` are the types of the source's columns."""
    return {name: canonical(kinds[name], value) if name in kinds else value for name, value in row.items()}


def stream_difference(
    expected: Sequence[ExpectedRow], rows: Sequence[Row], is_ordered: bool
) -> RowMismatch | None:
    """The difference between the rows that assertions expect next in a stream and the stream's next rows.

    With ``is_ordered`` the rows must be in this order. Rows after the expected ones do not matter.
    """
    left = list(rows)
    for wanted in expected:
        among = left[:1] if is_ordered else left
        match = next((row for row in among if _fits_record(wanted, row)), None)
        if match is None:
            if not left:
                return RowMismatch("there is no further row", wanted)
            message = "the next row is another" if is_ordered else "no further row has these values"
            return RowMismatch(message, wanted, _nearest(wanted, among))
        left.remove(match)
    return None


def table_difference(expected: Sequence[ExpectedRow], table: TableState) -> RowMismatch | None:
    """The difference between a table and consecutive assertions about it.

    For each key, the expected rows must be some of its changes, in this order. The last one must be the current row.
    """
    matched: dict[tuple[str, ...], tuple[ExpectedRow, int]] = {}
    for number, wanted in enumerate(expected):
        if wanted.is_tombstone:
            if difference := _tombstone_difference(wanted, table):
                return difference
            continue
        at = _change(wanted, table, matched)
        row = None if at is None else (table.changes or ())[at]
        row = row or next((row for row in table.rows if wanted.fits(row)), None)
        if row is None and table.changes is None and _is_superseded(wanted, expected[number + 1 :], table):
            continue
        if row is None:
            message = "no row has these values" if table.rows else "the table has no rows"
            return RowMismatch(message, wanted, _nearest(wanted, table.rows))
        matched[table.key_of(row)] = wanted, -1 if at is None else at
    current = {table.key_of(row): row for row in table.rows}
    for key, (wanted, _) in matched.items():
        row = current.get(key)
        if row is not None and not wanted.fits(row):
            return RowMismatch(
                "the row had these values, and has changed since",
                wanted,
                (row,),
                "assert the last values of a row after its earlier ones",
            )
    return None


def _fits_record(wanted: ExpectedRow, row: Row) -> bool:
    """Whether a record of a stream is the expected one. Of a record without a value, all columns but the key's are
    NULL."""
    if not wanted.fits(row):
        return False
    others = [value for name, value in row.items() if name not in (*wanted.columns, "ROWTIME")]
    return not wanted.is_tombstone or all(value is None for value in others)


def _change(
    wanted: ExpectedRow, table: TableState, matched: Mapping[tuple[str, ...], tuple[ExpectedRow, int]]
) -> int | None:
    """The first change with the expected values that comes after the change that is matched already."""
    for at, row in enumerate(table.changes or ()):
        _, last = matched.get(table.key_of(row), (wanted, -1))
        if at > last and wanted.fits(row):
            return at
    return None


def _is_superseded(wanted: ExpectedRow, later: Sequence[ExpectedRow], table: TableState) -> bool:
    """Whether a later assertion is about the same row, so that this one is about an earlier state of the row."""
    keys = [name for name in wanted.columns if name in table.keys]
    mine = dict(zip(wanted.columns, wanted.values, strict=True))
    for other in later:
        theirs = dict(zip(other.columns, other.values, strict=True))
        if keys and all(name in theirs and _equal(mine[name], theirs[name]) for name in keys):
            return True
    return False


def _tombstone_difference(wanted: ExpectedRow, table: TableState) -> RowMismatch | None:
    current = [row for row in table.rows if wanted.fits(row)]
    if current:
        return RowMismatch("the row was not deleted", wanted, tuple(current[:_SHOWN]))
    if table.earlier is not None and not any(wanted.fits(row) for row in table.earlier):
        return RowMismatch("there never was a row with this key", wanted, _nearest(wanted, table.rows))
    return None


def _nearest(wanted: ExpectedRow, rows: Sequence[Row]) -> tuple[Row, ...]:
    return tuple(sorted(rows, key=lambda row: len(wanted.wrong(row)))[:_SHOWN])


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, float) or isinstance(right, float):
        # The client reads DECIMALs in a server's reply as floats.
        left, right = (float(side) if isinstance(side, Decimal) else side for side in (left, right))
    if isinstance(left, float) and isinstance(right, float):
        return left == right or (math.isnan(left) and math.isnan(right))
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(left[name], right[name]) for name in left)
    return isinstance(left, bool) is isinstance(right, bool) and bool(left == right)
