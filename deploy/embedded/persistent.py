"""Persistent queries: data moved from topics into logs and states, a piece at a time.

A piece and the position after it are written in one transaction: whatever happens in between, a
record counts once. What a query has not read of a file is written down there too (``meta.unread``).
"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from opensea_metrics.core.quoting import quoted
from opensea_metrics.deploy.embedded import (
    aggregation,
    archive,
    failures,
    health,
    processing_log,
    topics,
)
from opensea_metrics.deploy.embedded.lines import FileLines, Unread, Why
from opensea_metrics.deploy.embedded.reader import DECODED, Json, Piece, Reader, numbered
from opensea_metrics.deploy.embedded.storage import transaction
from opensea_metrics.deploy.embedded.topics import UNREADABLE
from opensea_metrics.sql.language.catalog.catalog import Query
from opensea_metrics.sql.language.lowering.duckdb import selects

_BATCH = "batch"
STREAM_TIME = "stream time"
"""No part but a counter: the greatest ROWTIME (epoch ms) that a query has seen."""
LATE = "late"
"""No part but a counter: of the rows left out, as their window had closed when they came."""


def check(cursor: duckdb.DuckDBPyConnection, query: Query) -> None:
    """Have DuckDB read the SQL of a query that it can run by :mod:`sql.language.lowering.support`.

    Raises SqlError if DuckDB refuses it, which is a fault of the server.
    """
    analysis, nothing = query.analysis, topics.nothing(query.analysis.source)
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
    """Make what a new query needs, which :func:`check` has passed."""
    if query.analysis.is_aggregation:
        aggregation.create(cursor, selects.grouping(query.analysis), topics.state_table(query.id))


def take_over(cursor: duckdb.DuckDBPyConnection, query: Query, old: Query) -> None:
    """Give a query the positions and the state of the one that it replaces."""
    cursor.execute("DELETE FROM meta.positions WHERE query = ?", [query.id])
    cursor.execute("UPDATE meta.positions SET query = ? WHERE query = ?", [query.id, old.id])
    cursor.execute("UPDATE meta.unread SET query = ? WHERE query = ?", [query.id, old.id])
    if query.analysis.is_aggregation:
        table, was = topics.state_table(query.id), topics.state_table(old.id)
        cursor.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM {was}")
        cursor.execute(f"DROP TABLE {was}")


def end(cursor: duckdb.DuckDBPyConnection, query_id: str) -> None:
    """Forget a query that has ended."""
    cursor.execute(f"DROP TABLE IF EXISTS {topics.state_table(query_id)}")
    cursor.execute("DELETE FROM meta.positions WHERE query = ?", [query_id])
    cursor.execute("DELETE FROM meta.unread WHERE query = ?", [query_id])


def move(
    cursor: duckdb.DuckDBPyConnection, reader: Reader, query: Query, sink_topic: str
) -> bool:
    """Move one piece through a query; False if there is none."""
    known = positions(cursor, query.id)
    piece = next(reader.pieces(cursor, query.analysis.source, known), None)
    return piece is not None and _absorb(cursor, reader, query, piece, known, sink_topic)


def move_unread(
    cursor: duckdb.DuckDBPyConnection, reader: Reader, query: Query, sink_topic: str
) -> bool:
    """Move what a query has left of files, if they are not as they were then; False if all are."""
    known = positions(cursor, query.id)
    piece = reader.again(cursor, query.analysis.source, known, unread(cursor, query.id))
    return piece is not None and _absorb(cursor, reader, query, piece, known, sink_topic)


def have_unread(cursor: duckdb.DuckDBPyConnection) -> list[str]:
    """The ids of the queries that have left something of a file."""
    return [name for (name,) in cursor.execute("SELECT DISTINCT query FROM meta.unread").fetchall()]


def unread(cursor: duckdb.DuckDBPyConnection, query_id: str) -> list[Unread]:
    """What a query has left of files."""
    rows = cursor.execute(
        "SELECT seq, taken, checksum, tried, why FROM meta.unread WHERE query = ?", [query_id]
    ).fetchall()
    return [
        Unread(seq, taken, checksum, tried, Why(why)) for seq, taken, checksum, tried, why in rows
    ]


def _absorb(
    cursor: duckdb.DuckDBPyConnection,
    reader: Reader,
    query: Query,
    piece: Piece,
    known: Mapping[str, int],
    sink_topic: str,
) -> bool:
    if query.analysis.is_aggregation:
        _aggregate(cursor, query, piece, known)
    elif isinstance(piece, Json):
        _append(cursor, query, piece, sink_topic)
    else:
        return False  # a selection over typed rows: nothing is stored (see topics.Selection)
    if isinstance(piece, Json) and piece.files:
        reader.register.note_read(piece.source.topic, piece.files.read)
        if reports := piece.files.reports:
            first = reports[0]
            health.tell(
                "files cannot be read, or not all of them; see KSQL_PROCESSING_LOG",
                query=query.id, reports=str(len(reports)), first=first.path, reason=first.reason,
            )  # fmt: skip
    return True


def positions(cursor: duckdb.DuckDBPyConnection, query_id: str) -> dict[str, int]:
    """Up to where a query has read each part of its source's topic."""
    rows = cursor.execute(
        "SELECT part, position FROM meta.positions WHERE query = ?", [query_id]
    ).fetchall()
    return dict(rows)


def set_positions(
    cursor: duckdb.DuckDBPyConnection, query_id: str, reached: Mapping[str, int]
) -> None:
    """Keep up to where (exclusive) a query has read some parts, and its counters."""
    values = [value for item in reached.items() for value in (query_id, *item)]
    if values:
        places = ", ".join(["(?, ?, ?)"] * len(reached))
        cursor.execute(f"INSERT OR REPLACE INTO meta.positions VALUES {places}", values)


def _set_unread(
    cursor: duckdb.DuckDBPyConnection, query_id: str, topic: str, files: FileLines
) -> None:
    """Keep what a query has left of files now, and report it."""
    outcome = files.outcome
    cursor.execute(
        "DELETE FROM meta.unread WHERE query = ? AND list_contains(?::BIGINT[], seq)",
        [query_id, list(outcome)],
    )
    rows = [item for item in outcome.values() if item is not None]
    if rows:
        values = ((item.seq, item.taken, item.checksum, item.tried, item.why.value) for item in rows)
        cursor.execute(
            "INSERT INTO meta.unread SELECT ?, unnest(?::BIGINT[]), unnest(?::BIGINT[]),"
            " unnest(?::BIGINT[]), unnest(?::BIGINT[]), unnest(?::VARCHAR[])",
            [query_id, *map(list, zip(*values, strict=True))],
        )
    archive.keep_read(cursor, topic, files.read)
    processing_log.report(cursor, processing_log.reader(query_id), topic, files.reports)


def _append(
    cursor: duckdb.DuckDBPyConnection, query: Query, piece: Json, sink_topic: str
) -> None:
    """JSON records through a stream's SELECT into its log, in one pass."""
    table = f"log.{quoted(topics.log_table(sink_topic, f'{query.id} of JSON'))}"
    empty = ", ".join(f"NULL::VARCHAR AS {name}" for name in UNREADABLE)
    nothing = f"SELECT * EXCLUDE (_off), {empty} FROM ({topics.nothing(piece.source)})"
    # Outside the transaction: DuckDB 2.0 loses rows that a transaction inserts into a table that it
    # has itself made by a CREATE TABLE AS without rows.
    cursor.execute(
        f"CREATE TABLE IF NOT EXISTS {table} AS {selects.rows(query.analysis, nothing, UNREADABLE)}"
    )

    def consume(decoded: str) -> None:
        with transaction(cursor):
            (before,) = cursor.execute(f"SELECT count(*) FROM {table}").fetchone()  # type: ignore[misc]
            rows = selects.rows(query.analysis, decoded, UNREADABLE)
            cursor.execute(f"INSERT INTO {table} {rows}")
            added = f"SELECT {', '.join(UNREADABLE)} FROM {table} WHERE rowid >= {before}"
            processing_log.record(cursor, query.id, piece.source.topic, added)
            set_positions(cursor, query.id, {piece.part: piece.position})
            if piece.files:
                _set_unread(cursor, query.id, piece.source.topic, piece.files)

    piece.read(cursor, consume)


def _aggregate(
    cursor: duckdb.DuckDBPyConnection, query: Query, piece: Piece, known: Mapping[str, int]
) -> None:
    reached = {piece.part: piece.position}
    failed = 0
    if isinstance(piece, Json):
        decoded = numbered(cursor, piece, _BATCH, known.get(DECODED, 0))
        relation, reached[DECODED], failed = decoded.relation, decoded.next, decoded.failed
    else:
        relation = piece.relation
    with transaction(cursor):
        if failed:
            unreadable = f"SELECT {', '.join(UNREADABLE)} FROM {_BATCH}"
            processing_log.record(cursor, query.id, query.analysis.source.topic, unreadable)
        reached[STREAM_TIME], late = aggregation.absorb(
            cursor,
            selects.grouping(query.analysis),
            topics.state_table(query.id),
            relation,
            known.get(STREAM_TIME, 0),
        )
        if late:
            reached[LATE] = known.get(LATE, 0) + late
        set_positions(cursor, query.id, reached)
        if isinstance(piece, Json) and piece.files:
            _set_unread(cursor, query.id, piece.source.topic, piece.files)
