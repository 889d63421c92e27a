"""Registers the functions with DuckDB.

Scalar and table functions have their SQL names. Table functions return lists, to be used with ``unnest``. An
aggregate without a native form becomes three functions over states as JSON text: ``NAME_partial``,
``NAME_merge`` and ``NAME_finish``. ``Definition.in_duckdb`` writes their calls.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa
from duckdb.func import FunctionNullHandling, PythonUDFType

from opensea_metrics.core.definition import Definition
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
    """Make one scalar or table function known to a database."""
    parameters = [duckdb_type(p.type) for p in definition.parameters]
    result = duckdb_type(definition.result)
    _create(connection, definition.name, _scalar(definition), parameters, result)


# DuckDB's threads may call a function once more after its database is closed, for example when a query failed. So the
# functions exist as long as the process.
@cache
def _scalar(definition: Definition) -> Callable[..., pa.Array]:
    return arrow.scalar(definition)


def _register_aggregate(connection: duckdb.DuckDBPyConnection, definition: Definition) -> None:
    if definition.native is not None:
        for macro in definition.native.macros:
            connection.execute(macro)
        return

    columns = ", ".join(f"c{i} {duckdb_type(p.type)}" for i, p in enumerate(definition.parameters))
    constants = [duckdb_type(p.type) for p in definition.constants]
    partial, merge, finish = _of_aggregate(definition)
    for suffix, function, first, result in (
        ("partial", partial, f"STRUCT({columns})[]", "VARCHAR"),
        ("merge", merge, "VARCHAR[]", "VARCHAR"),
        ("finish", finish, "VARCHAR", duckdb_type(definition.result)),
    ):
        _create(connection, f"{definition.name}_{suffix}", function, [first, *constants], result)


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

    text = arrow.arrow_type(STRING)
    finish = by_row(calls.Aggregation.finish, arrow.arrow_type(definition.result))
    return by_row(partial, text), by_row(calls.Aggregation.merged, text), finish


def _create(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    function: Any,
    parameters: list[str],
    result: str,
) -> None:
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
