"""The functions in Spark, as Arrow UDFs of a session.

Spark has no table functions of this kind in SELECT: they are functions that give arrays, to be
exploded. Aggregates see a whole group at once, in no particular order. The code is sent to the workers;
what it needs (pyarrow, msgspec, sqlglot, ddsketch) must be installed there.
"""

from __future__ import annotations

import importlib
import io
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

import sql
import udfs
from sql.types import BIGINT, DATE, DOUBLE, INTEGER, STRING, TIMESTAMP, ArrayType, DecimalType, KsqlType
from sql.types import BOOLEAN, BYTES, MapType, StructType
from udfs import calls, registry
from udfs.api import ATTRIBUTE
from udfs.definition import Definition, UdfError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_TYPES: dict[KsqlType, tuple[str, pa.DataType]] = {
    BOOLEAN: ("BOOLEAN", pa.bool_()),
    INTEGER: ("INT", pa.int32()),
    BIGINT: ("BIGINT", pa.int64()),
    DOUBLE: ("DOUBLE", pa.float64()),
    STRING: ("STRING", pa.string()),
    BYTES: ("BINARY", pa.binary()),
    DATE: ("DATE", pa.date32()),
    TIMESTAMP: ("TIMESTAMP_NTZ", pa.timestamp("us")),
}


def register(session: SparkSession) -> None:
    """Make all functions known to a session's SQL, under their names.

    Raises UdfError for a function with a type that Spark does not have (TIME).
    """
    from pyspark.sql.functions import ArrowUDFType, arrow_udf

    _send(session)
    for definition in registry.functions().values():
        kind = ArrowUDFType.GROUPED_AGG if definition.kind == "aggregate" else ArrowUDFType.SCALAR
        call = _aggregate if definition.kind == "aggregate" else _scalar
        function = _bound(call, definition)
        session.udf.register(definition.name, arrow_udf(function, ddl(definition), kind))


def ddl(definition: Definition) -> str:
    """The type of the result as Spark writes it."""
    try:
        return _ddl(definition.result)
    except KeyError as error:
        raise UdfError(f"{definition.place}: Spark has no type for {error.args[0]}") from None


def _ddl(kind: KsqlType) -> str:
    match kind:
        case DecimalType():
            return f"DECIMAL({kind.precision}, {kind.scale})"
        case ArrayType():
            return f"ARRAY<{_ddl(kind.element)}>"
        case MapType():
            return f"MAP<STRING, {_ddl(kind.value)}>"
        case StructType():
            return f"STRUCT<{', '.join(f'`{name}`: {_ddl(inner)}' for name, inner in kind.fields)}>"
    return _TYPES[kind][0]


def _arrow(kind: KsqlType) -> pa.DataType:
    match kind:
        case DecimalType():
            return pa.decimal128(kind.precision, kind.scale)
        case ArrayType():
            return pa.list_(_arrow(kind.element))
        case MapType():
            return pa.map_(pa.string(), _arrow(kind.value))
        case StructType():
            return pa.struct([pa.field(name, _arrow(inner)) for name, inner in kind.fields])
    return _TYPES[kind][1]


def _send(session: SparkSession) -> None:
    """The packages and the project's own files, to the workers."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for package in (udfs, sql):
            root = Path(str(package.__file__)).parent
            for file in sorted(root.rglob("*.py")):
                archive.writestr(zipfile.ZipInfo(f"{root.name}/{file.relative_to(root)}"), file.read_bytes())
    folder = Path(tempfile.mkdtemp(prefix="opensea-metrics-udfs-"))
    path = folder / "opensea_metrics_udfs.zip"
    path.write_bytes(packed.getvalue())
    for file in (path, *registry.own_files()):
        session.sparkContext.addPyFile(str(file))


def _bound(
    call: Callable[..., Any], definition: Definition
) -> Callable[..., Any]:
    """The call for one function, which the worker finds again by its module and name."""
    module, name = definition.call.__module__, definition.call.__name__

    def bound(*arrays: pa.Array) -> Any:
        return call(module, name, *arrays)

    return bound


@cache
def _definition(module: str, name: str) -> Definition:
    found: Definition = getattr(getattr(importlib.import_module(module), name), ATTRIBUTE)
    return found


@cache
def _guarded(module: str, name: str) -> tuple[Callable[..., Any], pa.DataType]:
    definition = _definition(module, name)
    return calls.guarded(definition), _arrow(definition.result)


@cache
def _aggregation(module: str, name: str, constants: tuple[Any, ...]) -> calls.Aggregation:
    return calls.Aggregation(_definition(module, name), constants)


def _scalar(module: str, name: str, *arrays: pa.Array) -> pa.Array:
    definition = _definition(module, name)
    columns = [_cast(a, p.type) for a, p in zip(arrays, definition.parameters, strict=True)]
    if definition.arrow is not None:
        return definition.arrow(*columns)
    call, kind = _guarded(module, name)
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    return pa.array([call(*row) for row in rows], kind)


def _aggregate(module: str, name: str, *arrays: pa.Array) -> Any:
    definition = _definition(module, name)
    count = len(definition.parameters)
    columns = [_cast(a, p.type) for a, p in zip(arrays[:count], definition.parameters, strict=True)]
    constants = tuple(array[0].as_py() for array in arrays[count:])
    aggregation = _aggregation(module, name, constants)
    rows = list(zip(*(column.to_pylist() for column in columns), strict=True))
    return aggregation.finish(aggregation.partial(rows))


def _cast(array: pa.Array, kind: KsqlType) -> pa.Array:
    """Spark's own functions bring other widths of numbers, and NULL alone has no type."""
    wanted = _arrow(kind)
    return array if array.type == wanted or pa.types.is_nested(wanted) else array.cast(wanted)
