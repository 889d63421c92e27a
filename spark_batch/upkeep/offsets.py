"""Which offsets of a partition are missing, and which are there twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from opensea_metrics.producer.archive.layout import ArchiveFile


@dataclass(frozen=True)
class Counted:
    """A file and how many records it has."""

    file: ArchiveFile
    records: int

    @property
    def end(self) -> int:
        """The offset after the last record, of a file whose records have adjoining offsets."""
        return self.file.start + self.records


@dataclass(frozen=True)
class Break:
    """Offsets [start, end) that no file has, or that more than one has; ``after`` and ``before`` are
    the files around, or those that overlap."""

    kind: Literal["gap", "overlap"]
    start: int
    end: int
    after: ArchiveFile
    before: ArchiveFile


def breaks(files: Iterable[Counted]) -> Iterator[Break]:
    """Gaps and overlaps among the files of one partition.

    A sink that files records by their event time has files of several hours open at a time, whose
    records alternate: then a file's records do not adjoin, though those of all files that were
    open together do. So files of different hours that seem to overlap are counted together: before
    the next file there must be as many records as offsets. Within an hour files never alternate.
    """
    group: list[Counted] = []
    latest: dict[int, Counted] = {}
    for each in sorted(files, key=lambda each: (each.file.start, each.end, each.file.path)):
        before = latest.get(each.file.hour_ms)
        if before is not None and before.end > each.file.start:
            end = min(before.end, each.end)
            yield Break("overlap", each.file.start, end, before.file, each.file)
            if each.end <= before.end:
                continue  # nothing new
            group = [Counted(before.file, each.file.start - before.file.start), each]
        elif group and each.file.start >= max(one.end for one in group):
            yield from _between(group, each)
            group = [each]
        elif group and each.file.start == group[-1].file.start:
            yield Break("overlap", each.file.start, each.end, group[-1].file, each.file)
            if each.end > group[-1].end:
                group[-1] = each
        else:
            group.append(each)
        latest[each.file.hour_ms] = each


def _between(group: list[Counted], following: Counted) -> Iterator[Break]:
    start = group[0].file.start + sum(each.records for each in group)
    last = max(group, key=lambda each: each.end)
    if start < following.file.start:
        yield Break("gap", start, following.file.start, last.file, following.file)
    elif start > following.file.start:
        yield Break("overlap", 2 * following.file.start - start, following.file.start, group[0].file, last.file)
