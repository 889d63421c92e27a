"""The beginning and the end of a persistent query: its tables and its positions."""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

from opensea_metrics.deploy.embedded import failures
from opensea_metrics.deploy.embedded.queries import aggregation
from opensea_metrics.deploy.embedded.queries.ordered import moving
from opensea_metrics.deploy.embedded.topics import feeds, log_tables
from opensea_metrics.sql.language.catalog.catalog import Catalog, Query
from opensea_metrics.sql.language.lowering.duckdb import groupings, selects


def check(
    cursor: duckdb.DuckDBPyConnection, query: Query, sink_topic: str, checked: Iterable[Query] = ()
) -> None:
    """Let DuckDB resolve the lowered SQL of a query that :mod:`sql.language.lowering.support` accepts.

    Raises SqlError if DuckDB refuses it, which is a fault of the server. ``checked`` are queries that have passed this
    check. A query whose SQL differs from theirs only in the numbers of its window passes it too.
    """
    analysis, nothing = query.analysis, feeds.nothing(query.analysis.source)
    if analysis.is_ordered:
        moving.check(cursor, query, sink_topic)
        return
    if analysis.is_aggregation:
        if _form(query) in (_form(other) for other in checked if other.analysis.is_plain_aggregation):
            return
        parts = groupings.grouping(analysis)
        merged = parts.merge(f"SELECT 0 AS _src, * FROM ({parts.partial(nothing, None)})")
        sql = parts.finish(f"SELECT *, 0 AS _off FROM ({merged})")
    else:
        sql = selects.rows(analysis, nothing)
    try:
        cursor.execute(f"DESCRIBE {sql}")
    except duckdb.Error as error:
        raise failures.unreadable(error, analysis.statement.place) from error


def _form(query: Query) -> object:
    """All that the SQL of an aggregation consists of, except for the numbers of its window."""
    parts, source, window = groupings.grouping(query.analysis), query.analysis.source, query.analysis.window
    kind = window and (window.kind, window.advance == window.size)
    sql = parts.key_sql, parts.aggregates, parts.columns_sql, parts.where_sql, parts.having_sql
    return *sql, source.columns, source.window is None, kind


def begin(cursor: duckdb.DuckDBPyConnection, query: Query, catalog: Catalog) -> None:
    """Create the tables of a new query, which :func:`check` has passed. ``catalog`` has the query already."""
    if query.analysis.is_ordered:
        moving.create(cursor, query, catalog)
    elif query.analysis.is_aggregation:
        aggregation.create(cursor, groupings.grouping(query.analysis), log_tables.state_table(query.id))


def take_over(cursor: duckdb.DuckDBPyConnection, query: Query, old: Query) -> None:
    """Give a query the positions and the state of the query that it replaces."""
    cursor.execute("DELETE FROM meta.positions WHERE query = ?", [query.id])
    cursor.execute("UPDATE meta.positions SET query = ? WHERE query = ?", [query.id, old.id])
    cursor.execute("UPDATE meta.unread SET query = ? WHERE query = ?", [query.id, old.id])
    if query.analysis.is_aggregation:
        table, was = log_tables.state_table(query.id), log_tables.state_table(old.id)
        cursor.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM {was}")
        cursor.execute(f"DROP TABLE {was}")


def end(cursor: duckdb.DuckDBPyConnection, query_id: str) -> None:
    """Delete the state and the positions of a query that has ended."""
    log_tables.delete_state(cursor, query_id)
    for table in ("positions", "unread"):
        cursor.execute(
            f"DELETE FROM meta.{table} WHERE query = $id OR starts_with(query, $id || ' ')", {"id": query_id}
        )
