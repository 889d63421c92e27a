"""The generated Java classes call this module. ``bind`` returns a callable over values as Java passes them.

``java/pyudf/Values.java`` defines how each type is passed. The callables raise exceptions; Java catches and logs them.

An aggregate's state is text in ksqlDB, but reading and writing the text would take most of the time. So this module
also keeps a thread's newest states, in numbered places. ``java/pyudf/States.java`` knows which text is in which place.
It passes the text only if the text is in no place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec

from opensea_metrics.core.definition import Definition, Parameter, UdfError
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
from opensea_metrics.udfs import registry
from opensea_metrics.udfs.calls import Aggregation
from opensea_metrics.udfs.values import Converter, reader, unfinite, writer

_AS_THEY_ARE = (BOOLEAN, INTEGER, BIGINT, DOUBLE, STRING)
_EPOCH = datetime(1970, 1, 1)
_MILLISECOND = timedelta(milliseconds=1)


_PROTOCOL = 2
"""The version of the calls between Java and Python. Increase it with every change of the calls."""


def made_for(definition: Definition) -> str:
    """The function's signature and the protocol version, which a generated class must match."""
    return f"{definition.signature} [{_PROTOCOL}]"


def bind(name: str, method: str, fits: str, *constants: Any) -> Callable[..., Any]:
    """The ``call`` of a function, or ``initialize``, ``accumulate``, ``merge`` or ``finish`` of an aggregate with its
    constants.

    ``fits`` is the signature that the class was generated for. Raises UdfError if the function has another signature,
    and KeyError if it is not registered.
    """
    definition = registry.functions()[name]
    if fits != made_for(definition):
        raise UdfError(
            f"the jar was made for {fits}, but the function here is {made_for(definition)}: build it again"
            " (opensea-metrics udfs build)"
        )
    if definition.kind != "aggregate":
        return _converted(definition.call, definition.parameters, _out(definition))
    aggregation = _aggregation(name, constants)
    match method:
        case "initialize":
            return aggregation.initialize
        case "accumulate":
            # The first two arguments are the state and its place.
            accumulate = _accumulate(aggregation, _kept(name, constants))
            return _converted(accumulate, definition.parameters, None, shift=2)
        case "merge":
            return aggregation.merge
        case _:
            finish = _finish(aggregation, _kept(name, constants))
            return _converted(finish, (), _out(definition))


@cache
def _aggregation(name: str, constants: tuple[Any, ...]) -> Aggregation:
    return Aggregation(registry.functions()[name], constants)


Kept = dict[int, tuple[Any, str]]
"""By place: a state and its text."""


class _Thread(threading.local):
    """The states that a thread keeps, by aggregate and constants."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, tuple[Any, ...]], Kept] = {}


_THREAD = _Thread()


def _kept(name: str, constants: tuple[Any, ...]) -> Kept:
    """This thread's states of an aggregate."""
    return _THREAD.kept.setdefault((name, constants), {})


def _accumulate(aggregation: Aggregation, kept: Kept) -> Callable[..., str | None]:
    """A callable: (state, or None if it is kept, its place, columns …) → the new state, or None if it is unchanged.

    The new state is kept in the same place. Place -1 means that the state is not kept.
    """
    decode, add, write = aggregation.decode, aggregation.add, aggregation.text
    immutable = aggregation.immutable

    def accumulate(text: str | None, place: int, *columns: Any) -> str | None:
        before = kept[place][0] if text is None else decode(text)
        after = add(before, *columns)
        if immutable and after is before:
            if text is not None and place >= 0:
                kept[place] = before, text
            return None
        new = write(after)
        if place >= 0:
            kept[place] = after, new
        return new

    return accumulate


def _finish(aggregation: Aggregation, kept: Kept) -> Callable[[str | None, int], Any]:
    """A callable: (state, or None if it is kept, its place) → the result."""
    decode, conclude, immutable = aggregation.decode, aggregation.conclude, aggregation.immutable

    def finish(text: str | None, place: int) -> Any:
        if text is not None:
            return conclude(decode(text))
        state, text = kept[place]
        # finish may change its argument, so it must not get the state that is kept.
        return conclude(state if immutable else decode(text))

    return finish


def _converted(
    call: Callable[..., Any],
    parameters: tuple[Parameter, ...],
    out: Converter | None,
    shift: int = 0,
) -> Callable[..., Any]:
    """The callable, with its arguments and result converted if necessary."""
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
    """Converts a value from Java's form to the form that the function expects."""
    plain, read = from_java(parameter.type), reader(parameter.hint)
    if isinstance(parameter.type, ArrayType | MapType | StructType):
        decode = msgspec.json.Decoder().decode
        return lambda text: read(plain(decode(text))) if read else plain(decode(text))
    return plain if parameter.type not in _AS_THEY_ARE else None


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


def _out(definition: Definition) -> Converter | None:
    """Converts a result to Java's form. None if Java accepts the result unchanged and checks it."""
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
    return all(part in _AS_THEY_ARE or isinstance(part, ArrayType | MapType | StructType) for part in parts(kind))


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
