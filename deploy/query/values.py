"""Converts a server's replies to Arrow tables, and DuckDB's values to the form of a server's reply."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal
from typing import Any

import pyarrow as pa

from opensea_metrics.core.errors import SqlError
from opensea_metrics.core.types import (
    BYTES,
    DATE,
    DOUBLE,
    TIME,
    TIMESTAMP,
    ArrayType,
    DecimalType,
    KsqlType,
    MapType,
    StructType,
)
from opensea_metrics.deploy.embedded.queries.reply_values import row_converter
from opensea_metrics.udfs.arrow import arrow_type

_EPOCH = datetime(1970, 1, 1)
_UNIT = "ms"
"""The unit of TIMESTAMPs, as in ksqlDB."""
_DIGITS = Context(prec=80)
"""More digits than any DECIMAL has."""


def arrow_table(columns: Sequence[tuple[str, KsqlType]], rows: Iterable[Sequence[Any]]) -> pa.Table:
    """Rows of a reply as a table with these columns. Raises SqlError for a value that its type does not allow."""
    listed: list[list[Any]] = [[] for _ in columns]
    for row in rows:
        for values, value in zip(listed, row, strict=True):
            values.append(value)
    arrays = []
    for (name, kind), values in zip(columns, listed, strict=True):
        convert = _reader(kind, False)
        try:
            converted = values if convert is None else [None if v is None else convert(v) for v in values]
            arrays.append(pa.array(converted, arrow_type(kind, _UNIT)))
        except (ValueError, TypeError, OverflowError, ArithmeticError, pa.ArrowException) as error:
            raise SqlError(f"the column {name} has a value that is not {kind}: {error}") from error
    return pa.Table.from_arrays(arrays, names=[name for name, _ in columns])


def _reader(kind: KsqlType, in_struct: bool) -> Callable[[Any], Any] | None:
    """A function that reads a value of a reply; None if the value is as Arrow needs it."""
    match kind:
        case DecimalType():
            return lambda value: Decimal(str(value)).quantize(Decimal(1).scaleb(-kind.scale), context=_DIGITS)
        case ArrayType():
            element = _reader(kind.element, in_struct)
            return (lambda value: [_given(element, item) for item in value]) if element else None
        case MapType():
            inner = _reader(kind.value, in_struct)
            return lambda value: [(key, _given(inner, item)) for key, item in value.items()]
        case StructType():
            fields = [(name, _reader(field, True)) for name, field in kind.fields]
            if any(read for _, read in fields):
                return lambda value: {name: _given(read, value.get(name)) for name, read in fields}
            return None
    if kind == DOUBLE:
        return float  # NaN and Infinity are texts in a reply
    if kind == BYTES:
        return base64.b64decode
    if kind in (DATE, TIME, TIMESTAMP):
        return _time_reader(kind)
    return None


def _given(read: Callable[[Any], Any] | None, value: Any) -> Any:
    return value if read is None or value is None else read(value)


def _time_reader(kind: KsqlType) -> Callable[[Any], Any]:
    """ksqlDB writes times inside a STRUCT as numbers, and others as texts."""
    if kind == DATE:
        return lambda v: _EPOCH.date() + timedelta(days=v) if isinstance(v, int) else date.fromisoformat(v)
    if kind == TIME:
        return lambda v: (_EPOCH + timedelta(milliseconds=v)).time() if isinstance(v, int) else time.fromisoformat(v)
    return moment


def moment(value: int | str) -> datetime:
    """A TIMESTAMP of a reply: epoch ms, or an ISO text in UTC. Raises ValueError beyond the year 9999."""
    if isinstance(value, int):
        return _EPOCH + timedelta(milliseconds=value)
    read = datetime.fromisoformat(value)
    return read if read.tzinfo is None else read.astimezone(UTC).replace(tzinfo=None)


def reply_rows(kinds: Sequence[KsqlType], rows: Iterable[Sequence[Any]]) -> Iterable[list[Any]]:
    """DuckDB's rows in the form of a server's reply after JSON decoding: BYTES are base64."""
    convert = row_converter(kinds)
    return ([_plain(value) for value in convert(row)] for row in rows)


def _plain(value: Any) -> Any:
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
    return value
