"""Converts between Python values and plain values, which the engines exchange.

Plain values are bool, int, float, str, bytes, Decimal, date, time, datetime (UTC, without a zone) and list. A MAP is a
dict, and a STRUCT is a dict by upper-cased names. Both directions keep None.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import ROUND_HALF_UP, Context, Decimal
from operator import attrgetter
from typing import Any

from opensea_metrics.core.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTEGER,
    STRING,
    TIME,
    TIMESTAMP,
    ArrayType,
    DecimalType,
    KsqlType,
    MapType,
    StructType,
)
from opensea_metrics.udfs.types import fields, is_record, optional

Converter = Callable[[Any], Any]

_BITS = {INTEGER: 31, BIGINT: 63}
_CLASSES: dict[KsqlType, type] = {
    BOOLEAN: bool, STRING: str, BYTES: bytes, DATE: date, TIME: time, TIMESTAMP: datetime,
}  # fmt: skip
_EXACT = Context(prec=80)


def reader(hint: Any) -> Converter | None:
    """A converter from plain values to the values that a hint describes. None if they are the same."""
    hint, _ = optional(hint)
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is list:
        item = reader(inner[0])
        return None if item is None else _each(item)
    if origin is dict:
        item = reader(inner[1])
        return lambda value: {
            k: v if v is None or item is None else item(v)
            for k, v in (value.items() if isinstance(value, Mapping) else value)
        }
    if is_record(hint):
        members = [(name, reader(kind)) for name, kind in fields(hint)]

        def read(value: Mapping[str, Any]) -> Any:
            plain = [(value[name.upper()], item) for name, item in members]
            return hint(*(v if v is None or item is None else item(v) for v, item in plain))

        return read
    return None


def unfinite(hint: Any) -> Callable[[Any], bool] | None:
    """A function that tells whether a value with that hint contains NaN or infinity.

    None if no such value can contain any.
    """
    hint, _ = optional(hint)
    if hint is float:
        return lambda value: value is not None and not math.isfinite(value)
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (list, set, tuple, dict):
        checks = [unfinite(part) for part in inner if part is not Ellipsis]
        if not any(checks):
            return None
        if origin is tuple and Ellipsis not in inner:
            return lambda value: value is not None and any(
                find is not None and find(v) for find, v in zip(checks, value, strict=True)
            )
        find = checks[-1]
        assert find is not None
        values = dict.values if origin is dict else iter
        return lambda value: value is not None and any(map(find, values(value)))
    if is_record(hint):
        members = [(attrgetter(n), find) for n, kind in fields(hint) if (find := unfinite(kind))]
        if not members:
            return None
        return lambda value: value is not None and any(find(get(value)) for get, find in members)
    return None


def writer(kind: KsqlType) -> Converter:
    """A converter from a function's results to plain values. It raises TypeError or OverflowError for a value that does
    not have the type."""
    match kind:
        case DecimalType():
            return _decimal(kind)
        case ArrayType():
            item = writer(kind.element)
            return lambda value: None if value is None else [item(v) for v in _a(list, value)]
        case MapType():
            item, key = writer(kind.value), writer(kind.key)
            return lambda value: (
                None if value is None else {key(k): item(v) for k, v in _a(dict, value).items()}
            )
        case StructType():
            members = [(name, name.lower(), writer(inner)) for name, inner in kind.fields]
            return lambda value: (
                None
                if value is None
                else {name: item(_field(value, low)) for name, low, item in members}
            )
    if kind in _BITS:
        return _integer(_BITS[kind], kind)
    if kind == DOUBLE:
        return _double
    if kind == STRING:
        return _string
    return lambda value: None if value is None else _a(_CLASSES[kind], value)


def _each(item: Converter) -> Converter:
    return lambda value: [None if v is None else item(v) for v in value]


def _field(value: Any, lowered: str) -> Any:
    if is_record(type(value)):
        if hasattr(value, lowered):
            return getattr(value, lowered)
        for name, _ in fields(type(value)):
            if name.lower() == lowered:
                return getattr(value, name)
    raise TypeError(f"{value!r} has no field {lowered}")


def _a(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"the result is of type {type(value).__name__}, not {kind.__name__}")
    return value


def _integer(bits: int, kind: KsqlType) -> Converter:
    low, high = -(2**bits), 2**bits - 1

    def write(value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, bool):
            raise TypeError("the result is of type bool, not int")
        if not low <= _a(int, value) <= high:
            raise OverflowError(f"{value} does not fit into {kind}")
        return value

    return write


def _double(value: Any) -> Any:
    if value is None or type(value) is float:
        return value
    if isinstance(value, bool) or not isinstance(value, float | int):
        raise TypeError(f"the result is of type {type(value).__name__}, not float")
    return float(value)


def _string(value: Any) -> Any:
    if value is not None:
        _a(str, value).encode()  # half a surrogate pair is not text: UnicodeEncodeError
    return value


def _decimal(kind: DecimalType) -> Converter:
    unit = Decimal(1).scaleb(-kind.scale)

    def write(value: Any) -> Any:
        if value is None:
            return None
        if not _a(Decimal, value).is_finite():
            raise OverflowError(f"{value} does not fit into {kind}")
        if value.adjusted() >= kind.precision - kind.scale and value:
            raise OverflowError(f"{value} does not fit into {kind}")
        rounded = value.quantize(unit, ROUND_HALF_UP, _EXACT)
        if rounded and rounded.adjusted() >= kind.precision - kind.scale:
            raise OverflowError(f"{value} does not fit into {kind}")
        return rounded

    return write
