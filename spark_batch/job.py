"""What an engine is given and what it gives back: plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

import pyarrow as pa

from opensea_metrics.core.quoting import name_of_column
from opensea_metrics.producer.layout import ArchiveFile
from opensea_metrics.spark_batch.damage import Damage, with_missing
from opensea_metrics.spark_batch.period import Period
from opensea_metrics.spark_batch.pipeline import Pipeline
from opensea_metrics.spark_batch.source import Source

Progress = Callable[[int, int], None]
"""Told bytes of the archive that were read, and how many there are."""


@dataclass(frozen=True)
class Job:
    """A pipeline over some files of an archive, for the records whose event time is in the period.

    Windows that are not wholly in it are left out.
    """

    pipeline: Pipeline
    source: Source
    files: Sequence[ArchiveFile]
    period: Period

    @property
    def readable(self) -> str:
        """The condition, as every engine writes it, for records that are used."""
        return f"_failed IS NULL AND ROWTIME >= {self.period.first} AND ROWTIME < {self.period.end}"


@dataclass(frozen=True)
class Table:
    """A result: its rows, read once, in order of window and key. ``schema`` has the columns in order."""

    name: str
    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]

    @staticmethod
    def of_engine(name: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Table:
        """What an engine gives, its columns under the names that they have in statements."""
        names = [name_of_column(column) for column in schema.names]
        named = pa.schema([field.with_name(name) for field, name in zip(schema, names, strict=True)])
        return Table(name, named, (batch.rename_columns(names) for batch in batches))


@dataclass(frozen=True)
class Counts:
    """What a run has read: ``read`` records, of which ``used`` were in the period and ``set_aside`` could
    not be read, with examples of why; ``damaged`` files, by path, were read up to their damage only."""

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
    """What was read, of rows of a reason (None for what can be read), of how many records it holds, and of
    how many of these are used. ``files`` are all that were to be read."""
    read = used = 0
    reasons: Counter[str] = Counter()
    for reason, count, chosen in rows:
        read, used = read + count, used + chosen
        if reason is not None:
            reasons[reason] += count
    return Counts(read, used, sum(reasons.values()), dict(reasons), with_missing(damaged, files))


def adding_up(files: Sequence[ArchiveFile], progress: Progress) -> Callable[[ArchiveFile], None]:
    """What is told of each file that is done, in any thread, and tells how many bytes these are."""
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
