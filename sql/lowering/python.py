"""Python functions that the lowered SQL calls."""

from __future__ import annotations

import duckdb

from sql.lowering.exact import exact


def register(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the functions known to a database: its other connections see them too."""
    connection.create_function("exact_record", exact, ["VARCHAR", "VARCHAR"], "VARCHAR")
