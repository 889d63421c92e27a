"""Why streamed windows differ from recomputed ones: found by recomputing from changed copies of the
archive, and from what its files show."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby, pairwise
from pathlib import Path

from opensea_metrics.producer.layout import HOUR_MS, ArchiveFile
from opensea_metrics.spark_batch.archive.offsets import Break, Counted, breaks
from opensea_metrics.spark_batch.damage import Damage
from opensea_metrics.spark_batch.period import iso
from opensea_metrics.spark_batch.reconcile.compare import Row, RowDifference, RowKey, differences
from opensea_metrics.spark_batch.reconcile.variants import Kept, copied, once, records, time_of
from opensea_metrics.spark_batch.source import Source
from opensea_metrics.sql.language.catalog.sources import Window

LATE = "late beyond grace"
DUPLICATES = "duplicates in the archive"
GAP = "archive gap"
DAMAGED = "damaged file"
OPEN = "window not closed yet"
EXPIRED = "window no longer kept"
UNKNOWN = "unknown"

Recompute = Callable[[Source], Mapping[RowKey, Row]]
"""The rows of the same windows from another archive."""


@dataclass(frozen=True)
class Cause:
    """``name`` is one of the above; ``detail`` what speaks for it, or what was ruled out."""

    name: str
    detail: str


@dataclass
class Investigator:
    """Finds causes for a table: ``window`` and ``retention`` (ms) are those of its grouping, ``time``
    is the records' field with their time, ``files`` is the whole archive; ``has_older`` tells whether
    the server has windows that start before a time."""

    source: Source
    files: Sequence[ArchiveFile]
    window: Window
    retention: int | None
    time: str
    columns: Sequence[str]
    has_older: Callable[[int], bool]
    _closings: dict[int, dict[int, int]] = field(default_factory=dict)

    def explain(
        self,
        found: Sequence[RowDifference],
        streamed: Mapping[RowKey, Row],
        read: Sequence[ArchiveFile],
        damaged: Mapping[str, Damage],
        recompute: Recompute,
    ) -> dict[RowKey, Cause]:
        """A cause for each row that differs; ``read`` are the files that it was recomputed from, of which
        the ``damaged`` ones lack records."""
        causes: dict[RowKey, Cause] = {}

        def unexplained() -> list[RowDifference]:
            return [each for each in found if each.row_key not in causes]

        def settled(kept: Kept, of: Sequence[RowDifference], cause: Cause) -> None:
            with tempfile.TemporaryDirectory(prefix="opensea-metrics-") as folder:
                rows = recompute(copied(self.source, read, Path(folder) / "variant", kept))
            for each in of:
                key = each.row_key
                one, other = ({key: some[key]} if key in some else {} for some in (streamed, rows))
                if not differences(one, other, self.columns):
                    causes[key] = cause

        shown = {start for start, _ in streamed}
        for start in sorted({each.window for each in found} - shown):
            if self._has_expired(start):
                detail = "the server has no row of it nor of any before it, and RETENTION has passed"
                causes |= {e.row_key: Cause(EXPIRED, detail) for e in found if e.window == start}
        tried = []
        # A record that was filed twice may look late, but not the other way round.
        for in_all, detail in (
            (False, "equal if records that are in several files count once"),
            (True, "equal if equal records count once"),
        ):
            if left := unexplained():
                settled(once(in_all), left, Cause(DUPLICATES, detail))
                tried.append("duplicates")
        for phase, group in self._phases(unexplained()):
            if any(self._closing(each.window) for each in group):
                kept = partial(self._is_in_time, phase)
                detail = "equal without the records that came after window end and grace had passed"
                settled(kept, group, Cause(LATE, detail))
                tried.append("late records")
        gaps = list(self._gaps(unexplained()))
        tried.append("gaps")
        for each in unexplained():
            close = each.window + self.window.size + self.window.grace
            end = each.window + self.window.size
            lacking = (file for file in read if file.path in damaged and damaged[file.path].missing != 0)
            if lost := next((f for f in lacking if _between((f, f), each.window, end)), None):
                causes[each.row_key] = Cause(DAMAGED, f"{lost.name}: {damaged[lost.path]}")
            elif gap := next((g for g in gaps if _between((g.after, g.before), each.window, end)), None):
                causes[each.row_key] = Cause(GAP, _gap_text(gap))
            elif not self._closing(each.window):
                detail = f"no record of {iso(close)} (its end and grace) or later is in the archive"
                causes[each.row_key] = Cause(OPEN, detail)
            else:
                causes[each.row_key] = Cause(UNKNOWN, f"not {', '.join(dict.fromkeys(tried))}")
        return causes

    def _has_expired(self, start: int) -> bool:
        """Whether a window that the server does not have may have been dropped for its age."""
        if self.retention is None or self.has_older(start):
            return False
        return any(file.hour_ms >= start + self.retention for file in self.files)

    def _phases(
        self, found: Sequence[RowDifference]
    ) -> Iterator[tuple[int, list[RowDifference]]]:
        """The rows in groups of windows that do not overlap: a record is in one window of a group."""
        groups: dict[int, list[RowDifference]] = defaultdict(list)
        for each in found:
            groups[each.window % self.window.size].append(each)
        yield from groups.items()

    def _is_in_time(self, phase: int, file: ArchiveFile, offset: int, line: bytes) -> bool:
        time = time_of(line, self.time)
        if time is None:
            return True
        closing = self._closing(time - (time - phase) % self.window.size).get(file.partition)
        return closing is None or offset < closing

    def _closing(self, start: int) -> dict[int, int]:
        """By partition: the first offset of which the time is not before a window's end and grace.

        From there on a record of the window is late, as stream time is the greatest time so far.
        """
        close = start + self.window.size + self.window.grace
        if close in self._closings:
            return self._closings[close]
        found: dict[int, int] = {}
        for file in self.files:
            if file.hour_ms >= close:
                offset: int | None = file.start
            elif file.hour_ms >= 0 and file.hour_ms + HOUR_MS > close:
                times = ((at, time_of(line, self.time)) for at, line in records(self.source, file))
                offset = min((at for at, time in times if time and time >= close), default=None)
            else:
                continue
            if offset is not None:
                found[file.partition] = min(offset, found.get(file.partition, offset))
        self._closings[close] = found
        return found

    def _gaps(self, found: Sequence[RowDifference]) -> Iterator[Break]:
        """Gaps of offsets in the hours of some windows, and between the files around these."""
        if not found:
            return
        first = min(each.window for each in found)
        end = max(each.window for each in found) + self.window.size
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
            for each in breaks(counted):
                if each.kind == "gap" and (each.after.partition, each.start) not in starts:
                    yield each


def _count(source: Source, file: ArchiveFile) -> int:
    if file.end is not None:
        return file.end - file.start
    return sum(1 for _ in records(source, file))


def _between(files: tuple[ArchiveFile, ArchiveFile], first: int, end: int) -> bool:
    """Whether records between two files may be of a time [first, end)."""
    hours = [file.hour_ms for file in files]
    return min(hours) < end and max(hours) + HOUR_MS > first


def _gap_text(gap: Break) -> str:
    return (
        f"partition {gap.after.partition} has no offsets {gap.start} to {gap.end - 1} "
        f"between {gap.after.name} and {gap.before.name}"
    )
