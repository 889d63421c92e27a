"""A topic's files in a data directory, as the tests look at them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from opensea_metrics.producer.archive.records import (
    records,
    topic_archive,
    topic_files,
    topic_values,
)


def files(root: Path, topic: str) -> list[Path]:
    """The paths of the published files, in topic order."""
    return [Path(file.path) for file in topic_files(root, topic)]


def lines(root: Path, topic: str) -> Iterator[bytes]:
    """The values of a topic, in topic order."""
    return topic_values(root, topic)


def lines_of(root: Path, topic: str) -> list[list[bytes]]:
    """The values in each of the files."""
    archive = topic_archive(root, topic)
    return [[record.value for record in records(archive, file)] for file in topic_files(root, topic)]
