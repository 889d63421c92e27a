"""Things in groups of a size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def in_groups(items: Iterable[Item], size: Callable[[Item], int], least: float) -> Iterator[list[Item]]:
    """Items in groups, in their order, each ended by the item with which its size reaches ``least``."""
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
