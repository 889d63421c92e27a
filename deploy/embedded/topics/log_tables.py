"""The tables of the schemas ``log`` and ``state``: their names, and which ones exist."""

from __future__ import annotations

import duckdb

from opensea_metrics.core.quoting import quoted

SEPARATOR = " of "
BASE = " from "
"""In the name of a chunk's table, this separates the name of the log from the number of the chunk's first row."""


def log_table(topic: str, feed: str) -> str:
    """The name, in schema ``log``, of the table with a feed's rows of a topic."""
    return f"{topic}{SEPARATOR}{feed}"


def chunk_table(topic: str, feed: str, base: int) -> str:
    """The table of a chunk of a log."""
    return f"log.{quoted(f'{log_table(topic, feed)}{BASE}{base}')}"


def state_table(query_id: str) -> str:
    """The table with an aggregation's state."""
    return f"state.{quoted(query_id)}"


def delete_state(cursor: duckdb.DuckDBPyConnection, query_id: str) -> None:
    """Drop the tables with a query's state. Their names are the query's id, or begin with the id and a space."""
    tables = cursor.execute(
        "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'state'"
        " AND (table_name = $id OR starts_with(table_name, $id || ' '))",
        {"id": query_id},
    ).fetchall()
    for (table,) in tables:
        cursor.execute(f"DROP TABLE {state_table(table)}")


def topic_of(table: str) -> str:
    """The topic of a table of schema ``log``."""
    return table.partition(SEPARATOR)[0]


def rows_of(cursor: duckdb.DuckDBPyConnection, table: str) -> int:
    """The number of rows of a table."""
    # All of the result is fetched, because nothing can be registered while one is unfinished.
    ((count,),) = cursor.execute(f"SELECT count(*) FROM {table}").fetchall()
    return int(count)


def logs(cursor: duckdb.DuckDBPyConnection) -> dict[str, tuple[str, ...]]:
    """The log tables, with their columns. The tables of dropped chunks have no columns."""
    rows = cursor.execute(
        "SELECT table_name, list(column_name ORDER BY column_index) FROM duckdb_columns() "
        "WHERE schema_name = 'log' GROUP BY table_name ORDER BY table_name"
    ).fetchall()
    dropped = cursor.execute("SELECT log, base FROM meta.chunks WHERE dropped IS NOT NULL").fetchall()
    gone: dict[str, tuple[str, ...]] = {f"{log}{BASE}{base}": () for log, base in dropped}
    return gone | {name: tuple(columns) for name, columns in rows}


def delete_logs(cursor: duckdb.DuckDBPyConnection, topic: str) -> None:
    """Drop the log tables of a topic."""
    begin = log_table(topic, "")
    for table, columns in logs(cursor).items():
        if columns and table.startswith(begin):
            cursor.execute(f"DROP TABLE log.{quoted(table)}")
    for table in ("chunks", "chunk_files"):
        cursor.execute(f"DELETE FROM meta.{table} WHERE starts_with(log, ?)", [begin])
