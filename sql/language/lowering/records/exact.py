"""ksqlDB's JSON deserializer for one record at a time. It is slow, but correct for every record.

DuckDB reads most records itself (:mod:`.rows`). This module rewrites the records that DuckDB may read differently
from ksqlDB. They have names in another case, values of a wrong type, numbers that wrap around, or invalid JSON. The
rules are those of Jackson and of KsqlJsonDeserializer in 7.9.1. tests/embedded/records.yml has the results of
a real server.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any

from opensea_metrics.core.types import ArrayType, DecimalType, KsqlType, MapType, StructType

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

_MOST_EXPONENT = (1 << 31) - 1
_SPACE = " \t\n\r"
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


class Number(str):
    """A number as the JSON text writes it."""


def exact(line: str, spec: str) -> str:
    """A JSON object with the values that ksqlDB reads from a record, for DuckDB to read by their types.

    If ksqlDB cannot read the record, the result is ``!`` and the reason. ``spec`` (:func:`spec_of`) has the columns
    and the names that DuckDB looks for.
    """
    try:
        value = parsed(line)
    except (ValueError, RecursionError):
        return "!not JSON"
    if not isinstance(value, dict):
        return "!not a JSON object"
    try:
        written = _record(spec)(value)
    except Wrong as wrong:
        return f"!{wrong.path.removeprefix('->')} is not a valid {wrong.kind}"
    return json.dumps(written, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace").decode()


def spec_of(kind: StructType, keys: Mapping[str, str]) -> str:
    """The columns for :func:`exact`, as text. ``keys`` are their names in JSON."""

    def spec(kind: KsqlType) -> Any:
        match kind:
            case DecimalType():
                return [kind.name, kind.precision, kind.scale]
            case ArrayType():
                return [kind.name, spec(kind.element)]
            case MapType():
                return [kind.name, spec(kind.value)]
            case StructType():
                return [kind.name, *([name, keys[name], spec(inner)] for name, inner in kind.fields)]
        return [kind.name]

    return json.dumps(spec(kind))


def parsed(line: str) -> Any:
    """A text's first JSON value. Text after the value is ignored. Raises ValueError."""
    text = line.removeprefix("\ufeff").lstrip(_SPACE)
    value, end = _DECODER.raw_decode(text)
    if not isinstance(value, dict | list) and end < len(text) and text[end] not in _SPACE:
        raise ValueError
    return value


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


_DECODER = json.JSONDecoder(parse_float=Number, parse_int=Number, parse_constant=_refuse)


@lru_cache(maxsize=100)
def _record(spec: str) -> Write:
    return _writer(json.loads(spec))


def _writer(spec: list[Any]) -> Write:
    """A function that writes values of a type. It raises Wrong for other values."""
    name, *parts = spec
    match name:
        case "STRUCT":
            return _struct([(field, key, _writer(inner)) for field, key, inner in parts])
        case "ARRAY":
            return _array(_writer(parts[0]))
        case "MAP":
            return _map(_writer(parts[0]))
        case "DECIMAL":
            return _decimal(*parts)
    return _SCALARS[name]


def _at(path: str, write: Write, value: Any) -> Any:
    if value is None:
        return None
    try:
        return write(value)
    except Wrong as wrong:
        raise Wrong(wrong.kind, path + wrong.path) from None


def _struct(fields: list[tuple[str, str, Write]]) -> Write:
    def write(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Wrong("STRUCT")
        upper = {key.upper(): key for key in value}
        written = {}
        for name, key, inner in fields:
            given = name if name in value else upper.get(name)
            if given is not None:
                written[key] = _at(f"->{name}", inner, value[given])
        return written

    return write


def _array(element: Write) -> Write:
    def write(value: Any) -> Any:
        if not isinstance(value, list):
            raise Wrong("ARRAY")
        return [_at(f"[{at}]", element, member) for at, member in enumerate(value, 1)]

    return write


def _map(element: Write) -> Write:
    def write(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Wrong("MAP")
        return {key: _at(f"['{key}']", element, member) for key, member in value.items()}

    return write


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
        return _finite(float(value) + 0.0)  # Jackson has no negative zero
    if isinstance(value, str):
        text = value.strip(_BLANKS)
        number = text[:-1] if text.endswith(("f", "F", "d", "D")) else text
        if _HEX.fullmatch(text):
            try:
                return _finite(float.fromhex(number))
            except OverflowError:
                return "-Infinity" if text.startswith("-") else "Infinity"
        if text.isascii() and (_NUMBER.fullmatch(number) or _NO_NUMBER.fullmatch(text)):
            return _finite(float(number))
    raise Wrong("DOUBLE")


def _finite(value: float) -> float | str:
    """A number. If JSON does not have it, the result is text, which DuckDB accepts as a number."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def text_of(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case Number():
            return _number_text(value)
        case str():
            return value
        case list():
            return f"[{', '.join('null' if member is None else text_of(member) for member in value)}]"
    return json_text(value)


def json_text(value: Any) -> str:
    """A value as Jackson writes it, without blanks."""
    match value:
        case None:
            return "null"
        case bool() | Number():
            return text_of(value)
        case str():
            return json.dumps(value, ensure_ascii=False)
        case list():
            return f"[{','.join(map(json_text, value))}]"
    return "{" + ",".join(f"{json.dumps(k, ensure_ascii=False)}:{json_text(v)}" for k, v in value.items()) + "}"


def _number_text(number: Number) -> str:
    """A number as Java's BigDecimal writes it, which has no negative zero. A number is a double if its exponent is too
    large for a BigDecimal."""
    value = Decimal(number)
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    if abs(exponent) > _MOST_EXPONENT:
        return str(_finite(float(number)))
    return str(abs(value) if value == 0 else value)


def _decimal(precision: int, scale: int) -> Write:
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


_SCALARS: dict[str, Write] = {
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
