"""Divides items into groups of a size, and an archive's files into groups of about the same work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from opensea_metrics.producer.archive.layout import ArchiveFile

Item = TypeVar("Item")

_GROUP = 32 * 1024 * 1024
"""The most packed bytes of a group, about 200,000 events."""
_FILE = 64 * 1024
"""The cost of opening a file, as the number of packed bytes that are read in the same time."""
_PACKED = 7
"""The compression ratio of text."""


def in_groups(items: Iterable[Item], size: Callable[[Item], int], least: float) -> Iterator[list[Item]]:
    """Items in groups, in their order. A group ends with the item that brings its size to ``least``."""
    group: list[Item] = []
    total = 0
    for item in items:
        group.append(item)
        total += size(item)
        if total >= least:
            yield group
            group, total = [], 0
    if group:
        yield group


def shared_out(files: Sequence[ArchiveFile], tasks: int, least: int = 0) -> Iterator[list[ArchiveFile]]:
    """Files in groups for tasks, in their order: about as many groups as ``tasks``.

    There are more groups if the files are large, and fewer if groups would have fewer packed bytes than ``least``.
    """
    size = min(_GROUP, max(least, sum(map(_cost, files)) / tasks))
    return in_groups(files, _cost, size)


def _cost(file: ArchiveFile) -> int:
    return (file.size // _PACKED if file.form == "json" else file.size) + _FILE
