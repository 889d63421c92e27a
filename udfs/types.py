"""Maps Python's type hints to SQL types.

- bool: BOOLEAN
- int: BIGINT
- Int32: INTEGER
- float: DOUBLE
- str: STRING
- bytes: BYTES
- Annotated[Decimal, Digits(p, s)]: DECIMAL(p, s)
- date: DATE
- time: TIME
- datetime: TIMESTAMP (UTC, without a zone, milliseconds)
- list[T]: ARRAY<T>
- dict[str, T]: MAP<STRING, T>
- a NamedTuple or frozen dataclass: STRUCT (names upper-cased)

``T | None`` (or ``Optional[T]``) is a T that may be NULL. In SQL, elements and fields may always be NULL. So a hint
such as ``list[str]`` says nothing about NULLs inside.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Annotated, Any, NewType, Union

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
    array,
    struct,
)

Int32 = NewType("Int32", int)
"""An int that is INTEGER in SQL. A plain int is BIGINT."""


@dataclass(frozen=True)
class Digits:
    """``Annotated[Decimal, Digits(precision, scale)]``: a DECIMAL with at most 38 digits, ``scale`` of them after the
    point."""

    precision: int
    scale: int

    def __post_init__(self) -> None:
        if not (1 <= self.precision <= 38 and 0 <= self.scale <= self.precision):
            raise TypeError("Digits takes a precision of 1 to 38 and a scale of 0 to the precision")


SCALARS: dict[Any, KsqlType] = {
    bool: BOOLEAN,
    int: BIGINT,
    Int32: INTEGER,
    float: DOUBLE,
    str: STRING,
    bytes: BYTES,
    date: DATE,
    time: TIME,
    datetime: TIMESTAMP,
}


def optional(hint: Any) -> tuple[Any, bool]:
    """Splits ``T | None`` into (T, True). Any other hint becomes (hint, False)."""
    if typing.get_origin(hint) in (Union, types.UnionType):
        inner = [part for part in typing.get_args(hint) if part is not type(None)]
        if len(inner) == 1:
            return inner[0], True
    return hint, False


def sql_type(hint: Any) -> KsqlType:
    """The SQL type of a hint. Raises TypeError for a hint without one. The message lists valid hints."""
    hint, _ = optional(hint)
    if hint in SCALARS:
        return SCALARS[hint]
    if hint is Decimal:
        raise TypeError("a Decimal needs its digits: Annotated[Decimal, Digits(38, 18)]")
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated and inner[0] is Decimal and isinstance(inner[1], Digits):
        return DecimalType("DECIMAL", inner[1].precision, inner[1].scale)
    if origin is list:
        return array(sql_type(inner[0]))
    if origin is dict:
        if sql_type(inner[0]) != STRING:
            raise TypeError("the keys of a dict must be str, like those of ksqlDB's MAP")
        return MapType("MAP", STRING, sql_type(inner[1]))
    if is_record(hint):
        return _struct(hint)
    raise TypeError(
        f"{name_of(hint)} has no SQL type. Use bool, int, Int32, float, str, bytes,"
        " Annotated[Decimal, Digits(p, s)], date, time, datetime, list[T], dict[str, T], a NamedTuple"
        " or a frozen dataclass"
    )


def declaration(kind: KsqlType, quote: str = "`") -> str:
    """A type in the notation of ksqlDB's statements and annotations."""
    match kind:
        case ArrayType():
            return f"ARRAY<{declaration(kind.element, quote)}>"
        case MapType():
            return f"MAP<{declaration(kind.key, quote)}, {declaration(kind.value, quote)}>"
        case StructType():
            members = (f"{quote}{n}{quote} {declaration(t, quote)}" for n, t in kind.fields)
            return f"STRUCT<{', '.join(members)}>"
    return {STRING: "VARCHAR", INTEGER: "INT"}.get(kind, str(kind))


def is_record(hint: Any) -> bool:
    """True if a hint is a class with named, typed fields: a NamedTuple or a dataclass."""
    return isinstance(hint, type) and (
        dataclasses.is_dataclass(hint) or (issubclass(hint, tuple) and hasattr(hint, "_fields"))
    )


def fields(hint: type) -> list[tuple[str, Any]]:
    """The fields of a record with their hints."""
    hints = typing.get_type_hints(hint, include_extras=True)
    names = [f.name for f in dataclasses.fields(hint)] if _frozen(hint) is not None else hint._fields  # type: ignore[attr-defined]
    return [(name, hints[name]) for name in names]


def _frozen(hint: type) -> bool | None:
    """True for a frozen dataclass, False for another dataclass, None for a NamedTuple."""
    parameters = getattr(hint, "__dataclass_params__", None)
    return None if parameters is None else bool(parameters.frozen)


def _struct(hint: type) -> KsqlType:
    if _frozen(hint) is False:
        raise TypeError(f"the dataclass {hint.__name__} must be frozen to be a STRUCT")
    members = []
    for name, inner in fields(hint):
        try:
            members.append((name.upper(), sql_type(inner)))
        except TypeError as error:
            raise TypeError(f"field {name} of {hint.__name__}: {error}") from None
    if not members:
        raise TypeError(f"{hint.__name__} has no fields")
    return struct(*members)


def no_json(hint: Any) -> Any | None:
    """The part of a state's hint that JSON cannot hold, or None."""
    if hint in (bool, int, float, str, type(None), Ellipsis):
        return None
    if typing.get_origin(hint) in (list, set, tuple, dict, Union, types.UnionType):
        parts = typing.get_args(hint)
    elif is_record(hint):
        parts = tuple(inner for _, inner in fields(hint))
    else:
        return hint
    return next((part for part in map(no_json, parts) if part is not None), None)


def is_immutable(hint: Any) -> bool:
    """True if a value of a state's hint cannot be changed, including everything inside."""
    if hint in (bool, int, float, str, type(None), Ellipsis):
        return True
    if typing.get_origin(hint) in (tuple, Union, types.UnionType):
        return all(map(is_immutable, typing.get_args(hint)))
    if is_record(hint):
        return _frozen(hint) is not False and all(is_immutable(inner) for _, inner in fields(hint))
    return False


def name_of(hint: Any) -> str:
    """A hint as the user wrote it, for messages."""
    return hint.__name__ if isinstance(hint, type) else str(hint)
