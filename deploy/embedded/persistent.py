"""Persistent queries: moves data from topics into logs and states, one batch at a time.

A batch and the positions after it are written in one transaction, so a record counts once even after a crash. The
same transaction records which parts of files a query has not read (``meta.unread``).
"""

from __future__ import annotations

import duckdb

from opensea_metrics.deploy.embedded import (
    aggregation,
    chunks,
    failures,
    feeds,
    log_tables,
    processing_log,
)
from opensea_metrics.deploy.embedded.numbering import DECODED, Numbered
from opensea_metrics.deploy.embedded.storage import transaction
from opensea_metrics.deploy.embedded.stored_topic import MOST_BYTES
from opensea_metrics.deploy.embedded.topics import (
    RECORD,
    UNREADABLE,
    Batch,
    Positions,
    ReadPosition,
    RecordTopic,
)
from opensea_metrics.deploy.embedded.unread import Unread, Why
from opensea_metrics.sql.language.catalog.catalog import Query
from opensea_metrics.sql.language.lowering.duckdb import selects

_BATCH = "batch"
CHUNK_ROWS = 250_000
"""Rows after which a log begins a new chunk."""
STREAM_TIME = "stream time"
"""Not a feed, but a counter: the greatest ROWTIME (epoch ms) that a query has seen in a partition."""
LATE = ReadPosition("late")
"""Not a position, but a counter: the rows that were left out because their window had closed before they arrived."""


def check(cursor: duckdb.DuckDBPyConnection, query: Query) -> None:
    """Let DuckDB check the lowered SQL of a query that :mod:`sql.language.lowering.support` accepts.

    Raises SqlError if DuckDB refuses it, which is a fault of the server.
    """
    analysis, nothing = query.analysis, feeds.nothing(query.analysis.source)
    if analysis.is_aggregation:
        grouping = selects.grouping(analysis)
        merged = grouping.merge(f"SELECT 0 AS _src, * FROM ({grouping.partial(nothing, None)})")
        sql = grouping.finish(f"SELECT *, 0 AS _off FROM ({merged})")
    else:
        sql = selects.rows(analysis, nothing)
    try:
        cursor.execute(sql)
    except duckdb.Error as error:
        raise failures.unreadable(error, analysis.statement.place) from error


def begin(cursor: duckdb.DuckDBPyConnection, query: Query) -> None:
    """Create the tables of a new query, which :func:`check` has passed."""
    if query.analysis.is_aggregation:
        aggregation.create(cursor, selects.grouping(query.analysis), log_tables.state_table(query.id))


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
    cursor.execute(f"DROP TABLE IF EXISTS {log_tables.state_table(query_id)}")
    cursor.execute("DELETE FROM meta.positions WHERE query = ?", [query_id])
    cursor.execute("DELETE FROM meta.unread WHERE query = ?", [query_id])


def move(
    cursor: duckdb.DuckDBPyConnection, topic: RecordTopic, query: Query, sink_topic: str
) -> bool:
    """Move one batch of records through a query. False if there is none."""
    known = positions(cursor, query.id)
    batch = next(topic.read(cursor, query.analysis.source, known, MOST_BYTES), None)
    return batch is not None and _absorb(cursor, query, batch, known, sink_topic)


def move_unread(
    cursor: duckdb.DuckDBPyConnection, topic: RecordTopic, query: Query, sink_topic: str
) -> bool:
    """Move the unread parts of files through a query, if the files have changed. False if none has changed."""
    known = positions(cursor, query.id)
    batch = topic.again(cursor, query.analysis.source, known, unread(cursor, query.id))
    return batch is not None and _absorb(cursor, query, batch, known, sink_topic)


def have_unread(cursor: duckdb.DuckDBPyConnection) -> list[str]:
    """The ids of the queries that have not read all of some file."""
    return [name for (name,) in cursor.execute("SELECT DISTINCT query FROM meta.unread").fetchall()]


def unread(cursor: duckdb.DuckDBPyConnection, query_id: str) -> list[Unread]:
    """The segments that a query has not read to their end."""
    rows = cursor.execute(
        "SELECT seq, taken, checksum, tried, why FROM meta.unread WHERE query = ?", [query_id]
    ).fetchall()
    return [
        Unread(seq, taken, checksum, tried, Why(why)) for seq, taken, checksum, tried, why in rows
    ]


def _absorb(
    cursor: duckdb.DuckDBPyConnection, query: Query, batch: Batch, known: Positions, sink_topic: str
) -> bool:
    if query.analysis.is_aggregation:
        _aggregate(cursor, query, batch, known)
    elif not batch.is_decoded:
        _append(cursor, query, batch, sink_topic)
    else:
        return False  # a selection over rows: nothing is stored (see feeds.Selection)
    batch.kept(query.id)
    return True


def positions(cursor: duckdb.DuckDBPyConnection, query_id: str) -> dict[ReadPosition, int]:
    """The positions up to which a query has read each feed of its source's topic, and the query's counters."""
    rows = cursor.execute(
        "SELECT feed, partition, position FROM meta.positions WHERE query = ?", [query_id]
    ).fetchall()
    return {ReadPosition(feed, partition): number for feed, partition, number in rows}


def set_positions(cursor: duckdb.DuckDBPyConnection, query_id: str, reached: Positions) -> None:
    """Save the positions up to which (exclusive) a query has read, and its counters."""
    values = [value for position, number in reached.items() for value in (query_id, *position, number)]
    if values:
        rows = ", ".join(["(?, ?, ?, ?)"] * len(reached))
        cursor.execute(f"INSERT OR REPLACE INTO meta.positions VALUES {rows}", values)


def _append(
    cursor: duckdb.DuckDBPyConnection, query: Query, batch: Batch, sink_topic: str
) -> None:
    """Move JSON records through a stream's SELECT into its log, in one pass."""
    analysis = query.analysis
    feed = feeds.json_log_id(query.id)
    base = _last_chunk(cursor, feed, sink_topic)
    table = log_tables.chunk_table(sink_topic, feed, base)
    empty = ", ".join(f"NULL::VARCHAR AS {name}" for name in UNREADABLE)
    nothing = f"SELECT * EXCLUDE (_off), {empty} FROM ({feeds.nothing(analysis.source)})"
    # Outside the transaction: DuckDB 2.0 loses rows that a transaction inserts into a table that the same
    # transaction has created with a CREATE TABLE AS without rows.
    cursor.execute(
        f"CREATE TABLE IF NOT EXISTS {table} AS {selects.rows(analysis, nothing, UNREADABLE, RECORD)}"
    )

    def consume(decoded: str) -> None:
        with transaction(cursor):
            before = log_tables.rows_of(cursor, table)
            cursor.execute(f"INSERT INTO {table} {selects.rows(analysis, decoded, UNREADABLE, RECORD)}")
            added = f"SELECT {', '.join(UNREADABLE)} FROM {table} WHERE rowid >= {before}"
            processing_log.record(cursor, query.id, analysis.source.topic, added)
            set_positions(cursor, query.id, batch.positions)
            batch.keep(cursor, query.id)
            log = log_tables.log_table(sink_topic, feed)
            chunks.note(cursor, log, base, analysis.source.topic, batch.whole_segments)

    batch.read(cursor, consume)


def _last_chunk(cursor: duckdb.DuckDBPyConnection, feed: str, sink_topic: str) -> int:
    """The first row number of the chunk for the next rows of a log. This is a new chunk if the last one is full."""
    log = feeds.json_log(log_tables.logs(cursor), sink_topic, feed)
    if log is None:
        return 0
    last = log.chunks[-1]
    rows = log_tables.rows_of(cursor, last.table)
    return last.base if rows < CHUNK_ROWS else last.base + rows


def _aggregate(
    cursor: duckdb.DuckDBPyConnection, query: Query, batch: Batch, known: Positions
) -> None:
    """Merge a batch into the state of an aggregation."""
    analysis = query.analysis
    numbered = Numbered(cursor, _BATCH, known.get(DECODED, 0))
    batch.read(cursor, numbered.take if not batch.is_decoded else numbered.take_rows)
    reached = {**batch.positions, DECODED: numbered.next}
    with transaction(cursor):
        if numbered.failed:
            unreadable = f"SELECT {', '.join(UNREADABLE)} FROM {_BATCH}"
            processing_log.record(cursor, query.id, analysis.source.topic, unreadable)
        seen = {position.partition: time for position, time in known.items() if position.feed == STREAM_TIME}
        times, late = aggregation.absorb(
            cursor, selects.grouping(analysis), log_tables.state_table(query.id), numbered.relation, seen
        )
        reached |= {ReadPosition(STREAM_TIME, partition): time for partition, time in times.items()}
        if late:
            reached[LATE] = known.get(LATE, 0) + late
        set_positions(cursor, query.id, reached)
        batch.keep(cursor, query.id)
