"""An archive's records a chunk at a time, as relations of DuckDB."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa

from spark_batch.job import Job, Progress
from spark_batch.lines import Lines, read_lines
from sql.analysis import Source
from sql.lowering import records

_BYTES = 96 * 1024 * 1024
"""Of text in a chunk, about: some 80,000 events."""


@dataclass(frozen=True)
class Chunk:
    """Some records of an archive, numbered along it: text lines in ``lines`` and ``_off``."""

    lines: pa.Table
    damaged: Mapping[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return int(self.lines.num_rows)

    def relation(self, database: duckdb.DuckDBPyConnection, source: Source) -> str:
        """The records as a source declares them: its columns, ROWTIME, ``_off``, ``_failed``."""
        database.register("chunk_lines", self.lines)
        sample = self.lines["line"][0].as_py() if self.rows else None
        lines = (
            "SELECT line, NULL::VARCHAR AS path, NULL::VARCHAR AS key, NULL::BIGINT AS ts, _off "
            "FROM chunk_lines"
        )
        return records.decoded(lines, source, sample, carried=("_off",))


def read(job: Job, progress: Progress) -> Iterator[Chunk]:
    """The chunks of a job's files, at least one. Raises SourceError."""
    total = sum(file.size for file in job.files)
    done = offset = size = 0
    batches: list[pa.RecordBatch] = []
    damaged: dict[str, str] = {}
    progress(0, total)
    given = False
    for piece in _by_file(job):
        made = piece.batches(offset)
        offset += len(piece.lines)
        size += piece.lines.nbytes
        batches += made
        if piece.damage:
            damaged[piece.file.path] = piece.damage
        if piece.first == 0:
            done += piece.file.size
            progress(done, total)
        if size >= _BYTES:
            yield Chunk(_table(batches), damaged)
            batches, damaged, size, given = [], {}, 0, True
    if batches or damaged or not given:
        yield Chunk(_table(batches), damaged)


def _by_file(job: Job) -> Iterator[Lines]:
    return read_lines(job.source, job.files)


def _table(batches: list[pa.RecordBatch]) -> pa.Table:
    schema = pa.schema([("line", pa.large_string()), ("_off", pa.int64())])
    return pa.Table.from_batches(batches, schema)
