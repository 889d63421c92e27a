"""Topics as files under ``<root>/topics/<topic>/``, in the layout of ``producer.layout``: reading them.

The hour is the record's timestamp in UTC. A file's lines have the offsets from its start offset on
without a gap. Within an hour and partition, lines are in the order in which they were written.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import duckdb

from opensea_metrics.core.database import scratch_database
from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.producer.layout import ArchiveFile, archive_file, newest_cover

HOURS = "year=*/month=*/day=*/hour=*"
"""The folders of a topic that have files, as a pattern."""


class ArchiveError(OpenSeaMetricsError):
    """The archive cannot be written or read; the message has the path and what to do."""


def published(root: Path, topic: str) -> list[ArchiveFile]:
    """A topic's published files in topic order: by hour, then partition, then start offset.

    Of a compacted file and those that it was made of it is the compacted one.
    """
    found = (root / "topics" / topic).glob(f"{HOURS}/*")
    named = (archive_file(path.as_posix()) for path in found)
    return newest_cover(filter(None, named))


def files(root: Path, topic: str) -> list[Path]:
    """The paths of the published files, in topic order."""
    return [Path(file.path) for file in published(root, topic)]


def hours(root: Path, topic: str) -> Iterator[list[list[Path]]]:
    """Hour by hour, the files of each partition in order of their offsets."""
    for _, of_hour in groupby(published(root, topic), lambda file: file.folder):
        partitions = groupby(of_hour, lambda file: file.partition)
        yield [[Path(file.path) for file in of_partition] for _, of_partition in partitions]


def lines(root: Path, topic: str) -> Iterator[bytes]:
    """The values of a topic in topic order, without line ends.

    Raises ArchiveError for a file that cannot be read or is damaged.
    """
    for path in files(root, topic):
        yield from lines_of(path)


def lines_of(path: Path) -> Iterator[bytes]:
    """The values in a file in order of offset, without line ends.

    Raises ArchiveError for a file that cannot be read or is damaged.
    """
    try:
        if path.suffix == ".parquet":
            yield from _compacted_lines(path)
            return
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
            for line in file:
                yield line.rstrip(b"\n")
    except (OSError, EOFError, zlib.error, duckdb.Error) as error:
        raise ArchiveError(f"Cannot read {path}: {error}. Move the file away to go on.") from error


def _compacted_lines(path: Path) -> Iterator[bytes]:
    # The rest of a large file is sorted on disk.
    with scratch_database(directories=[path.resolve().parent], settings={"memory_limit": "256MB"}) as (
        database,
        _,
    ):
        found = database.execute(
            "SELECT _line FROM read_parquet(?) ORDER BY _offset", [str(path)]
        )
        while batch := found.fetchmany(10_000):
            for (line,) in batch:
                yield line.encode()
