"""What an ordered query writes: a stream's log, a table's newest rows, or groups."""

from __future__ import annotations

import duckdb

from opensea_metrics.core.quoting import column as column_of
from opensea_metrics.deploy.embedded.topics import chunks, feeds, log_tables
from opensea_metrics.deploy.embedded.topics.record_topic import RECORD, UNREADABLE
from opensea_metrics.sql.language.catalog.catalog import Query
from opensea_metrics.sql.language.lowering.duckdb import ordered, selects

_ORDER = ordered.ORDER


def create_rows(cursor: duckdb.DuckDBPyConnection, query: Query, items: str) -> None:
    """Create the empty table of the newest rows of a table that is not grouped. ``items`` have the right types."""
    changes = ordered.changes(query.analysis, f"SELECT * FROM ({items}) LIMIT 0")
    cursor.execute(
        f"CREATE OR REPLACE TABLE {log_tables.state_table(query.id)} AS"
        f" SELECT * EXCLUDE ({', '.join(_ORDER)}), _time AS ROWTIME, 0::BIGINT AS _off FROM ({changes})"
    )


def log_rows(query: Query, items: str) -> str:
    """The rows of a stream in the order of its items, for a chunk of its log."""
    empty = ", ".join(f"NULL::VARCHAR AS {name}" for name in UNREADABLE)
    in_order = f"SELECT * FROM ({ordered.rows(query.analysis, items)}) ORDER BY _n, _s"
    return selects.rows(query.analysis, f"SELECT *, {empty} FROM ({in_order})", UNREADABLE, RECORD)


def create_chunk(cursor: duckdb.DuckDBPyConnection, query: Query, items: str, sink_topic: str, base: int) -> None:
    """Create an empty chunk of a stream's log. ``items`` have the right types."""
    table = log_tables.chunk_table(sink_topic, feeds.json_log_id(query.id), base)
    cursor.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM ({log_rows(query, items)}) LIMIT 0")


def next_chunk(cursor: duckdb.DuckDBPyConnection, query: Query, sink_topic: str) -> int:
    """The first row number of the chunk for the next rows of a stream's log. It is created if it does not exist.

    Not within a transaction that adds rows: DuckDB 2.0 loses rows that a transaction inserts into a table that it has
    created without rows.
    """
    feed = feeds.json_log_id(query.id)
    log = feeds.json_log(log_tables.logs(cursor), sink_topic, feed)
    assert log is not None
    last = log.chunks[-1]
    base = chunks.next_base(last, log_tables.rows_of(cursor, last.table))
    if base != last.base:
        table = log_tables.chunk_table(sink_topic, feed, base)
        cursor.execute(f"CREATE TABLE {table} AS SELECT * FROM {last.table} LIMIT 0")
    return base


def append(cursor: duckdb.DuckDBPyConnection, query: Query, items: str, sink_topic: str, base: int) -> None:
    """Add rows to the chunk of a stream's log that begins at ``base``, within a transaction. The chunk exists."""
    feed = feeds.json_log_id(query.id)
    table = log_tables.chunk_table(sink_topic, feed, base)
    before = base + log_tables.rows_of(cursor, table)
    numbered = f"SELECT * REPLACE ({before} + row_number() OVER () - 1 AS ROWOFFSET) FROM ({log_rows(query, items)})"
    cursor.execute(f"INSERT INTO {table} {numbered}")
    chunks.note(cursor, log_tables.log_table(sink_topic, feed), base, query.analysis.source.topic, None)


def stream_rows(query: Query, items: str) -> str:
    """The rows of a stream as a client gets them: ``_off`` is their order."""
    relation = f"SELECT *, 0::BIGINT AS _off FROM ({ordered.rows(query.analysis, items)})"
    written = selects.rows(query.analysis, relation, carried=("_n", "_s"))
    return f"SELECT * REPLACE (row_number() OVER (ORDER BY _n, _s) AS _off) FROM ({written})"


def newest_rows(query: Query, items: str) -> str:
    """The newest row of each key that has changed in a table, unless it is deleted. ``_off`` is their order."""
    newest = f"SELECT * FROM ({items}) QUALIFY row_number() OVER (PARTITION BY _key ORDER BY _n DESC, _s DESC) = 1"
    order = "row_number() OVER (ORDER BY _n, _s) AS _off"
    return f"SELECT *, _time AS ROWTIME, {order} FROM ({ordered.changes(query.analysis, newest)}) WHERE NOT _gone"


def merge(cursor: duckdb.DuckDBPyConnection, query: Query, items: str, first: int, result: str) -> int:
    """Merge changes into the newest rows of a table, within a transaction.

    The temporary table ``result`` gets all changes in their order, as :data:`sent` reads them. The newest row of each
    changed key gets a number, from ``first`` on. Returns the number after the last.
    """
    table = log_tables.state_table(query.id)
    keys = [column_of(column.name) for column in query.analysis.columns if column.is_key]
    changes = ordered.changes(query.analysis, items)
    cursor.execute(f"CREATE OR REPLACE TEMP TABLE {result} AS {changes}")
    newest = (
        f"SELECT * FROM {result}"
        f" QUALIFY row_number() OVER (PARTITION BY {', '.join(keys)} ORDER BY _n DESC, _s DESC) = 1"
    )
    same = " AND ".join(f"old.{key} IS NOT DISTINCT FROM new.{key}" for key in keys)
    cursor.execute(f"CREATE OR REPLACE TEMP TABLE newest AS {newest}")
    cursor.execute(f"DELETE FROM {table} AS old USING newest AS new WHERE {same}")
    number = f"{first} + row_number() OVER (ORDER BY _n, _s) - 1"
    cursor.execute(
        f"INSERT INTO {table} BY NAME SELECT * EXCLUDE ({', '.join(_ORDER)}), _time AS ROWTIME, {number} AS _off"
        " FROM newest WHERE NOT _gone"
    )
    (count,) = cursor.execute("SELECT count(*) FROM newest WHERE NOT _gone").fetchone()  # type: ignore[misc]
    return first + int(count)


def sent(changes: str) -> str:
    """The changes of a table as its readers take them."""
    return (
        f"SELECT * EXCLUDE ({', '.join(_ORDER)}), _time AS ROWTIME, _part AS ROWPARTITION, 0::BIGINT AS ROWOFFSET,"
        f" _gone AS _tombstone, row_number() OVER (ORDER BY _n, _s) - 1 AS _off FROM {changes}"
    )
