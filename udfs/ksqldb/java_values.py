"""Converts values between the forms in which Java passes them and those that Python functions expect.

``java/pyudf/Values.java`` defines how each type is passed.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from opensea_metrics.core.definition import Definition, Parameter
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
    parts,
)
from opensea_metrics.udfs.values import Converter, reader, unfinite, writer

AS_THEY_ARE = (BOOLEAN, INTEGER, BIGINT, DOUBLE, STRING)
"""Types whose values Java and Python pass unchanged."""
_EPOCH = datetime(1970, 1, 1)
_MILLISECOND = timedelta(milliseconds=1)


def argument_converter(parameter: Parameter) -> Converter | None:
    """Converts a value from Java's form to the form that the function expects."""
    plain, read = from_java(parameter.type), reader(parameter.hint)
    if isinstance(parameter.type, ArrayType | MapType | StructType):
        decode = msgspec.json.Decoder().decode
        return lambda text: read(plain(decode(text))) if read else plain(decode(text))
    return plain if parameter.type not in AS_THEY_ARE else None


def from_java(kind: KsqlType) -> Converter:
    """Converts a value from Java's form (with JSON decoded) to a plain value."""
    match kind:
        case DecimalType():
            return Decimal
        case ArrayType():
            item = from_java(kind.element)
            return lambda value: [None if v is None else item(v) for v in value]
        case MapType():
            item = from_java(kind.value)
            return lambda value: {k: None if v is None else item(v) for k, v in value.items()}
        case StructType():
            members = {name: from_java(inner) for name, inner in kind.fields}
            return lambda value: {
                name: None if value[name] is None else item(value[name])
                for name, item in members.items()
            }
    return _FROM_JAVA.get(kind, lambda value: value)


_FROM_JAVA: dict[KsqlType, Converter] = {
    DOUBLE: float,  # JSON has NaN as the text "NaN"
    BYTES: lambda text: text.encode("latin-1"),
    DATE: lambda ms: (_EPOCH + ms * _MILLISECOND).date(),
    TIME: lambda ms: (_EPOCH + ms * _MILLISECOND).time(),
    TIMESTAMP: lambda ms: _EPOCH + ms * _MILLISECOND,
}


def result_converter(definition: Definition) -> Converter | None:
    """Converts a result to Java's form. None if Java accepts the result unchanged and checks it."""
    kind = definition.result
    if kind in AS_THEY_ARE:
        return None
    if isinstance(kind, DecimalType):
        return lambda value: None if value is None else str(value)
    write, cross = writer(kind), to_java(kind)
    encode = msgspec.json.Encoder().encode
    if not isinstance(kind, ArrayType | MapType | StructType):
        return lambda value: None if value is None else cross(write(value))

    def checked(value: Any) -> str | None:
        return None if value is None else encode(cross(write(value))).decode()

    if not _is_json(kind):
        return checked
    find = unfinite(definition.result_hint)

    def straight(value: Any) -> str | None:
        """The result as JSON. The encoder supports records, and Java checks the types. The encoder would write infinity
        and NaN as null."""
        if value is None:
            return None
        text = encode(value)
        if find is not None and b"null" in text and find(value):
            return checked(value)
        return text.decode()

    return straight


def _is_json(kind: KsqlType) -> bool:
    return all(part in AS_THEY_ARE or isinstance(part, ArrayType | MapType | StructType) for part in parts(kind))


def to_java(kind: KsqlType) -> Converter:
    """Converts a plain value to Java's form."""
    match kind:
        case DecimalType():
            return lambda value: None if value is None else str(value)
        case ArrayType():
            item = to_java(kind.element)
            return lambda value: None if value is None else [item(v) for v in value]
        case MapType():
            item = to_java(kind.value)
            return lambda value: None if value is None else {k: item(v) for k, v in value.items()}
        case StructType():
            members = {name: to_java(inner) for name, inner in kind.fields}
            return lambda value: (
                None if value is None else {n: item(value[n]) for n, item in members.items()}
            )
    convert = _TO_JAVA.get(kind, lambda value: value)
    return lambda value: None if value is None else convert(value)


def _finite(value: float) -> float | str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return value


_TO_JAVA: dict[KsqlType, Converter] = {
    DOUBLE: _finite,
    BYTES: lambda value: value.decode("latin-1"),
    DATE: lambda value: (datetime.combine(value, time()) - _EPOCH) // _MILLISECOND,
    TIME: lambda value: (datetime.combine(date(1970, 1, 1), value) - _EPOCH) // _MILLISECOND,
    TIMESTAMP: lambda value: (value - _EPOCH) // _MILLISECOND,
}
