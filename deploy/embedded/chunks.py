"""Chunks of logs that can be made of files again: they are dropped when they have been read, and made again for a
query that begins later. So nothing is kept twice for long.

A chunk is *of files* if all its rows were made of whole segments of files, which still stand in the archive. It
counts then as one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from opensea_metrics.deploy.embedded import archive, feeds, processing_log
from opensea_metrics.deploy.embedded.archive import Segment
from opensea_metrics.deploy.embedded.batches import WholeBatch
from opensea_metrics.deploy.embedded.feeds import Log, LogChunk, Selection
from opensea_metrics.deploy.embedded.processing_log import Report
from opensea_metrics.deploy.embedded.topics import RECORD, UNREADABLE, Batch, Positions
from opensea_metrics.producer.archive.listing import opened
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.duckdb import selects
from opensea_metrics.sql.language.queries.analysis import Analysis

KEPT = 4
"""Chunks of a log that are kept besides the one that is written, for queries that begin soon."""
_TABLE = "chunk_again"
_CHANGED = "this file has changed since it was read; what it had is not read again"


def note(
    cursor: duckdb.DuckDBPyConnection,
    log: str,
    base: int,
    topic: str,
    segments: Sequence[Segment] | None,
) -> None:
    """Note the segments of a topic that were written into a chunk, within the transaction that does it; None for other
    records.

    What follows in a growing file is added to what the chunk has of it.
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
    """The places in a topic's files that a chunk was made of, in the order in which they were read; and reports on
    those that have changed since, which are left out."""
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
            return archive.tail(descriptor, end) != expected
    except OSError:
        return False  # who reads it reports that


def drop(cursor: duckdb.DuckDBPyConnection, log: str, chunk: LogChunk) -> None:
    """Drop a chunk that can be made again, within a transaction."""
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
    """Drop a chunk for good, within a transaction."""
    cursor.execute(f"DROP TABLE IF EXISTS {chunk.table}")
    for table in ("chunks", "chunk_files"):
        cursor.execute(f"DELETE FROM meta.{table} WHERE log = ? AND base = ?", [log, chunk.base])


def droppable(cursor: duckdb.DuckDBPyConnection, log: str) -> set[int]:
    """The first numbers of the chunks of a log that can be made again."""
    rows = cursor.execute(
        "SELECT base FROM meta.chunks WHERE log = ? AND is_of_files AND dropped IS NULL", [log]
    ).fetchall()
    return {base for (base,) in rows}


def files_needed(cursor: duckdb.DuckDBPyConnection, catalog: Catalog, topic: str) -> set[str]:
    """The files of a topic of which chunks that were dropped may have to be made again."""
    logs = {
        feeds.log_table(catalog.sources[query.sink].topic, feeds.json_log_id(query.id))
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
    """Make a chunk that was dropped again for good, within a transaction: the query that made it ends."""
    rebuilt.make(cursor, _TABLE)
    cursor.execute(f"CREATE TABLE {chunk.table} AS SELECT * EXCLUDE (_row) FROM {_TABLE} ORDER BY _row")
    cursor.execute(
        "UPDATE meta.chunks SET dropped = NULL, is_of_files = false WHERE log = ? AND base = ?", [log, chunk.base]
    )


@dataclass(frozen=True)
class ChunkAgain(WholeBatch):
    """A batch: the rows of a chunk that was dropped, as ``feed`` gives them to a ``source``.

    ``files`` are the records of the chunk as ``analysis``, the SELECT that made it, reads them; ``changed`` reports on
    those that are not as they were.
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
        """Make the chunk in a temporary table, and read that."""
        consume(self.relation(cursor, _TABLE))

    def relation(self, cursor: duckdb.DuckDBPyConnection, table: str) -> str:
        """The rows as a relation of a temporary table, which is made now."""
        self.make(cursor, table)
        columns = f"* EXCLUDE ({', '.join(UNREADABLE)}, _row), {self.chunk.base} + _row AS _off"
        rows = f"SELECT {columns} FROM {table} WHERE _failed IS NULL"
        return self.feed.through(self.source, rows)

    def make(self, cursor: duckdb.DuckDBPyConnection, table: str) -> None:
        """Make a temporary table of the chunk, with the numbers of its rows: DuckDB's own ones are others within the
        transaction that writes them."""

        def take(decoded: str) -> None:
            rows = selects.rows(self.analysis, decoded, UNREADABLE, RECORD)
            numbered = f"SELECT *, row_number() OVER () - 1 AS _row FROM ({rows})"
            cursor.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {numbered}")

        self.files.read(cursor, take)

    def keep(self, cursor: duckdb.DuckDBPyConnection, query_id: str) -> None:
        """Report files that are not as they were any more. What they had is lost for the query."""
        topic = self.analysis.source.topic
        processing_log.report(cursor, processing_log.reader(query_id), topic, self.reports)

    @property
    def reports(self) -> Sequence[Report]:
        return [*self.changed, *self.files.reports]

    @property
    def paths(self) -> Iterable[str]:
        return self.files.paths
