"""Chunks of logs that can be rebuilt from files.

The server drops such a chunk after all queries have read it, and rebuilds it for a query that starts later. So the
server does not store the same records twice for long.

A chunk is *of files* if all its rows come from whole segments of files that are still in the archive. Such a chunk
counts as one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from opensea_metrics.deploy.embedded.files import file_look
from opensea_metrics.deploy.embedded.files.segments import Segment
from opensea_metrics.deploy.embedded.topics import feeds, log_tables, processing_log
from opensea_metrics.deploy.embedded.topics.batches import WholeBatch
from opensea_metrics.deploy.embedded.topics.feeds import Selection
from opensea_metrics.deploy.embedded.topics.logs import Log, LogChunk
from opensea_metrics.deploy.embedded.topics.processing_log import Report
from opensea_metrics.deploy.embedded.topics.record_topic import (
    RECORD,
    TOMBSTONE,
    UNREADABLE,
    Batch,
    Positions,
)
from opensea_metrics.producer.archive.paths import opened
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.duckdb import selects
from opensea_metrics.sql.language.queries.analysis import Analysis

CHUNK_ROWS = 250_000
"""Rows after which a log begins a new chunk."""
KEPT = 4
"""Chunks of a log that are kept for queries that begin soon, in addition to the one that is being written."""
_TABLE = "chunk_again"
_CHANGED = "this file has changed since it was read; its earlier content is not read again"


def next_base(last: LogChunk, rows: int) -> int:
    """The first row number of the chunk for the next rows of a log. This is a new chunk if the last one is full.

    ``rows`` is the number of rows of the last one.
    """
    return last.base if rows < CHUNK_ROWS else last.base + rows


def note(
    cursor: duckdb.DuckDBPyConnection,
    log: str,
    base: int,
    topic: str,
    segments: Sequence[Segment] | None,
) -> None:
    """Record, within the transaction that writes a chunk, which segments of a topic the chunk contains.

    ``segments`` is None for other records. A segment that continues a growing file is merged with the
    earlier part of the file in the chunk.
    """
    cursor.execute(
        "INSERT INTO meta.chunks VALUES (?, ?, ?, NULL)"
        " ON CONFLICT DO UPDATE SET is_of_files = is_of_files AND excluded.is_of_files",
        [log, base, segments is not None],
    )
    numbers = [segment.seq for segment in segments or ()]
    rows = cursor.execute(
        "SELECT seq, path, start_byte, end_byte, partition, first, tail FROM meta.segments"
        " WHERE topic = ? AND list_contains(?::BIGINT[], seq) ORDER BY seq",
        [topic, numbers],
    ).fetchall()
    for seq, path, start, end, partition, first, tail in rows:
        (grown,) = cursor.execute(
            "UPDATE meta.chunk_files SET end_byte = ?, tail = ?"
            " WHERE log = ? AND base = ? AND path = ? AND end_byte = ?",
            [end, tail, log, base, path, start],
        ).fetchone()  # type: ignore[misc]
        if not grown:
            cursor.execute(
                "INSERT INTO meta.chunk_files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [log, base, seq, path, start, end, partition, first, tail],
            )


def segments_of(
    cursor: duckdb.DuckDBPyConnection, log: str, base: int, folder: Path
) -> tuple[list[Segment], list[Report]]:
    """The segments of files that a chunk was built from, in the order in which they were read.

    Omits segments whose files have changed since then. The second value has a report for each omitted segment.
    """
    rows = cursor.execute(
        "SELECT number, path, start_byte, end_byte, true, partition, first, tail FROM meta.chunk_files"
        " WHERE log = ? AND base = ? ORDER BY number",
        [log, base],
    ).fetchall()
    unchanged, reports = [], []
    for *values, expected in rows:
        segment = Segment(*values)
        if _has_changed(folder / segment.path, segment.end, expected):
            reports.append(Report(_CHANGED, str(folder / segment.path)))
        else:
            unchanged.append(segment)
    return unchanged, reports


def _has_changed(path: Path, end: int, expected: int) -> bool:
    try:
        with opened(path) as descriptor:
            return file_look.tail(descriptor, end) != expected
    except OSError:
        return False  # the reader of the file reports the error


def drop(cursor: duckdb.DuckDBPyConnection, log: str, chunk: LogChunk) -> None:
    """Drop a chunk that can be rebuilt, within a transaction."""
    cursor.execute(
        f"UPDATE meta.chunks SET dropped = (SELECT coalesce(max(ROWTIME), 0) FROM {chunk.table})"
        " WHERE log = ? AND base = ?",
        [log, chunk.base],
    )
    cursor.execute(f"DROP TABLE {chunk.table}")


def newest(cursor: duckdb.DuckDBPyConnection, log: str, chunk: LogChunk) -> int | None:
    """The greatest ROWTIME (epoch ms) of a chunk; None if it has no rows."""
    if chunk.is_dropped:
        result = cursor.execute("SELECT dropped FROM meta.chunks WHERE log = ? AND base = ?", [log, chunk.base])
    else:
        result = cursor.execute(f"SELECT max(ROWTIME) FROM {chunk.table}")
    (time,) = result.fetchone()  # type: ignore[misc]
    return None if time is None else int(time)


def forget(cursor: duckdb.DuckDBPyConnection, log: str, chunk: LogChunk) -> None:
    """Delete a chunk permanently, within a transaction."""
    cursor.execute(f"DROP TABLE IF EXISTS {chunk.table}")
    for table in ("chunks", "chunk_files"):
        cursor.execute(f"DELETE FROM meta.{table} WHERE log = ? AND base = ?", [log, chunk.base])


def droppable(cursor: duckdb.DuckDBPyConnection, log: str) -> set[int]:
    """The first row numbers of the chunks of a log that can be rebuilt."""
    rows = cursor.execute(
        "SELECT base FROM meta.chunks WHERE log = ? AND is_of_files AND dropped IS NULL", [log]
    ).fetchall()
    return {base for (base,) in rows}


def files_needed(cursor: duckdb.DuckDBPyConnection, catalog: Catalog, topic: str) -> set[str]:
    """The files of a topic from which dropped chunks may have to be rebuilt."""
    logs = {
        log_tables.log_table(catalog.sources[query.sink].topic, feeds.json_log_id(query.id))
        for query in catalog.queries.values()
        if query.analysis.source.topic == topic
    }
    rows = cursor.execute(
        "SELECT DISTINCT path FROM meta.chunk_files JOIN meta.chunks USING (log, base)"
        " WHERE dropped IS NOT NULL AND list_contains(?::VARCHAR[], log)",
        [list(logs)],
    ).fetchall()
    return {path for (path,) in rows}


def restore(cursor: duckdb.DuckDBPyConnection, chunk: LogChunk, rebuilt: ChunkAgain, log: str) -> None:
    """Rebuild a dropped chunk permanently, within a transaction, because the query that wrote it ends."""
    rebuilt.make(cursor, _TABLE)
    cursor.execute(f"CREATE TABLE {chunk.table} AS SELECT * EXCLUDE (_row) FROM {_TABLE} ORDER BY _row")
    cursor.execute(
        "UPDATE meta.chunks SET dropped = NULL, is_of_files = false WHERE log = ? AND base = ?", [log, chunk.base]
    )


@dataclass(frozen=True)
class ChunkAgain(WholeBatch):
    """A batch with the rows of a dropped chunk, in the form in which ``feed`` supplies them to a ``source``.

    ``analysis`` is the SELECT that wrote the chunk, and ``files`` are the records that it reads. ``changed`` has a
    report for each file that has changed since then.
    """

    positions: Positions
    chunk: LogChunk
    analysis: Analysis
    files: Batch
    changed: Sequence[Report]
    feed: Log | Selection
    source: Source
    is_decoded = True

    def read(self, cursor: duckdb.DuckDBPyConnection, consume: Callable[[str], None]) -> None:
        """Rebuild the chunk in a temporary table, and read this table."""
        consume(self.relation(cursor, _TABLE, (*RECORD, TOMBSTONE) if self.source.is_table else RECORD))

    def relation(self, cursor: duckdb.DuckDBPyConnection, table: str, carried: Sequence[str]) -> str:
        """The rows, as a relation over a temporary table that is created now."""
        self.make(cursor, table)
        columns = f"* EXCLUDE ({', '.join(UNREADABLE)}, _row), {self.chunk.base} + _row AS _off, false AS {TOMBSTONE}"
        rows = f"SELECT {columns} FROM {table} WHERE _failed IS NULL"
        return self.feed.through(self.source, rows, carried)

    def make(self, cursor: duckdb.DuckDBPyConnection, table: str) -> None:
        """Create a temporary table of the chunk, with a column for the row numbers.

        DuckDB's own row numbers differ within the transaction that writes the rows.
        """

        def take(decoded: str) -> None:
            rows = selects.rows(self.analysis, decoded, UNREADABLE, RECORD)
            numbered = f"SELECT *, row_number() OVER () - 1 AS _row FROM ({rows})"
            cursor.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {numbered}")

        self.files.read(cursor, take)

    def keep(self, cursor: duckdb.DuckDBPyConnection, query_id: str) -> None:
        """Report files that have changed. The query cannot read their earlier content."""
        topic = self.analysis.source.topic
        processing_log.report(cursor, processing_log.reader(query_id), topic, self.reports)

    @property
    def reports(self) -> Sequence[Report]:
        return [*self.changed, *self.files.reports]

    @property
    def paths(self) -> Iterable[str]:
        return self.files.paths
