"""Values of JSON as values of SQL's scalar types, as ksqlDB's deserializer converts them.

The results are JSON that DuckDB reads as ksqlDB's value. The rules are those of Jackson and of KsqlJsonDeserializer in
7.9.1.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

from opensea_metrics.sql.language.lowering.records.json_values import Number, finite, text_of

Write = Callable[[Any], Any]
"""Converts a value from Jackson's form to one whose JSON DuckDB reads as ksqlDB's value."""

DAYS = 2_000_000_000
"""Approximately the largest distance from 1970, in days, of a DATE that DuckDB can hold."""
MILLISECONDS = 9_000_000_000_000_000
"""Approximately the largest distance from 1970, in milliseconds, of a TIMESTAMP that DuckDB can hold."""
DAY = 86_400_000
_CYCLE = 146_097
"""The days in 400 years."""
_TO_1970 = date(1970, 1, 1).toordinal() - 1

_WHOLE = re.compile(r"[+-]?\d+")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_HEX = re.compile(r"[+-]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?\d+[fFdD]?")
_NO_NUMBER = re.compile(r"[+-]?(?:NaN|Infinity)")
_BLANKS = "".join(map(chr, range(33)))
_GROUP = re.compile(r"[A-Za-z0-9+/]{2}(?:[A-Za-z0-9+/]{2}|[A-Za-z0-9+/]=|==)")
_BASE64 = re.compile(rf"[\x00-\x20]*(?:{_GROUP.pattern}[\x00-\x20]*)*")


class Wrong(Exception):
    """A value makes its whole record unreadable. ``path`` is its place, as in SQL, and ``kind`` is its type."""

    def __init__(self, kind: str, path: str = "") -> None:
        super().__init__(kind)
        self.kind, self.path = kind, path


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Wrong("BOOLEAN")
    return value


def _long(value: Any, bits: int, kind: str) -> int:
    """An integer. Numbers lose their fraction and wrap around. Text must be an integer that fits."""
    if isinstance(value, Number):
        whole = _truncated(value)
        return (whole + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)
    if isinstance(value, str) and _WHOLE.fullmatch(value) and len(value) < 1_000:
        whole = int(value)
        if -(1 << bits - 1) <= whole < 1 << bits - 1:
            return whole
    raise Wrong(kind)


def _truncated(number: Number) -> int:
    """A number without its fraction. Its last 64 bits are right."""
    value = Decimal(number)
    exponent = value.as_tuple().exponent
    if value.adjusted() < 0 or not isinstance(exponent, int) or exponent >= 64:
        return 0  # the last 64 bits of a multiple of 10^64 are 0
    return int(value)


def _double(value: Any) -> float | str:
    if isinstance(value, Number):
        return finite(float(value) + 0.0)  # Jackson has no negative zero
    if isinstance(value, str):
        text = value.strip(_BLANKS)
        number = text[:-1] if text.endswith(("f", "F", "d", "D")) else text
        if _HEX.fullmatch(text):
            try:
                return finite(float.fromhex(number))
            except OverflowError:
                return "-Infinity" if text.startswith("-") else "Infinity"
        if text.isascii() and (_NUMBER.fullmatch(number) or _NO_NUMBER.fullmatch(text)):
            return finite(float(number))
    raise Wrong("DOUBLE")


def decimal_writer(precision: int, scale: int) -> Write:
    """A function that writes numbers and text as text. It raises Wrong if digits other than 0 do not fit."""

    def write(value: Any) -> str:
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            number = Decimal(value)
            if number == 0:
                return "0"
            if -scale <= number.adjusted() < precision - scale:
                whole, _, fraction = format(number, "f").partition(".")
                if len(fraction.rstrip("0")) <= scale:
                    return f"{whole}.{fraction.rstrip('0')}" if fraction.rstrip("0") else whole
        raise Wrong(f"DECIMAL({precision}, {scale})")

    return write


def _bytes(value: Any) -> str:
    """Bytes as escapes. Jackson accepts blanks around groups of four letters, and padding in any group."""
    if isinstance(value, str) and not isinstance(value, Number) and _BASE64.fullmatch(value):
        return "".join(f"\\x{byte:02X}" for group in _GROUP.findall(value) for byte in base64.b64decode(group))
    raise Wrong("BYTES")


def _date(value: Any) -> str:
    days = _long(value, 64, "DATE")
    if abs(days) > DAYS:
        raise Wrong("DATE")
    return "".join(_day(days))


def _time(value: Any) -> str:
    milliseconds = _long(value, 64, "TIME")
    if not 0 <= milliseconds < DAY:
        raise Wrong("TIME")
    return _clock(milliseconds)


def _timestamp(value: Any) -> str:
    milliseconds = _long(value, 64, "TIMESTAMP")
    if abs(milliseconds) > MILLISECONDS:
        raise Wrong("TIMESTAMP")
    days, rest = divmod(milliseconds, DAY)
    day, era = _day(days)
    return f"{day}{era} {_clock(rest)}"


def _day(days: int) -> tuple[str, str]:
    """A date and its era as DuckDB writes them. Python's dates only have the years 1 to 9999."""
    cycles, rest = divmod(days + _TO_1970, _CYCLE)
    day = date.fromordinal(rest + 1)
    year = day.year + 400 * cycles
    return f"{year if year > 0 else 1 - year:04}-{day:%m-%d}", "" if year > 0 else " (BC)"


def _clock(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:03}"


SCALARS: dict[str, Write] = {
    "BOOLEAN": _boolean,
    "INTEGER": lambda value: _long(value, 32, "INTEGER"),
    "BIGINT": lambda value: _long(value, 64, "BIGINT"),
    "DOUBLE": _double,
    "STRING": text_of,
    "BYTES": _bytes,
    "DATE": _date,
    "TIME": _time,
    "TIMESTAMP": _timestamp,
}
"""The conversions by the names of types, except DECIMAL, which has a precision and a scale."""
