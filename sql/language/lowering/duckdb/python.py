"""Python functions that the lowered SQL calls."""

from __future__ import annotations

from threading import Lock

import duckdb
from duckdb.func import FunctionNullHandling

from opensea_metrics.sql.language.lowering.rare import table
from opensea_metrics.sql.language.lowering.records.exact import exact
from opensea_metrics.sql.language.values.timestamp_formats import timestamp_format
from opensea_metrics.udfs import duckdb as udfs


def register(connection: duckdb.DuckDBPyConnection) -> None:
    """Register all functions with a database. Its other connections see them too."""
    for definition in table.definitions().values():
        udfs.register_scalar(connection, definition)
    _register_for_records(connection)


class CalledFunctions:
    """Registers the functions that statements call, each before the first statement that calls it. Safe in threads.

    In a process for one run, to register all functions would take longer than to open the database.
    """

    def __init__(self, database: duckdb.DuckDBPyConnection, at_once: bool) -> None:
        """The functions that decode records are registered now, and with ``at_once`` all others too."""
        self._database = database
        self._names = set(table.definitions() if at_once else ())
        self._lock = Lock()
        (register if at_once else _register_for_records)(database)

    def register(self, statement: str) -> None:
        """Register the functions that a statement calls. It must have been lowered in this process."""
        if _PREFIX not in statement:
            return
        with self._lock, self._database.cursor() as connection:
            for definition in table.called(statement):
                if definition.name not in self._names:
                    udfs.register_scalar(connection, definition)
                    self._names.add(definition.name)


_PREFIX = "KSQL_"
"""The beginning of the functions' names."""


def _register_for_records(connection: duckdb.DuckDBPyConnection) -> None:
    """Register the functions that decode records."""
    connection.create_function("exact_record", exact, ["VARCHAR", "VARCHAR"], "VARCHAR")
    # DuckDB does not allow a NULL result from a function with default NULL handling.
    connection.create_function(
        "time_of_text", _time, ["VARCHAR", "VARCHAR"], "BIGINT", null_handling=FunctionNullHandling.SPECIAL
    )


def _time(text: str | None, pattern: str) -> int | None:
    return None if text is None else timestamp_format(pattern).milliseconds(text)
