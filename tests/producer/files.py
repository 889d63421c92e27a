"""A topic's files in a data directory, as the tests look at them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from opensea_metrics.producer.archive.records import (
    records,
    topic_archive,
    topic_files,
)


def files(root: Path, topic: str) -> list[Path]:
    """The paths of the published files, in topic order."""
    return [Path(file.path) for file in topic_files(root, topic)]


def lines(root: Path, topic: str) -> Iterator[bytes]:
    """The values of a topic, in topic order. Raises Damaged at a file that cannot be read to its end."""
    archive = topic_archive(root, topic)
    for file in topic_files(root, topic):
        yield from (record.value for record in records(archive, file))


def lines_of(root: Path, topic: str) -> list[list[bytes]]:
    """The values in each of the files."""
    archive = topic_archive(root, topic)
    return [[record.value for record in records(archive, file)] for file in topic_files(root, topic)]
