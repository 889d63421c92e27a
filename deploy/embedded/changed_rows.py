"""Rows of an aggregation's state that new rows change."""

from __future__ import annotations

import duckdb

from opensea_metrics.sql.language.lowering.duckdb.selects import Grouping


def take_out(
    cursor: duckdb.DuckDBPyConnection,
    grouping: Grouping,
    table: str,
    same: str,
    delta: str = "delta",
    is_empty: bool = False,
) -> None:
    """Take the rows that ``delta`` changes out of the state in ``table``, and write them, merged, into ``changed``.

    ``same`` is the condition for a row ``old`` of the state and a row ``new`` of ``delta``.
    ``is_empty`` means that the state has no rows.
    """
    changed = f"SELECT * FROM {delta}"
    if not is_empty:
        older = f"SELECT 0 AS _src, old.* EXCLUDE (_off) FROM {table} AS old SEMI JOIN {delta} AS new ON {same}"
        changed = grouping.merge(f"{older} UNION ALL BY NAME SELECT 1 AS _src, * FROM {delta}")
    cursor.execute(f"CREATE OR REPLACE TEMP TABLE changed AS {changed}")
    if not is_empty:
        cursor.execute(f"DELETE FROM {table} AS old USING {delta} AS new WHERE {same}")
