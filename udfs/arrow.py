"""Functions over whole Arrow arrays, as DuckDB and Spark call them."""

from __future__ import annotations

from array import array as packed
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa

from opensea_metrics.core.definition import Definition
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
from opensea_metrics.udfs import calls

_TYPES: dict[KsqlType, pa.DataType] = {
    BOOLEAN: pa.bool_(),
    INTEGER: pa.int32(),
    BIGINT: pa.int64(),
    DOUBLE: pa.float64(),
    STRING: pa.string(),
    BYTES: pa.binary(),
    DATE: pa.date32(),
    TIME: pa.time64("us"),
}
_WIDEST = 38
"""The most digits of Arrow's smaller DECIMAL."""


def arrow_type(kind: KsqlType, unit: str = "us") -> pa.DataType:
    """The Arrow type for an SQL type. ``unit`` is the unit of TIMESTAMPs.

    A type that Arrow does not have becomes text.
    """
    match kind:
        case DecimalType():
            return (pa.decimal128 if kind.precision <= _WIDEST else pa.decimal256)(kind.precision, kind.scale)
        case ArrayType():
            return pa.list_(arrow_type(kind.element, unit))
        case MapType():
            return pa.map_(arrow_type(kind.key, unit), arrow_type(kind.value, unit))
        case StructType():
            return pa.struct([pa.field(name, arrow_type(inner, unit)) for name, inner in kind.fields])
    return pa.timestamp(unit) if kind == TIMESTAMP else _TYPES.get(kind, pa.string())


def scalar(definition: Definition) -> Callable[..., pa.Array]:
    """A scalar or table function over arrays of its arguments. It never raises."""
    call, kind = calls.guarded(definition), arrow_type(definition.result)

    def row_by_row(*columns: pa.Array) -> pa.Array:
        rows = zip(*(column.to_pylist() for column in columns), strict=True)
        return array((call(*row) for row in rows), kind)

    def vectorised(*columns: pa.Array) -> pa.Array:
        assert definition.arrow is not None
        try:
            return definition.arrow(*map(_whole, columns))
        except calls.FAILURES as error:
            calls.log_error(definition.name, error)
            return row_by_row(*columns)

    return row_by_row if definition.arrow is None else vectorised


def array(values: Any, kind: pa.DataType) -> pa.Array:
    """An array of plain values. NaN stays NaN."""
    values = [*values]
    present = [value for value in values if value is not None]
    # Built from buffers where that is simple, because pa.array imports pandas, which takes 0.3 s.
    if kind == pa.string() and all(type(value) is str for value in present):
        encoded = [b"" if value is None else value.encode() for value in values]
        ends = packed("i", accumulate(map(len, encoded), initial=0))
        return _of_buffers(kind, values, [ends, b"".join(encoded)])
    if kind == pa.float64() and all(type(value) is float for value in present):
        return _of_buffers(kind, values, [packed("d", (0.0 if value is None else value for value in values))])
    return pa.array(values, kind, from_pandas=False)


def _of_buffers(kind: pa.DataType, values: Sequence[Any], buffers: Sequence[Any]) -> pa.Array:
    """An array of values in buffers. The value of a NULL has no meaning."""
    is_present = np.packbits(np.array([value is not None for value in values], np.bool_), bitorder="little")
    return pa.Array.from_buffers(kind, len(values), [*map(pa.py_buffer, [is_present, *buffers])])


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
