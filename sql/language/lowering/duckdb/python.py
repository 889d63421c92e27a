"""Python functions that the lowered SQL calls."""

from __future__ import annotations

import duckdb
from duckdb.func import FunctionNullHandling

from opensea_metrics.sql.language.lowering.rare import table
from opensea_metrics.sql.language.lowering.records.exact import exact
from opensea_metrics.sql.language.values.timestamp_formats import timestamp_format
from opensea_metrics.udfs import duckdb as udfs


def register(connection: duckdb.DuckDBPyConnection) -> None:
    """Register the functions with a database. Its other connections see them too."""
    for definition in table.definitions().values():
        udfs.register_scalar(connection, definition)
    connection.create_function("exact_record", exact, ["VARCHAR", "VARCHAR"], "VARCHAR")
    # DuckDB does not allow a NULL result from a function with default NULL handling.
    connection.create_function(
        "time_of_text", _time, ["VARCHAR", "VARCHAR"], "BIGINT", null_handling=FunctionNullHandling.SPECIAL
    )


def _time(text: str | None, pattern: str) -> int | None:
    return None if text is None else timestamp_format(pattern).milliseconds(text)
