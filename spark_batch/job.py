"""The input and output of an engine, as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

import pyarrow as pa

from opensea_metrics.core.quoting import name_of_column
from opensea_metrics.producer.archive.damage import Damage, with_missing
from opensea_metrics.producer.archive.layout import ArchiveFile
from opensea_metrics.producer.archive.location import Archive
from opensea_metrics.spark_batch.period import Period
from opensea_metrics.spark_batch.pipeline import QueryPipeline
from opensea_metrics.sql.language.catalog.sources import Source

Progress = Callable[[int, int], None]
"""Called with the number of bytes of the archive that were read, and the total."""


@dataclass(frozen=True)
class BatchJob:
    """A pipeline over some files of an archive, for the records whose event time is in the period.

    Windows that are not completely in it are left out. If the order of records matters, all records of the archive
    are read, and the results are those of the period. ``refused`` are paths of the archive that no reader accepts,
    with the reasons.
    """

    pipeline: QueryPipeline
    source: Archive
    files: Sequence[ArchiveFile]
    period: Period
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def readable(self) -> str:
        """The SQL condition, on every engine, for records that are used: all of them if their order matters."""
        if self.pipeline.is_ordered:
            return "_failed IS NULL"
        return f"_failed IS NULL AND ROWTIME >= {self.period.first} AND ROWTIME < {self.period.end}"


    def chosen(self, source: Source, relation: str) -> str:
        """The rows of a result, in SQL of every engine: those of a stream that depends on all records are cut here."""
        if not self.pipeline.is_ordered or source.is_table or source.window:
            return relation
        return f"SELECT * FROM ({relation}) WHERE ROWTIME >= {self.period.first} AND ROWTIME < {self.period.end}"


@dataclass(frozen=True)
class Table:
    """A result. Its rows can be read once, in order of window and key. ``schema`` has the columns in order."""

    name: str
    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]

    @staticmethod
    def of_engine(name: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Table:
        """A table of an engine's rows. The columns get the names that they have in statements."""
        names = [name_of_column(column) for column in schema.names]
        named = pa.schema([field.with_name(name) for field, name in zip(schema, names, strict=True)])
        return Table(name, named, (batch.rename_columns(names) for batch in batches))


@dataclass(frozen=True)
class Counts:
    """The counts of a run. Of ``read`` records, ``used`` were in the period, and ``set_aside`` could not be read.

    ``reasons`` has the reasons for these. ``damaged`` files, by path, were read only up to their damage.
    """

    read: int = 0
    used: int = 0
    set_aside: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    damaged: Mapping[str, Damage] = field(default_factory=dict)


def counted(
    rows: Iterable[tuple[str | None, int, int]],
    damaged: Mapping[str, Damage],
    files: Iterable[ArchiveFile],
) -> Counts:
    """The counts of a run from rows with a reason, its number of records, and how many of them are used.

    The reason is None for records that can be read. ``files`` are all files of the run.
    """
    read = used = 0
    reasons: Counter[str] = Counter()
    for reason, count, chosen in rows:
        read, used = read + count, used + chosen
        if reason is not None:
            reasons[reason] += count
    return Counts(read, used, sum(reasons.values()), dict(reasons), with_missing(damaged, files))


def adding_up(files: Sequence[ArchiveFile], progress: Progress) -> Callable[[ArchiveFile], None]:
    """A function to call after each file, from any thread. It adds up the bytes and calls ``progress``."""
    total = sum(file.size for file in files)
    done = 0
    lock = Lock()

    def finished(file: ArchiveFile) -> None:
        nonlocal done
        with lock:
            done += file.size
            progress(done, total)

    progress(0, total)
    return finished


class Results(Protocol):
    """The results of a run, until they are closed."""

    @property
    def counts(self) -> Counts: ...

    def table(self, name: str) -> Table:
        """The rows of one target."""
        ...
