"""The functions in Spark, as Arrow UDFs of a session.

Spark has no table functions of this kind in SELECT: they are functions that give arrays, to be
exploded. Aggregates see a whole group at once, in no particular order. The code is sent to the workers;
what it needs (pyarrow, msgspec, sqlglot, ddsketch) must be installed there.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

import sql
import udfs
from sql.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTEGER,
    STRING,
    TIMESTAMP,
    ArrayType,
    DecimalType,
    KsqlType,
    MapType,
    StructType,
)
from udfs import calls, registry
from udfs.api import ATTRIBUTE
from udfs.arrow import arrow_type, scalar
from udfs.definition import Definition, UdfError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_NAMES: dict[KsqlType, str] = {
    BOOLEAN: "BOOLEAN",
    INTEGER: "INT",
    BIGINT: "BIGINT",
    DOUBLE: "DOUBLE",
    STRING: "STRING",
    BYTES: "BINARY",
    DATE: "DATE",
    TIMESTAMP: "TIMESTAMP_NTZ",
}


def register(session: SparkSession) -> None:
    """Make all functions known to a session's SQL, under their names.

    Raises UdfError for a function with a type that Spark does not have (TIME).
    """
    spark: Any = importlib.import_module("pyspark.sql.functions")
    _send(session)
    for definition in registry.functions().values():
        if definition.kind == "aggregate":
            call, kind = _aggregate, spark.ArrowUDFType.GROUPED_AGG
        else:
            call, kind = _scalar, spark.ArrowUDFType.SCALAR
        function = spark.arrow_udf(_bound(call, definition), ddl(definition), kind)
        session.udf.register(definition.name, function)


def local_session() -> SparkSession:
    """A small Spark in this process, whose workers run this Python. Raises UdfError without pyspark
    or Java."""
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise UdfError("Spark is not installed: pip install 'opensea-metrics[spark]'") from error
    os.environ["PYSPARK_PYTHON"] = sys.executable
    try:
        return (
            SparkSession.builder.master("local[2]")
            .config("spark.ui.enabled", "false")
            .config("spark.sql.shuffle.partitions", "2")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.driver.host", "127.0.0.1")
            .getOrCreate()
        )
    except PySparkException as error:
        raise UdfError(f"Spark does not start: {str(error).splitlines()[0]}") from error


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
    return _NAMES[kind]


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
def _function(module: str, name: str) -> Callable[..., pa.Array]:
    return scalar(_definition(module, name))


@cache
def _aggregation(module: str, name: str, constants: tuple[Any, ...]) -> calls.Aggregation:
    return calls.Aggregation(_definition(module, name), constants)


def _scalar(module: str, name: str, *arrays: pa.Array) -> pa.Array:
    definition = _definition(module, name)
    columns = [_cast(a, p.type) for a, p in zip(arrays, definition.parameters, strict=True)]
    return _function(module, name)(*columns)


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
    wanted = arrow_type(kind)
    return array if array.type == wanted or pa.types.is_nested(wanted) else array.cast(wanted)
