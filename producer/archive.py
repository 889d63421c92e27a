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

from producer.layout import archive_file, newest_cover
from sql.errors import OpenSeaMetricsError

HOURS = "year=*/month=*/day=*/hour=*"
"""The folders of a topic that have files, as a pattern."""


class ArchiveError(OpenSeaMetricsError):
    """The archive cannot be written or read; the message has the path and what to do."""


def files(root: Path, topic: str) -> list[Path]:
    """A topic's published files in topic order: by hour, then partition, then start offset.

    Of a compacted file and those that it was made of it is the compacted one.
    """
    found = (root / "topics" / topic).glob(f"{HOURS}/*")
    named = (archive_file(path.as_posix()) for path in found)
    return [Path(file.path) for file in newest_cover(filter(None, named))]


def hours(root: Path, topic: str) -> Iterator[list[list[Path]]]:
    """Hour by hour, the files of each partition in order of their offsets."""
    for _, of_hour in groupby(files(root, topic), lambda path: path.parent):
        yield [list(group) for _, group in groupby(of_hour, lambda path: position(path)[0])]


def lines(root: Path, topic: str) -> Iterator[bytes]:
    """The values of a topic in topic order, without line ends.

    Raises ArchiveError for a file that cannot be read or is damaged.
    """
    for path in files(root, topic):
        yield from lines_of(path)


def position(path: Path) -> tuple[int, int]:
    """Partition and start offset in the name of a published file."""
    file = archive_file(path.name)
    assert file is not None
    return file.partition, file.start


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
    with duckdb.connect() as database:
        database.execute("SET memory_limit = '256MB'")  # the rest of a large file is sorted on disk
        found = database.execute(
            "SELECT _line FROM read_parquet(?) ORDER BY _offset", [str(path)]
        )
        while batch := found.fetchmany(10_000):
            for (line,) in batch:
                yield line.encode()
