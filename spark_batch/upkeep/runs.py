"""Which files are compacted together. Plain data and pure functions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from opensea_metrics.producer.archive.layout import HOUR_MS, ArchiveFile, covers

MOST_RECORDS = 250_000
MOST_BYTES = 256 * 1024 * 1024
"""Records and bytes of text in a compacted file; a single original may have twice as many."""


@dataclass(frozen=True)
class HourGroup:
    """The files of one partition in one hour's folder: those to be compacted and those that are."""

    folder: str
    hour_ms: int
    partition: int
    originals: tuple[ArchiveFile, ...]
    compacted: tuple[ArchiveFile, ...]

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.originals)


@dataclass(frozen=True)
class Measured:
    """An original, read: its records, their bytes, and the SHA-256 (hex) of its lines, each with a
    line end. ``problem``: why it cannot be compacted."""

    file: ArchiveFile
    records: int
    bytes: int
    digest: str
    problem: str | None = None

    @property
    def end(self) -> int:
        return self.file.start + self.records


@dataclass(frozen=True)
class Left:
    """A file that stays as it is, and why."""

    path: str
    reason: str


def groups(
    files: Iterable[ArchiveFile],
    now_ms: int,
    min_age_ms: int,
    first_ms: int | None = None,
    end_ms: int | None = None,
) -> list[HourGroup]:
    """What there is to do: folders with originals whose hour ended at least ``min_age_ms`` ago and
    lies in [first_ms, end_ms). Files outside the folders of hours are not touched."""
    found: dict[tuple[int, str, int], list[ArchiveFile]] = defaultdict(list)
    for file in files:
        over = file.hour_ms + HOUR_MS
        if (
            file.hour_ms >= 0
            and file.is_numbered
            and over + min_age_ms <= now_ms
            and (first_ms is None or file.hour_ms >= first_ms)
            and (end_ms is None or over <= end_ms)
        ):
            found[file.hour_ms, file.folder, file.partition].append(file)
    made = []
    for (hour_ms, folder, partition), group in sorted(found.items()):
        originals = tuple(file for file in group if file.form != "parquet")
        compacted = tuple(file for file in group if file.form == "parquet")
        if originals:
            made.append(HourGroup(folder, hour_ms, partition, originals, compacted))
    return made


def covered_by(group: HourGroup) -> dict[ArchiveFile, list[ArchiveFile]]:
    """The compacted files of a group that have originals beside them, with those."""
    found: dict[ArchiveFile, list[ArchiveFile]] = defaultdict(list)
    for original in group.originals:
        owner = next((each for each in group.compacted if covers(each, original)), None)
        if owner is not None:
            found[owner].append(original)
    return dict(found)


def runs(
    measured: Sequence[Measured],
    compacted: Sequence[ArchiveFile],
    most_records: int = MOST_RECORDS,
    most_bytes: int = MOST_BYTES,
) -> tuple[list[list[Measured]], list[Left]]:
    """Files with adjoining offsets, each run to become one file; and what is left as it is.

    Files that overlap are left, all of them: a compacted file stands for every file that starts
    within it, so it may not be made beside one whose records it does not have.
    """
    overlapping = _overlapping(measured, compacted)
    left: list[Left] = []
    found: list[list[Measured]] = []
    records = size = 0
    for each in sorted(measured, key=lambda each: each.file):
        reason = each.problem or overlapping.get(each.file.path)
        if reason is None and each.records == 0:
            reason = "it has no records"
        if reason is None and (each.records > 2 * most_records or each.bytes > 2 * most_bytes):
            reason = f"it is too large to be sorted: {each.records:,} records, {each.bytes:,} bytes of text"
        if reason is not None:
            left.append(Left(each.file.path, reason))
            continue
        records, size = records + each.records, size + each.bytes
        if (
            not found
            or found[-1][-1].end != each.file.start
            or records > most_records
            or size > most_bytes
        ):
            found.append([])
            records, size = each.records, each.bytes
        found[-1].append(each)
    return found, left


def _overlapping(
    measured: Sequence[Measured], compacted: Sequence[ArchiveFile]
) -> dict[str, str]:
    """The paths of files that share offsets with another, and with which."""
    spans = [(each.file.start, max(each.end, each.file.start + 1), each.file.path)
             for each in measured if each.records or each.problem]  # fmt: skip
    spans += [(file.start, file.end or 0, file.path) for file in compacted]
    found: dict[str, str] = {}
    widest: tuple[int, int, str] | None = None
    for span in sorted(spans):
        if widest is not None and span[0] < widest[1]:
            found.setdefault(span[2], f"it has offsets that {widest[2]} has too")
            found.setdefault(widest[2], f"it has offsets that {span[2]} has too")
        if widest is None or span[1] > widest[1]:
            widest = span
    return found
