"""Logs: rows that a stream's query computes from JSON, in chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import duckdb

from opensea_metrics.core.quoting import name_of_column
from opensea_metrics.deploy.embedded.topics.log_tables import rows_of
from opensea_metrics.deploy.embedded.topics.passing import HAS_VALUE
from opensea_metrics.deploy.embedded.topics.record_topic import RECORD, TOMBSTONE, UNREADABLE
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.duckdb import selects

Counts = list[tuple[int, int, int]]
"""Each partition, the offset after its last row, and a number of rows."""


@dataclass(frozen=True)
class LogChunk:
    """A table of a log. Its row numbers start at ``base``. A dropped chunk can be rebuilt from files."""

    base: int
    table: str
    is_dropped: bool = False


@dataclass(frozen=True)
class Log:
    """The rows that a query creates from JSON, in chunks. Old chunks can be dropped as a whole.

    A chunk also holds unreadable records, with the columns ``UNREADABLE``, in which ``_failed`` gives the reason, and
    records without a value (:mod:`.passing`).
    ``id`` names the query that writes the log.

    A row's number is the sum of its DuckDB row number and the chunk's base. This works because no row of a chunk is
    ever deleted. Numbering rows while they are written would keep DuckDB from using several threads.
    """

    id: str
    chunks: tuple[LogChunk, ...]
    columns: tuple[str, ...]

    def end(self, cursor: duckdb.DuckDBPyConnection) -> int:
        last = self.chunks[-1]
        return last.base + rows_of(cursor, last.table)

    def counted(self, cursor: duckdb.DuckDBPyConnection, number: int) -> Counts:
        present = [chunk for chunk in self.chunks if not chunk.is_dropped]
        counts = " UNION ALL ".join(
            f"SELECT ROWPARTITION, ROWOFFSET, rowid >= {number - chunk.base} AS _unread FROM {chunk.table}"
            for chunk in present
        )
        by_partition: Counts = cursor.execute(
            f"SELECT ROWPARTITION, max(ROWOFFSET) + 1, count(*) FILTER (_unread) FROM ({counts}) GROUP BY 1"
        ).fetchall()
        # The partitions of the rows in dropped chunks are not known.
        dropped = sum(
            max(0, following.base - max(chunk.base, number))
            for chunk, following in pairwise(self.chunks)
            if chunk.is_dropped
        )
        return [*by_partition, (0, 0, dropped)]

    def spans(self, low: int, end: int) -> Iterator[tuple[int, int, LogChunk | None]]:
        """Splits [low, end) into spans. A span is one dropped chunk, or neighbouring chunks that still exist."""
        ends = [*(chunk.base for chunk in self.chunks[1:]), end]
        for chunk, high in zip(self.chunks, ends, strict=True):
            if high <= low:
                continue
            if chunk.is_dropped:
                if low < chunk.base:
                    yield low, chunk.base, None
                yield chunk.base, high, chunk
                low = high
        if low < end:
            yield low, end, None

    def relation(
        self, source: Source, low: int | None, high: int | None, carried: Sequence[str] = RECORD
    ) -> str:
        following = [*(chunk.base for chunk in self.chunks[1:]), None]
        rows = [
            self._rows(chunk, low, high, with_tombstones=TOMBSTONE in carried)
            for chunk, end in zip(self.chunks, following, strict=True)
            if (end is None or low is None or low < end) and (high is None or chunk.base < high)
            and not chunk.is_dropped
        ]
        return self.through(source, " UNION ALL ".join(rows), carried)

    def through(self, source: Source, rows: str, carried: Sequence[str] = RECORD) -> str:
        """Rows of a chunk with the columns of a source."""
        names = [name_of_column(column) for column in self.columns]
        return selects.as_source(source, rows, names, carried)

    @staticmethod
    def _rows(chunk: LogChunk, low: int | None, high: int | None, with_tombstones: bool) -> str:
        tombstone = f", NOT {HAS_VALUE} AS {TOMBSTONE}" if with_tombstones else ""
        bounds = [f"(_failed IS NULL OR NOT {HAS_VALUE})" if with_tombstones else "_failed IS NULL"]
        if low is not None and low > chunk.base:
            bounds.append(f"rowid >= {low - chunk.base}")
        if high is not None:
            bounds.append(f"rowid < {high - chunk.base}")
        columns = f"* EXCLUDE ({', '.join(UNREADABLE)}), {chunk.base} + rowid AS _off{tombstone}"
        return f"SELECT {columns} FROM {chunk.table} WHERE {' AND '.join(bounds)}"
