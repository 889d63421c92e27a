"""Rows of an aggregation's state that new rows change."""

from __future__ import annotations

import duckdb

from opensea_metrics.sql.language.lowering.duckdb.groupings import Grouping


def take_out(
    cursor: duckdb.DuckDBPyConnection,
    grouping: Grouping,
    table: str,
    same: str,
    delta: str = "delta",
    newest_window: int | None = None,
) -> None:
    """Take the rows that ``delta`` changes out of the state in ``table``, and write them, merged, into ``changed``.

    ``same`` is the condition for a row ``old`` of the state and a row ``new`` of ``delta``. With ``newest_window``, the
    state has no rows of windows that start later (epoch ms), so such rows of ``delta`` are not merged.
    """
    older, later = f"SELECT * FROM {delta}", ""
    if newest_window is not None:
        older += f" WHERE _ws <= {newest_window}"
        later = f" UNION ALL BY NAME SELECT * FROM {delta} WHERE _ws > {newest_window}"
    known = f"SELECT 0 AS _src, old.* EXCLUDE (_off) FROM {table} AS old SEMI JOIN {delta} AS new ON {same}"
    merged = grouping.merge(f"{known} UNION ALL BY NAME SELECT 1 AS _src, * FROM ({older})")
    cursor.execute(f"CREATE OR REPLACE TEMP TABLE changed AS SELECT * FROM ({merged}){later}")
    cursor.execute(f"DELETE FROM {table} AS old USING {delta} AS new WHERE {same}")
