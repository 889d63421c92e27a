"""Registers the functions with DuckDB.

Scalar and table functions have their SQL names. Table functions return lists, to be used with ``unnest``. A function
with an expression of DuckDB's SQL becomes a macro. An aggregate without a native form becomes three functions over
states as JSON text: ``NAME_partial``, ``NAME_merge`` and ``NAME_finish``. ``Definition.in_duckdb`` writes their calls.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa
from duckdb.func import FunctionNullHandling, PythonUDFType

from opensea_metrics.core.definition import Definition, NativeState
from opensea_metrics.core.quoting import quoted
from opensea_metrics.core.types import STRING
from opensea_metrics.core.types import duckdb as duckdb_type
from opensea_metrics.udfs import arrow, calls, registry


def register(connection: duckdb.DuckDBPyConnection) -> None:
    """Register all functions with a database. Its other connections see them too.

    The functions stay until the database is closed. They do not become part of its file.
    """
    for definition in registry.functions().values():
        if definition.kind == "aggregate":
            _register_aggregate(connection, definition)
        else:
            register_scalar(connection, definition)


def register_scalar(connection: duckdb.DuckDBPyConnection, definition: Definition) -> None:
    """Register one scalar or table function with a database."""
    if definition.duckdb is not None:
        names = [f"c{i}" for i in range(len(definition.parameters))]
        macro = f"{quoted(definition.name)}({', '.join(names)}) AS ({definition.duckdb.format(*names)})"
        connection.execute(f"CREATE OR REPLACE MACRO {macro}")
        return
    parameters = [duckdb_type(p.type) for p in definition.parameters]
    result = duckdb_type(definition.result)
    _create(connection, definition.name, _scalar(definition), parameters, result)


# DuckDB's threads may call a function once more after its database is closed, for example when a query failed. So the
# functions exist as long as the process.
@cache
def _scalar(definition: Definition) -> Callable[..., pa.Array]:
    return arrow.scalar(definition)


def _register_aggregate(connection: duckdb.DuckDBPyConnection, definition: Definition) -> None:
    constants = [duckdb_type(p.type) for p in definition.constants]
    partial, merge, finish = _of_aggregate(definition)
    result = duckdb_type(definition.result)
    if native := definition.native:
        for macro in native.macros:
            connection.execute(macro)
        if isinstance(native.finish, NativeState):
            _create(connection, f"{definition.name}_finish", finish, [native.finish.type, *constants], result)
        return

    columns = ", ".join(f"c{i} {duckdb_type(p.type)}" for i, p in enumerate(definition.parameters))
    for suffix, function, first, returned in (
        ("partial", partial, f"STRUCT({columns})[]", "VARCHAR"),
        ("merge", merge, "VARCHAR[]", "VARCHAR"),
        ("finish", finish, "VARCHAR", result),
    ):
        _create(connection, f"{definition.name}_{suffix}", function, [first, *constants], returned)


@cache
def _of_aggregate(definition: Definition) -> tuple[Callable[..., pa.Array], ...]:
    """The functions of an aggregate: partial, merge and finish. See :func:`_scalar` for why they are kept."""

    @cache
    def of_constants(*constants: Any) -> calls.Aggregation:
        return calls.Aggregation(definition, constants)

    def by_row(call: Callable[..., Any], kind: pa.DataType) -> Callable[..., pa.Array]:
        def rows(*columns: pa.Array) -> pa.Array:
            arguments = zip(*(column.to_pylist() for column in columns), strict=True)
            return arrow.array((call(of_constants(*constants), first) for first, *constants in arguments), kind)

        return rows

    def partial(aggregation: calls.Aggregation, rows: Sequence[dict[str, Any]]) -> str:
        return aggregation.partial([tuple(row.values()) for row in rows])

    def finish(aggregation: calls.Aggregation, state: Any) -> Any:
        native = definition.native
        if native and isinstance(native.finish, NativeState):
            return aggregation.finished(native.finish.read(state or []))
        return aggregation.finish(state)

    text = arrow.arrow_type(STRING)
    finished = by_row(finish, arrow.arrow_type(definition.result))
    return by_row(partial, text), by_row(calls.Aggregation.merged, text), finished


def _create(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    function: Any,
    parameters: list[str],
    result: str,
) -> None:
    if not hasattr(function, "__signature__"):
        # DuckDB counts a function's parameters, and it would count *columns as one.
        function.__signature__ = inspect.Signature(
            [inspect.Parameter(f"a{i}", inspect.Parameter.POSITIONAL_ONLY) for i in range(len(parameters))]
        )
    # The call goes through Arrow, because DuckDB's other way turns NaN into NULL.
    connection.create_function(
        name,
        function,
        [*parameters],
        result,
        type=PythonUDFType.ARROW,
        null_handling=FunctionNullHandling.SPECIAL,
    )
