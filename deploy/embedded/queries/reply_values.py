"""Converts DuckDB's values for the rows of a ksqlDB reply.

ksqlDB writes times within a STRUCT as numbers, as in topics, and all other times as text. This was observed on
7.9.1: tests/embedded/records.yml.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from functools import partial
from typing import Any

from opensea_metrics.core.types import (
    DATE,
    TIME,
    TIMESTAMP,
    ArrayType,
    KsqlType,
    MapType,
    StructType,
)
from opensea_metrics.sql.language.values.topic_json import plain

Convert = Callable[[Any], Any]


def converter(kind: KsqlType, in_struct: bool = False) -> Convert | None:
    """A function that converts values of a type so that ``wire.dump`` writes them as ksqlDB does.

    None if the values need no conversion.
    """
    match kind:
        case StructType():
            fields = [converter(inner, in_struct=True) for _, inner in kind.fields]
            return _of_given(partial(_struct, fields)) if any(fields) else None
        case ArrayType():
            element = converter(kind.element, in_struct)
            return _of_given(lambda row: [*map(element, row)]) if element else None
        case MapType():
            value = converter(kind.value, in_struct)
            return _of_given(lambda row: {k: value(v) for k, v in row.items()}) if value else None
    if kind in (DATE, TIME, TIMESTAMP):
        return _of_given(_as_number if in_struct else _as_text)
    return None


def row_converter(kinds: Sequence[KsqlType]) -> Callable[[Sequence[Any]], list[Any]]:
    """A function that applies :func:`converter` to all values of a row."""
    columns = [*map(converter, kinds)]
    if not any(columns):
        return list
    return lambda row: [show(value) if show else value for show, value in zip(columns, row, strict=True)]


def _struct(fields: Sequence[Convert | None], row: dict[str, Any]) -> dict[str, Any]:
    pairs = zip(fields, row.items(), strict=True)
    return {name: convert(value) if convert else value for convert, (name, value) in pairs}


def _of_given(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)


def _as_number(value: Any) -> Any:
    return value if isinstance(value, str) else plain(value)


def _as_text(value: Any) -> str:
    """A time as text. DuckDB returns text itself for times that Python cannot represent, beyond the year 9999."""
    match value:
        case datetime():
            return value.isoformat(timespec="milliseconds")
        case date():
            return value.isoformat()
        case time():
            return value.isoformat("seconds" if value.second else "minutes")
    day, _, clock = str(value).removesuffix(" (BC)").partition(" ")
    if str(value).endswith(" (BC)"):
        year, rest = day.split("-", 1)
        day = f"{1 - int(year):05}-{rest}" if year != "0001" else f"0000-{rest}"
    elif not clock:
        day = f"+{day}"
    return f"{day}T{clock.partition('.')[0]}.{clock.partition('.')[2]:0<3}" if clock else day
