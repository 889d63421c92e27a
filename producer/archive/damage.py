"""Damaged files: why they cannot be read to their end, and how many records that costs."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from opensea_metrics.producer.archive.layout import ArchiveFile


@dataclass(frozen=True)
class Damage:
    """``read`` records were read and ``missing`` were not. ``missing`` is None if no file's name says how many."""

    reason: str
    read: int = 0
    missing: int | None = None

    def __str__(self) -> str:
        missing = "an unknown number is" if self.missing is None else f"{self.missing:,} are"
        return f"{self.reason}; {self.read:,} of its records were read, {missing} missing"


def with_missing(damaged: Mapping[str, Damage], files: Iterable[ArchiveFile]) -> dict[str, Damage]:
    """Damaged files by their paths, with the number of missing records.

    A file's records end at the offset in its name, if there is one, or else where the partition's next file starts.
    """
    if not damaged:
        return {}
    by_path: dict[str, ArchiveFile] = {}
    starts: dict[int, list[int]] = defaultdict(list)
    for file in files:
        by_path[file.path] = file
        if file.is_numbered:
            starts[file.partition].append(file.start)
    for offsets in starts.values():
        offsets.sort()
    return {
        path: replace(damage, missing=_missing(by_path.get(path), damage, starts))
        for path, damage in sorted(damaged.items())
    }


def _missing(
    file: ArchiveFile | None, damage: Damage, starts: Mapping[int, list[int]]
) -> int | None:
    if file is None or not file.is_numbered:
        return None
    end = file.end
    if end is None:
        others = starts[file.partition]
        following = bisect_right(others, file.start)
        if following == len(others):
            return None
        end = others[following]
    return max(0, end - file.start - damage.read)
