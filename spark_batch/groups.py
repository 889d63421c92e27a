"""Divides items into groups of a size, and an archive's files into groups of about the same work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from opensea_metrics.producer.archive.layout import ArchiveFile

Item = TypeVar("Item")

_GROUP = 32 * 1024 * 1024
"""The most packed bytes of a group, about 200,000 events."""
_SMALLEST = 6
"""The number of the smallest groups that would be a lane's share of the work."""
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


def shared_out(files: Sequence[ArchiveFile], tasks: int, least: int) -> Iterator[list[ArchiveFile]]:
    """Files in groups for tasks, in their order: about as many groups as ``tasks``.

    There are more groups if the files are large, and fewer if groups would have fewer packed bytes than ``least``.
    """
    size = min(_GROUP, max(least, sum(map(_cost, files)) / tasks))
    return in_groups(files, _cost, size)


def for_lanes(files: Sequence[ArchiveFile], lanes: int, even: bool, least: int = 0) -> Iterator[list[ArchiveFile]]:
    """Files in groups for lanes, in their order. A lane takes the next group when it has finished one.

    The groups become smaller towards the end, so that all lanes finish at about the same time. If ``even``, all groups
    have the same size, and each lane gets as many: that needs fewer groups. No group has fewer packed bytes than
    ``least``, except the last one.
    """
    rest = float(sum(map(_cost, files)))
    per_lane = max(2, -(-rest // (_GROUP * lanes)))
    smallest = rest / lanes / (per_lane if even else _SMALLEST)
    group: list[ArchiveFile] = []
    size, target = 0.0, 0.0
    for file in files:
        cost = _cost(file)
        if group and size + cost / 2 > target:
            yield group
            rest -= size
            group, size = [], 0
        if not group:
            target = min(_GROUP, max(least, smallest, 0 if even else rest / (2 * lanes)))
        group.append(file)
        size += cost
    if group:
        yield group


def _cost(file: ArchiveFile) -> int:
    return (file.size // _PACKED if file.form == "json" else file.size) + _FILE
