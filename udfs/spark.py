"""Registers the functions with Spark, as Arrow UDFs of a session.

Spark does not allow table functions in Python in SELECT. So they are registered as functions that return arrays, which
the SQL explodes.
Aggregates receive a whole group at once, in no particular order. The code is sent to the workers, where the
packages that it needs must be installed.
"""

from __future__ import annotations

import atexit
import importlib
import io
import os
import re
import shutil
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

import opensea_metrics
from opensea_metrics.core.definition import OF_LIST, Definition, UdfError
from opensea_metrics.core.types import KsqlType
from opensea_metrics.core.types import spark as spark_type
from opensea_metrics.udfs import calls, registry
from opensea_metrics.udfs.api import ATTRIBUTE
from opensea_metrics.udfs.arrow import array as array_of
from opensea_metrics.udfs.arrow import arrow_type, scalar

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

def register(session: SparkSession) -> None:
    """Register all functions with a session's SQL (see :func:`register_definitions`)."""
    send(session)
    register_definitions(session, registry.functions().values())


def register_definitions(session: SparkSession, definitions: Iterable[Definition]) -> None:
    """Register functions under their names with a session whose workers have the package (:func:`send`).

    An aggregate has two functions, because Spark cannot combine Python aggregates with its own in one SELECT. The
    second function, NAME_OF_LIST, takes an array of structs (the rows in order) and the constants. Raises UdfError for
    a function with a type that Spark does not have (TIME).
    """
    spark: Any = importlib.import_module("pyspark.sql.functions")
    with warnings.catch_warnings():
        # Hides Spark's warning that pyarrow type hints are preferred to the function type.
        warnings.simplefilter("ignore", UserWarning)
        for definition in definitions:
            if definition.kind == "aggregate":
                call, kind = _aggregate, spark.ArrowUDFType.GROUPED_AGG
            else:
                call, kind = _scalar, spark.ArrowUDFType.SCALAR
            function = spark.arrow_udf(_bound(call, definition), ddl(definition), kind)
            session.udf.register(definition.name, function)
            if definition.kind == "aggregate":
                of_list = spark.arrow_udf(
                    _bound(_aggregate_list, definition), ddl(definition), spark.ArrowUDFType.SCALAR
                )
                session.udf.register(definition.name + OF_LIST, of_list)


def send(session: SparkSession) -> None:
    """Make a session's workers import this version of the package, and the project's own functions."""
    _send_package(session.sparkContext)
    for file in registry.own_files():
        session.sparkContext.addPyFile(str(file))


def local_session() -> SparkSession:
    """A small Spark in this process, whose workers run the same Python. Raises UdfError if pyspark or Java is
    missing."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    options = {
        "spark.master": "local[2]",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.variable.substitute": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
    }
    return started(options)


def started(options: Mapping[str, str]) -> SparkSession:
    """The Spark session of this process. If there is none, it is started with ``options``.

    Java's warnings are not shown. Raises UdfError if pyspark or Java is missing, or Spark does not start.
    """
    try:
        from py4j.protocol import Py4JError
        from pyspark import SparkConf, SparkContext
        from pyspark.errors import PySparkException
        from pyspark.java_gateway import launch_gateway
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise UdfError("Spark is not installed: pip install 'opensea-metrics[spark]'") from error
    with tempfile.TemporaryFile() as warnings_of_java:
        try:
            if SparkContext._gateway is None:
                conf = SparkConf(loadDefaults=False).setAll([*options.items()])
                # pyspark lets Java write to our stderr, and has no option for that.
                java = launch_gateway(conf, {"stderr": warnings_of_java})  # type: ignore[no-untyped-call]
                SparkContext._ensure_initialized(gateway=java)
            return SparkSession.builder.config(map={**options}).getOrCreate()
        except (PySparkException, Py4JError) as error:
            warnings_of_java.seek(0)
            last = warnings_of_java.read().decode(errors="replace").strip().splitlines()[-3:]
            where = options["spark.master"]
            raise UdfError("\n  ".join((f"Spark does not start at {where}: {first_reason(error)}", *last))) from error


def first_reason(error: Exception) -> str:
    """The cause of an error, in one line: the exception of a worker's Python, or else Java's message.

    In an error of py4j, Java's message is the line that begins with a colon.
    """
    text = str(error).strip() or type(error).__name__
    if raised := re.search(r"^.*Traceback \(most.*\n(?:[ \t].*\n)+(\S.*)", text, re.MULTILINE):
        return raised[1]
    lines = text.splitlines()
    return next((line.lstrip(": ") for line in lines if line.startswith(": ")), lines[0])


def ddl(definition: Definition) -> str:
    """The type of the result in Spark's notation."""
    try:
        return spark_type(definition.result)
    except ValueError as error:
        raise UdfError(f"{definition.place}: {error}") from None


@cache
def _send_package(context: SparkContext) -> None:
    """Once for each Spark, whose sessions share the files."""
    root = Path(opensea_metrics.__path__[0])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in _modules(root):
            archive.writestr(zipfile.ZipInfo(f"{root.name}/{file.relative_to(root)}"), file.read_bytes())
    folder = Path(tempfile.mkdtemp(prefix="opensea-metrics-"))
    # Workers may fetch the file at any time while Spark runs.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / f"{root.name}.zip"
    path.write_bytes(packed.getvalue())
    context.addPyFile(str(path))


def _modules(folder: Path) -> Iterator[Path]:
    """The files of a package, in order. In a checkout its parts are links, which rglob does not follow."""
    for entry in sorted(folder.iterdir()):
        if entry.is_dir():
            yield from _modules(entry)
        elif entry.suffix == ".py":
            yield entry


def _bound(
    call: Callable[..., Any], definition: Definition
) -> Callable[..., Any]:
    """The call for one function. The worker finds it by its module and name."""
    module, name = definition.call.__module__, definition.call.__name__

    def bound(*arrays: pa.Array) -> Any:
        return call(module, name, *arrays)

    return bound


@cache
def _definition(module: str, name: str) -> Definition:
    definition: Definition = getattr(getattr(importlib.import_module(module), name), ATTRIBUTE)
    return definition


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


def _aggregate_list(module: str, name: str, *arrays: pa.Array) -> pa.Array:
    definition = _definition(module, name)
    lists, *constants = (array.to_pylist() for array in arrays)
    results = []
    for row, *given in zip(lists, *constants, strict=True):
        aggregation = _aggregation(module, name, tuple(given))
        rows = [tuple(struct.values()) for struct in row or ()]
        results.append(aggregation.finish(aggregation.partial(rows)))
    return array_of(results, arrow_type(definition.result))


def _cast(array: pa.Array, kind: KsqlType) -> pa.Array:
    """Cast to the SQL type. Spark's own functions return other widths of numbers, and a bare NULL has no type."""
    wanted = arrow_type(kind)
    return array if array.type == wanted or pa.types.is_nested(wanted) else array.cast(wanted)
