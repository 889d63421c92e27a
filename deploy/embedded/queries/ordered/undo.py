"""The changes of a table as values that come into groups and go out of them."""

from __future__ import annotations

import duckdb

from opensea_metrics.deploy.embedded.queries.ordered.side import Side, keep_newest, packed

_ORDER = "PARTITION BY _key ORDER BY _n, _s"


def signed(cursor: duckdb.DuckDBPyConnection, items: Side, rows: str, first: int, result: str) -> int:
    """Create the temporary table ``result``: the rows that come (``_sign`` is 1) and that go (-1), in order.

    ``rows`` is the table with the newest rows before these items. It is brought up to date. The result's rows have
    ``_off``, from ``first`` on. Returns the number after the last.
    """
    older = f"SELECT * FROM {rows} SEMI JOIN ({items.items}) AS new USING (_key)"
    columns = f"_key, _n, _s, _part, _time, {packed(items.names, '')} AS _row"
    both = f"SELECT {columns} FROM ({older}) UNION ALL SELECT {columns} FROM ({items.items})"
    pairs = f"SELECT *, lag(_row) OVER ({_ORDER}) AS _old FROM ({both})"
    named = ", ".join(f"_row.{name} AS {name}" for name in items.names)
    # ksqlDB first takes the old row out, and then puts the new one in.
    comes = f"SELECT {named}, _n, _s, _key, _part, _time, 1 AS _sign FROM ({pairs}) WHERE _n >= 0 AND NOT _row._gone"
    old = ", ".join(f"_old.{name} AS {name}" for name in items.names)
    goes = f"SELECT {old}, _n, _s, _key, _part, _time, -1 AS _sign FROM ({pairs}) WHERE _n >= 0 AND NOT _old._gone"
    cursor.execute(
        f"CREATE OR REPLACE TEMP TABLE {result} AS SELECT *,"
        f" {first} + row_number() OVER (ORDER BY _n, _s, _sign) - 1 AS _off"
        f" FROM ({comes} UNION ALL BY NAME {goes})"
    )
    (count,) = cursor.execute(f"SELECT count(*) FROM {result}").fetchone()  # type: ignore[misc]
    keep_newest(cursor, rows, items)
    return first + int(count)
