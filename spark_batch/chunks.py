"""An archive's records a chunk at a time, as relations of DuckDB."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby

import duckdb
import pyarrow as pa

from producer.layout import ArchiveFile
from spark_batch import compacted, lines
from spark_batch.ahead import ahead, one_ahead
from spark_batch.archive.legacy import STAMP, stamped_sql
from spark_batch.job import Job, Progress
from sql.lowering import records
from sql.lowering.duckdb import quoted
from sql.sources import Source

_BYTES = 64 * 1024 * 1024
"""Of Arrow data in a chunk, about: some 60,000 events as text."""
_ROWS = 100_000
"""In a chunk, about."""


@dataclass(frozen=True)
class Chunk(ABC):
    """Some records of an archive. ``_off`` are their offsets: a key's records are in one partition, where
    these tell which is the newer one, wherever it is filed."""

    rows: pa.Table
    damaged: Mapping[str, str] = field(default_factory=dict)

    @abstractmethod
    def relation(
        self, database: duckdb.DuckDBPyConnection, source: Source, all_json: bool
    ) -> str:
        """The records as a source declares them: its columns, ROWTIME, ``_off``, ``_failed``.

        With ``all_json`` text that is no JSON fails the query (duckdb.InvalidInputException).
        """
        ...


class TextChunk(Chunk):
    """Lines: ``line`` and ``_off``."""

    def relation(
        self, database: duckdb.DuckDBPyConnection, source: Source, all_json: bool
    ) -> str:
        database.register("chunk", self.rows)
        sample = self.rows["line"][0].as_py() if self.rows.num_rows else None
        ((stamped,),) = database.execute(
            f"SELECT bool_and(starts_with(line, '{STAMP}')) FROM chunk"
        ).fetchall()
        text = (
            f"SELECT {'line' if stamped else stamped_sql('line')} AS line, NULL::VARCHAR AS path, "
            "NULL::VARCHAR AS key, NULL::BIGINT AS ts, _off FROM chunk"
        )
        return records.decoded(text, source, sample, carried=("_off",), all_json=all_json)


class RowChunk(Chunk):
    """Rows that are decoded already, of compacted files: the columns that are needed, under the JSON's
    names, ``_off`` and ``_failed``."""

    def relation(
        self, database: duckdb.DuckDBPyConnection, source: Source, all_json: bool
    ) -> str:
        database.register("chunk", self.rows)
        assert source.timestamp is not None
        names = {name.upper(): name for name in self.rows.column_names}
        columns = [
            f"{quoted(names[column.name.upper()])} AS {quoted(column.name)}"
            for column in source.columns
            if column.name.upper() in names
        ]
        time = quoted(names[source.timestamp.upper()])
        return f"SELECT {', '.join(columns)}, {time} AS ROWTIME, _off, _failed FROM chunk"


def read(job: Job, progress: Progress) -> Iterator[Chunk]:
    """The chunks of a job's files, at least one, each read while the one before is used.

    ``progress`` is told in another thread. Raises SourceError.
    """
    return one_ahead(_read(job, progress))


def _read(job: Job, progress: Progress) -> Iterator[Chunk]:
    total = sum(file.size for file in job.files)
    done = 0
    progress(0, total)
    given = False
    for kind, pieces in groupby(_pieces(job), type):
        make = TextChunk if kind is lines.Lines else RowChunk
        batches: list[pa.RecordBatch] = []
        damaged: dict[str, str] = {}
        size = rows = 0
        for piece in pieces:
            made = piece.batches()
            batches += made
            size += piece.nbytes
            rows += sum(batch.num_rows for batch in made)
            if piece.damage:
                damaged[piece.file.path] = piece.damage
            if piece.is_last:
                done += piece.file.size
                progress(done, total)
            if size >= _BYTES or rows >= _ROWS:
                yield make(pa.Table.from_batches(batches), damaged)
                batches, damaged, size, rows, given = [], {}, 0, 0, True
        if batches or damaged:
            yield make(pa.Table.from_batches(batches or piece.batches()), damaged)
            given = True
    if not given:
        yield TextChunk(lines.SCHEMA.empty_table())


def _pieces(job: Job) -> Iterator[lines.Lines | compacted.Rows]:
    """All pieces of all files, in order."""
    leaves = job.pipeline.leaves()

    def open_(file: ArchiveFile) -> Iterator[lines.Lines | compacted.Rows]:
        if file.form == "parquet":
            return compacted.pieces(job.source, file, leaves)
        return lines.pieces(job.source, file)

    return ahead(partial(open_, file) for file in job.files)
