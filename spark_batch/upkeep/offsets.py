"""Finds offsets of a partition that are missing, and offsets that are in several files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from opensea_metrics.producer.archive.layout import ArchiveFile


@dataclass(frozen=True)
class Counted:
    """A file, with its number of records."""

    file: ArchiveFile
    records: int

    @property
    def end(self) -> int:
        """The offset after the last record, if the file's records have adjoining offsets."""
        return self.file.start + self.records


@dataclass(frozen=True)
class Break:
    """Offsets [start, end) that are in no file, or in more than one file.

    ``after`` and ``before`` are the files around a gap, or the files that overlap.
    """

    kind: Literal["gap", "overlap"]
    start: int
    end: int
    after: ArchiveFile
    before: ArchiveFile


def breaks(files: Iterable[Counted]) -> Iterator[Break]:
    """Gaps and overlaps among the files of one partition.

    A sink that files records by event time has files of several hours open at the same time, and writes to
    them alternately. Then the offsets of one file do not adjoin, but those of all files that were open together do.
    So files of different hours that seem to overlap are counted together. Up to the next file, there must be as many
    records as offsets. Within an hour, files never alternate.
    """
    group: list[Counted] = []
    latest: dict[int, Counted] = {}
    for current in sorted(files, key=lambda counted: (counted.file.start, counted.end, counted.file.path)):
        before = latest.get(current.file.hour_ms)
        if before is not None and before.end > current.file.start:
            end = min(before.end, current.end)
            yield Break("overlap", current.file.start, end, before.file, current.file)
            if current.end <= before.end:
                continue  # the file has no further offsets
            group = [Counted(before.file, current.file.start - before.file.start), current]
        elif group and current.file.start >= max(counted.end for counted in group):
            yield from _between(group, current)
            group = [current]
        elif group and current.file.start == group[-1].file.start:
            yield Break("overlap", current.file.start, current.end, group[-1].file, current.file)
            if current.end > group[-1].end:
                group[-1] = current
        else:
            group.append(current)
        latest[current.file.hour_ms] = current


def _between(group: list[Counted], following: Counted) -> Iterator[Break]:
    start = group[0].file.start + sum(counted.records for counted in group)
    last = max(group, key=lambda counted: counted.end)
    if start < following.file.start:
        yield Break("gap", start, following.file.start, last.file, following.file)
    elif start > following.file.start:
        yield Break("overlap", 2 * following.file.start - start, following.file.start, group[0].file, last.file)
