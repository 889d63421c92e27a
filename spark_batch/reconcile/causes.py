"""Finds out why streamed windows differ from recomputed ones.

The module recomputes windows from changed copies of the archive, and inspects the archive's files.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby, pairwise
from pathlib import Path

from opensea_metrics.producer.archive.damage import Damage
from opensea_metrics.producer.archive.layout import HOUR_MS, ArchiveFile
from opensea_metrics.producer.archive.location import Archive
from opensea_metrics.spark_batch.period import iso
from opensea_metrics.spark_batch.reconcile.compare import Row, RowDifference, RowKey, differences
from opensea_metrics.spark_batch.reconcile.copies import Kept, copied, once, records, time_of
from opensea_metrics.spark_batch.upkeep.offsets import Break, Counted, breaks
from opensea_metrics.sql.language.catalog.sources import Window

LATE = "late beyond grace"
DUPLICATES = "duplicates in the archive"
GAP = "archive gap"
DAMAGED = "damaged file"
OPEN = "window not closed yet"
EXPIRED = "window no longer kept"
UNKNOWN = "unknown"

Recompute = Callable[[Archive], Mapping[RowKey, Row]]
"""The rows of the same windows from another archive."""


@dataclass(frozen=True)
class Cause:
    """``name`` is one of the constants above. ``detail`` is the evidence, or the causes that were ruled out."""

    name: str
    detail: str


@dataclass
class Investigator:
    """Finds causes for a table.

    ``window`` and ``retention`` (ms) belong to the table's grouping. ``time`` is the field with a record's time.
    ``files`` are all files of the archive. ``has_older`` returns whether the server has windows that start before
    a time.
    """

    source: Archive
    files: Sequence[ArchiveFile]
    window: Window
    retention: int | None
    time: str
    columns: Sequence[str]
    has_older: Callable[[int], bool]
    _closings: dict[int, dict[int, int]] = field(default_factory=dict)

    def explain(
        self,
        differing: Sequence[RowDifference],
        streamed: Mapping[RowKey, Row],
        read: Sequence[ArchiveFile],
        damaged: Mapping[str, Damage],
        recompute: Recompute,
    ) -> dict[RowKey, Cause]:
        """A cause for each row that differs.

        The rows were recomputed from the files ``read``. The ``damaged`` files among these lack records.
        """
        causes: dict[RowKey, Cause] = {}

        def unexplained() -> list[RowDifference]:
            return [row for row in differing if row.row_key not in causes]

        def settled(kept: Kept, of: Sequence[RowDifference], cause: Cause) -> None:
            with tempfile.TemporaryDirectory(prefix="opensea-metrics-") as folder:
                rows = recompute(copied(self.source, read, Path(folder) / "variant", kept))
            for row in of:
                key = row.row_key
                one, other = ({key: some[key]} if key in some else {} for some in (streamed, rows))
                if not differences(one, other, self.columns):
                    causes[key] = cause

        shown = {start for start, _ in streamed}
        for start in sorted({row.window for row in differing} - shown):
            if self._has_expired(start):
                detail = "the server has no rows of this window or earlier ones, and RETENTION has passed"
                causes |= {row.row_key: Cause(EXPIRED, detail) for row in differing if row.window == start}
        tried = []
        # A record that was filed twice may look late, but a late record does not look filed twice.
        for in_all, detail in (
            (False, "equal if records that are in several files count once"),
            (True, "equal if equal records count once"),
        ):
            if left := unexplained():
                settled(once(in_all), left, Cause(DUPLICATES, detail))
                tried.append("duplicates")
        for phase, group in self._phases(unexplained()):
            if any(self._closing(row.window) for row in group):
                kept = partial(self._is_in_time, phase)
                detail = "equal without the records that came after the window's end and grace period"
                settled(kept, group, Cause(LATE, detail))
                tried.append("late records")
        gaps = list(self._gaps(unexplained()))
        tried.append("gaps")
        for row in unexplained():
            close = row.window + self.window.size + self.window.grace
            end = row.window + self.window.size
            lacking = (file for file in read if file.path in damaged and damaged[file.path].missing != 0)
            if lost := next((f for f in lacking if _between((f, f), row.window, end)), None):
                causes[row.row_key] = Cause(DAMAGED, f"{lost.name}: {damaged[lost.path]}")
            elif gap := next((g for g in gaps if _between((g.after, g.before), row.window, end)), None):
                causes[row.row_key] = Cause(GAP, _gap_text(gap))
            elif not self._closing(row.window):
                detail = f"the archive has no record of {iso(close)} (its end and grace period) or later"
                causes[row.row_key] = Cause(OPEN, detail)
            else:
                causes[row.row_key] = Cause(UNKNOWN, f"not {', '.join(dict.fromkeys(tried))}")
        return causes

    def _has_expired(self, start: int) -> bool:
        """Whether the server may have dropped a window because of its age."""
        if self.retention is None or self.has_older(start):
            return False
        return any(file.hour_ms >= start + self.retention for file in self.files)

    def _phases(
        self, differing: Sequence[RowDifference]
    ) -> Iterator[tuple[int, list[RowDifference]]]:
        """The rows in groups of windows that do not overlap, so a record is in only one window of a group."""
        groups: dict[int, list[RowDifference]] = defaultdict(list)
        for row in differing:
            groups[row.window % self.window.size].append(row)
        yield from groups.items()

    def _is_in_time(self, phase: int, file: ArchiveFile, offset: int, line: bytes) -> bool:
        time = time_of(line, self.time)
        if time is None:
            return True
        closing = self._closing(time - (time - phase) % self.window.size).get(file.partition)
        return closing is None or offset < closing

    def _closing(self, start: int) -> dict[int, int]:
        """For each partition, the first offset whose time is not before the window's end plus grace period.

        Stream time is the greatest time so far. So from this offset on, each record of the window is late.
        """
        close = start + self.window.size + self.window.grace
        if close in self._closings:
            return self._closings[close]
        offsets: dict[int, int] = {}
        for file in self.files:
            if file.hour_ms >= close:
                offset: int | None = file.start
            elif file.hour_ms >= 0 and file.hour_ms + HOUR_MS > close:
                times = ((at, time_of(line, self.time)) for at, line in records(self.source, file))
                offset = min((at for at, time in times if time and time >= close), default=None)
            else:
                continue
            if offset is not None:
                offsets[file.partition] = min(offset, offsets.get(file.partition, offset))
        self._closings[close] = offsets
        return offsets

    def _gaps(self, differing: Sequence[RowDifference]) -> Iterator[Break]:
        """The gaps of offsets in the hours of the rows' windows, and between the files around these hours."""
        if not differing:
            return
        first = min(row.window for row in differing)
        end = max(row.window for row in differing) + self.window.size
        starts = {(file.partition, file.start) for file in self.files}
        inside = sorted((f for f in self.files if f.hour_ms >= 0), key=lambda f: (f.partition, f.start))
        for _, group in groupby(inside, lambda file: file.partition):
            files = list(group)
            near = sorted(
                {
                    at
                    for index, pair in enumerate(pairwise(files))
                    if _between(pair, first, end)
                    for at in (index, index + 1)
                }
            )
            counted = [Counted(files[at], _count(self.source, files[at])) for at in near]
            for gap in breaks(counted):
                if gap.kind == "gap" and (gap.after.partition, gap.start) not in starts:
                    yield gap


def _count(source: Archive, file: ArchiveFile) -> int:
    if file.end is not None:
        return file.end - file.start
    return sum(1 for _ in records(source, file))


def _between(files: tuple[ArchiveFile, ArchiveFile], first: int, end: int) -> bool:
    """Whether records between two files may have times in [first, end)."""
    hours = [file.hour_ms for file in files]
    return min(hours) < end and max(hours) + HOUR_MS > first


def _gap_text(gap: Break) -> str:
    return (
        f"partition {gap.after.partition} has no offsets {gap.start} to {gap.end - 1} "
        f"between {gap.after.name} and {gap.before.name}"
    )
