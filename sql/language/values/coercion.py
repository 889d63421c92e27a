"""Converts JSON and SQL values to values of ksqlDB's types, by the rules of /inserts-stream and INSERT … VALUES.

The rules were observed on 7.9.1. Text never becomes a number, and a number never becomes text. 1.5 never becomes a
whole number. Any number can become a DECIMAL or DOUBLE. DATE, TIME and TIMESTAMP are text, and BYTES are base64.

Results are values that ksqlDB writes into a JSON record: days since the epoch for a DATE, milliseconds for TIME
and TIMESTAMP, and base64 for BYTES.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any

from opensea_metrics.core.types import DOUBLE, ArrayType, DecimalType, KsqlType, MapType, StructType
from opensea_metrics.sql.language.values import timestamps
from opensea_metrics.sql.language.values.topic_json import finite

Coercer = Callable[[Any], Any]
"""Converts a value to a type. Raises Mismatch."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_DECIMALS = Context(prec=400, rounding=ROUND_HALF_UP)


class Mismatch(Exception):
    """A type does not accept a value. The message is for the client."""


class Names:
    """Names in JSON as ksqlDB reads them: upper-cased, unless they are in backticks or quotes."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def columns(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The values of an object by the names of columns or fields. Raises Mismatch."""
        by_name: dict[str, Any] = {}
        for written, value in row.items():
            name = self._known.get(written)
            if name is None:
                name = self._read(written)
                if len(self._known) < 10_000:
                    self._known[written] = name
            if name in by_name:
                raise Mismatch(f"Found duplicate column / struct field name: {name}")
            by_name[name] = value
        return by_name

    @staticmethod
    def _read(written: str) -> str:
        try:
            return identifier(written)
        except ValueError as error:
            raise Mismatch(
                f"Invalid column / struct field name. Name: {written}. Reason: {error}."
            ) from None


def identifier(written: str) -> str:
    """A name as a client writes it. Raises ValueError for unmatched quotes."""
    quote = written[:1]
    if quote not in ("`", '"'):
        return written.upper()
    if len(written) < 2 or written[-1] != quote:
        raise ValueError("Expected matching quote at end of value")
    inner = written[1:-1]
    if quote in inner.replace(quote * 2, ""):
        raise ValueError(f"Un-escaped quote in middle of value at index {1 + inner.index(quote)}")
    return inner.replace(quote * 2, quote)


def coercer(kind: KsqlType, names: Names) -> Coercer:
    """A converter from JSON values to values of ``kind``. It converts null to NULL."""
    strict = _strict(kind, names)

    def coerce(value: Any) -> Any:
        return None if value is None else strict(value)

    return coerce


def stored(kind: KsqlType, value: Any) -> Any:
    """The JSON value in a topic for a value of INSERT … VALUES.

    ``value`` is the value in SQL. A column of ``kind`` must accept its type. Raises Mismatch for a text or number that
    does not fit.
    """
    if value is None:
        return None
    match kind:
        case DecimalType():
            number = Decimal(value)
            fitted = rounded(number, kind)
            if fitted != number:
                raise _mismatch(value, kind)
            return fitted
        case ArrayType():
            return [stored(kind.element, element) for element in value]
        case MapType():
            return {stored(kind.key, key): stored(kind.value, item) for key, item in value.items()}
        case StructType():
            return {name: stored(field, value.get(name)) for name, field in kind.fields}
        case _ if kind == DOUBLE:
            return finite(float(value))
        case _ if isinstance(value, str):
            return coercer(kind, Names())(value)
    return value


def rounded(value: Any, kind: DecimalType) -> Decimal:
    """A number, or the text of a number, as a DECIMAL. Raises Mismatch if it is not a number, or too large."""
    text = value if isinstance(value, str) else str(value) if isinstance(value, Decimal) else repr(value)
    if isinstance(value, bool) or not _NUMBER.fullmatch(text):
        raise _mismatch(value, kind)
    try:
        number = Decimal(text).quantize(Decimal(1).scaleb(-kind.scale), context=_DECIMALS)
    except InvalidOperation:
        raise _mismatch(value, kind) from None
    if abs(number) >= Decimal(1).scaleb(kind.precision - kind.scale):
        raise _mismatch(value, kind)
    return number


def _strict(kind: KsqlType, names: Names) -> Coercer:
    match kind:
        case DecimalType():
            return lambda value: rounded(value, kind)
        case ArrayType():
            element = coercer(kind.element, names)
            return lambda value: [element(item) for item in _of(list, value, kind)]
        case MapType():
            key, inner = coercer(kind.key, names), coercer(kind.value, names)
            return lambda value: {
                key(name): inner(item) for name, item in _of(dict, value, kind).items()
            }
        case StructType():
            fields = [(name, coercer(field, names)) for name, field in kind.fields]

            def struct(value: Any) -> dict[str, Any]:
                given = names.columns(_of(dict, value, kind))
                return {name: field(given.get(name)) for name, field in fields}

            return struct
    scalar = _SCALARS[kind.name]

    def coerce(value: Any) -> Any:
        try:
            result = scalar(value)
        except (ValueError, OverflowError):
            result = None
        if result is None:
            raise _mismatch(value, kind)
        return result

    return coerce


def _of(wanted: type[Any], value: Any, kind: KsqlType) -> Any:
    if not isinstance(value, wanted):
        raise _mismatch(value, kind)
    return value


def _mismatch(value: Any, kind: KsqlType) -> Mismatch:
    """The error with ksqlDB's sentence, which names Java's classes."""
    match value:
        case bool():
            name = "java.lang.Boolean"
        case int():
            bits = value.bit_length()
            name = f"java.{'lang.Integer' if bits < 32 else 'lang.Long' if bits < 64 else 'math.BigInteger'}"
        case float():
            name = "java.lang.Double"
        case str():
            name = "java.lang.String"
        case _:
            name = f"io.vertx.core.json.Json{'Array' if isinstance(value, list) else 'Object'}"
    return Mismatch(f"Can't coerce a field of type class {name} into type {kind}")


def _whole(value: Any, bits: int) -> int | None:
    if type(value) is not int or not -(2**bits) <= value < 2**bits:
        return None
    return value


def _double(value: Any) -> float | None:
    if type(value) is float:
        return value
    whole = _whole(value, 63)
    return None if whole is None else float(whole)


def _bytes(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    text = value.rstrip("=")
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return None
    return base64.b64encode(decoded).decode()


_SCALARS: Mapping[str, Callable[[Any], Any]] = {
    "BOOLEAN": lambda value: value if isinstance(value, bool) else None,
    "INTEGER": lambda value: _whole(value, 31),
    "BIGINT": lambda value: _whole(value, 63),
    "DOUBLE": _double,
    "STRING": lambda value: value if isinstance(value, str) else None,
    "BYTES": _bytes,
    "DATE": lambda value: timestamps.days(value) if isinstance(value, str) else None,
    "TIME": lambda value: timestamps.time_of_day(value) if isinstance(value, str) else None,
    "TIMESTAMP": lambda value: timestamps.milliseconds(value) if isinstance(value, str) else None,
}
