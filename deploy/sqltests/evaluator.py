"""Computes the value expressions of assertions with DuckDB."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from typing import Any

import duckdb
from sqlglot import exp

from opensea_metrics.core.database import Setting, scratch_database
from opensea_metrics.sql.language.lowering.duckdb.expressions import Lowering
from opensea_metrics.sql.language.lowering.duckdb.setup import SETUP, register_functions
from opensea_metrics.sql.language.queries.scope import Scope
from opensea_metrics.udfs import duckdb as udfs


class Evaluator:
    """Computes values of assertions with DuckDB, in its own database. The database is opened on first use."""

    def __init__(self) -> None:
        self._resources = ExitStack()

    @cached_property
    def database(self) -> duckdb.DuckDBPyConnection:
        """The database, with all functions that lowered SQL calls."""
        settings: dict[str, Setting] = {"error_on_division_by_zero": False}
        database, _ = self._resources.enter_context(scratch_database(settings=settings, setup=SETUP))
        udfs.register(database)
        register_functions(database)
        return database

    def value(self, expression: exp.Expression, scope: Scope) -> Any:
        """The value of an expression without columns."""
        ((value,),) = self.database.execute(f"SELECT {Lowering(scope).whole(expression)}").fetchall()
        return value

    def close(self) -> None:
        self._resources.close()
