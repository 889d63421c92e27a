"""Runs the statements of a recompute on DuckDB: with the functions that they call, and as much memory as they need."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import duckdb

from opensea_metrics.spark_batch.memory import Memory
from opensea_metrics.sql.language.lowering.duckdb.setup import CalledFunctions

Item = TypeVar("Item")


class StatementRunner:
    """Runs statements on connections of a database. Safe for use in several threads."""

    def __init__(self, database: duckdb.DuckDBPyConnection, all_functions: bool) -> None:
        """With ``all_functions``, work may run statements without :meth:`once`."""
        self._memory = Memory(database)
        self._functions = CalledFunctions(database, all_functions)

    def register(self, statement: str) -> None:
        """Register the functions that a statement calls, before something else runs it."""
        self._functions.register(statement)

    def once(self, connection: duckdb.DuckDBPyConnection, statement: str) -> duckdb.DuckDBPyConnection:
        """Run a statement, and return its connection for the rows. Raises duckdb.Error."""
        self.register(statement)
        return connection.execute(statement)

    def number(self, connection: duckdb.DuckDBPyConnection, statement: str) -> int:
        """The number that a statement returns. For a statement that creates a table, it is the number of rows.

        Raises MemoryExhausted and duckdb.Error.
        """
        return self.enough(partial(self._number, connection, statement))

    def enough(self, work: Callable[[], Item]) -> Item:
        """The result of work with statements. It is repeated with more memory if it lacks memory (``Memory``)."""
        return self._memory.enough(work)

    def _number(self, connection: duckdb.DuckDBPyConnection, statement: str) -> int:
        return int(self.once(connection, statement).fetchall()[0][0])
