"""A table joined with a table on their keys: each change of one side meets the newest row of the other."""

from __future__ import annotations

import duckdb

from opensea_metrics.deploy.embedded.queries.ordered.side import Side, keep_newest, packed

_ALIVE = {"INNER": "_l AND _r", "LEFT": "_l", "RIGHT": "_r", "FULL": "_l OR _r"}
_ORDER = "PARTITION BY _key ORDER BY _n, _s"


def join(
    cursor: duckdb.DuckDBPyConnection,
    left: Side,
    right: Side,
    rows: tuple[str, str],
    side: str,
    result: str,
) -> None:
    """Create the temporary table ``result`` of the changes of the joined table.

    ``rows`` are the tables with the newest rows of both sides before these items. They are brought up to date.
    A row whose sides are both gone is deleted, if there was one.
    """
    changes = []
    for one, table, is_left in ((left, rows[0], True), (right, rows[1], False)):
        changed = f"SELECT _key FROM ({left.items}) UNION SELECT _key FROM ({right.items})"
        older = f"SELECT * FROM {table} SEMI JOIN ({changed}) AS new USING (_key)"
        own, empty = packed(one.names, ""), f"NULL AS {'r' if is_left else 'l'}"
        pair = f"{own} AS l, {empty}" if is_left else f"{empty}, {own} AS r"
        for items in (older, one.items):
            changes.append(f"SELECT _key, _n, _s, _part, _time, {pair} FROM ({items})")
    seen = (
        "SELECT _key, _n, _s, _part, _time,"
        f" last_value(l IGNORE NULLS) OVER ({_ORDER}) AS l, last_value(r IGNORE NULLS) OVER ({_ORDER}) AS r"
        f" FROM ({' UNION ALL '.join(changes)})"
    )
    alive = f"SELECT *, coalesce(NOT l._gone, false) AS _l, coalesce(NOT r._gone, false) AS _r FROM ({seen})"
    alive = f"SELECT *, {_ALIVE[side]} AS _alive FROM ({alive})"
    alive = f"SELECT *, coalesce(lag(_alive) OVER ({_ORDER}), false) AS _was FROM ({alive})"
    # A deleted row keeps its columns, because the key of the result may be one of them.
    of_left = [f"CASE WHEN _l OR NOT _alive THEN l.{name} END AS {name}" for name in left.names]
    of_right = [f"CASE WHEN _r OR NOT _alive THEN r.{name} END AS {name}" for name in right.names]
    time = "greatest(_time, CASE WHEN _l THEN l._time END, CASE WHEN _r THEN r._time END)"
    order = ["_n", "_s", "_part", f"{time} AS _time", "NOT _alive AS _gone", "_key"]
    cursor.execute(
        f"CREATE OR REPLACE TEMP TABLE {result} AS SELECT {', '.join([*of_left, *of_right, *order])}"
        f" FROM ({alive}) WHERE _n >= 0 AND (_alive OR _was)"
    )
    keep_newest(cursor, rows[0], left)
    keep_newest(cursor, rows[1], right)
