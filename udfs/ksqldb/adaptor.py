"""What the generated Java classes call: ``bind`` gives a callable over values as they cross to Java.

How each type crosses: ``java/pyudf/Values.java``. Callables raise; Java catches and logs.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec

from sql.types import (
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
from udfs import registry
from udfs.calls import Aggregation
from udfs.definition import Definition, Parameter
from udfs.values import Converter, reader, unfinite, writer

_AS_THEY_ARE = (BOOLEAN, INTEGER, BIGINT, DOUBLE, STRING)
_EPOCH = datetime(1970, 1, 1)
_MILLISECOND = timedelta(milliseconds=1)


def bind(name: str, method: str, *constants: Any) -> Callable[..., Any]:
    """A function's ``call``, or ``initialize``, ``accumulate``, ``merge`` or ``finish`` of an
    aggregate with its constants. Raises KeyError for a function that is not registered."""
    definition = registry.functions()[name]
    if definition.kind != "aggregate":
        return _converted(definition.call, definition.parameters, _out(definition))
    aggregation = _aggregation(name, constants)
    match method:
        case "initialize":
            return aggregation.initialize
        case "accumulate":
            # The state comes first, as the text it is.
            return _converted(aggregation.accumulate, definition.parameters, None, shift=1)
        case "merge":
            return aggregation.merge
        case _:
            return _converted(aggregation.result, (), _out(definition))


@cache
def _aggregation(name: str, constants: tuple[Any, ...]) -> Aggregation:
    return Aggregation(registry.functions()[name], constants)


def _converted(
    call: Callable[..., Any],
    parameters: tuple[Parameter, ...],
    out: Converter | None,
    shift: int = 0,
) -> Callable[..., Any]:
    """The callable with its arguments and result converted, where they have to be."""
    incoming = [(index + shift, into) for index, p in enumerate(parameters) if (into := _in(p))]
    if not incoming:
        return call if out is None else lambda *values: out(call(*values))

    def converted(*values: Any) -> Any:
        arguments = list(values)
        for index, into in incoming:
            if arguments[index] is not None:
                arguments[index] = into(arguments[index])
        result = call(*arguments)
        return result if out is None else out(result)

    return converted


def _in(parameter: Parameter) -> Converter | None:
    """As it crossed → what the function expects."""
    plain, read = from_java(parameter.type), reader(parameter.hint)
    if isinstance(parameter.type, ArrayType | MapType | StructType):
        decode = msgspec.json.Decoder().decode
        return lambda text: read(plain(decode(text))) if read else plain(decode(text))
    return plain if parameter.type not in _AS_THEY_ARE else None


def from_java(kind: KsqlType) -> Converter:
    """As it crossed (JSON decoded) → plain value."""
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
    DOUBLE: float,  # "NaN" inside of JSON
    BYTES: lambda text: text.encode("latin-1"),
    DATE: lambda ms: (_EPOCH + ms * _MILLISECOND).date(),
    TIME: lambda ms: (_EPOCH + ms * _MILLISECOND).time(),
    TIMESTAMP: lambda ms: _EPOCH + ms * _MILLISECOND,
}


def _out(definition: Definition) -> Converter | None:
    """What the function returned → as it crosses; None where Java takes it as it is, and checks it."""
    kind = definition.result
    if kind in _AS_THEY_ARE:
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
        """The encoder knows dataclasses, and Java checks the types; only what is not finite it
        writes as null."""
        if value is None:
            return None
        text = encode(value)
        if b"null" in text and find is not None and find(value):
            return checked(value)
        return text.decode()

    return straight


def _is_json(kind: KsqlType) -> bool:
    match kind:
        case ArrayType():
            return _is_json(kind.element)
        case MapType():
            return _is_json(kind.value)
        case StructType():
            return all(_is_json(inner) for _, inner in kind.fields)
    return kind in _AS_THEY_ARE


def to_java(kind: KsqlType) -> Converter:
    """Plain value → as it crosses."""
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
