"""A table joined with a table on a column that is not its key.

The result has a row for each key of the left table. It follows from the newest rows of both tables, so a batch changes
each row at most once: at the last change of its two sides.
"""

from __future__ import annotations

import duckdb

from opensea_metrics.deploy.embedded.queries.ordered.side import Side, keep_newest

FOREIGN = "_foreign"
"""The left side's column of ON, as a column of its items."""


def join(
    cursor: duckdb.DuckDBPyConnection,
    left: Side,
    right: Side,
    rows: tuple[str, str],
    is_outer: bool,
    result: str,
) -> None:
    """Create the temporary table ``result`` of the changes of the joined table.

    ``left`` has the column :data:`FOREIGN`. ``rows`` are the tables with the newest rows of both sides before these
    items. They are brought up to date.
    """
    keep_newest(cursor, rows[0], left)
    keep_newest(cursor, rows[1], right)
    last = "QUALIFY row_number() OVER (PARTITION BY _key ORDER BY _n DESC, _s DESC) = 1"
    of_left = f"SELECT * FROM ({left.items}) {last}"
    of_right = f"SELECT * FROM ({right.items}) {last}"
    cursor.execute(f"CREATE OR REPLACE TEMP TABLE last_right AS {of_right}")
    # A row of the left table that is gone stands in the changes only, any other one in the newest rows.
    cursor.execute(
        f"CREATE OR REPLACE TEMP TABLE last_left AS SELECT * FROM ({of_left}) UNION ALL BY NAME"
        f" SELECT * FROM {rows[0]} WHERE {FOREIGN} IN (SELECT _key FROM last_right)"
        f" AND _key NOT IN (SELECT _key FROM ({left.items}))"
    )
    is_met = "r._key IS NOT NULL"
    alive = "NOT l._gone" if is_outer else f"NOT l._gone AND {is_met}"
    selected = [
        *(f"l.{name}" for name in left.names),
        *(f"r.{name}" for name in right.names),
        "greatest(l._n, c._n) AS _n", "0 AS _s",
        "CASE WHEN l._n >= coalesce(c._n, -1) THEN l._part ELSE c._part END AS _part",
        # A change of the right table gives its time, even if it deletes the row.
        "greatest(l._time, r._time, CASE WHEN c._n > l._n THEN c._time END) AS _time",
        f"NOT ({alive}) AS _gone", "l._key AS _key",
    ]  # fmt: skip
    cursor.execute(
        f"CREATE OR REPLACE TEMP TABLE {result} AS SELECT {', '.join(selected)} FROM last_left AS l"
        f" LEFT JOIN {rows[1]} AS r ON l.{FOREIGN} = r._key AND NOT l._gone"
        f" LEFT JOIN last_right AS c ON l.{FOREIGN} = c._key"
    )
