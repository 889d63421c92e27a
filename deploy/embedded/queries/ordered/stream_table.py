"""A stream joined with a table: each record meets the table's row as it was when the record's turn came."""

from __future__ import annotations

import duckdb

from opensea_metrics.deploy.embedded.queries.ordered.side import Side, keep_newest


def join(
    cursor: duckdb.DuckDBPyConnection, left: Side, right: Side, rows: str, is_outer: bool, result: str
) -> None:
    """Create the temporary table ``result`` of the joined items.

    ``rows`` is the table with the right side's newest rows before these items. It is brought up to date.
    """
    columns = ", ".join(["_key", "_n", "_gone", *right.names])
    versions = (
        f"SELECT {columns} FROM {rows} SEMI JOIN ({left.items}) AS new USING (_key)"
        f" UNION ALL SELECT {columns} FROM ({right.items})"
    )
    of_left = ", ".join(f"l.{name}" for name in left.columns)
    of_right = ", ".join(f"CASE WHEN NOT r._gone THEN r.{name} END AS {name}" for name in right.names)
    kept = "" if is_outer else " WHERE NOT r._gone"
    (changes,) = cursor.execute(f"SELECT count(*) FROM ({right.items})").fetchone()  # type: ignore[misc]
    if changes:
        joined = f"ASOF LEFT JOIN ({versions}) AS r ON l._key = r._key AND l._n > r._n"
    else:
        joined = f"LEFT JOIN {rows} AS r ON l._key = r._key"
    selected = ", ".join(filter(None, [of_left, of_right]))
    cursor.execute(
        f"CREATE OR REPLACE TEMP TABLE {result} AS SELECT {selected} FROM ({left.items}) AS l {joined}{kept}"
    )
    keep_newest(cursor, rows, right)
