"""Chooses the files that are compacted together. Plain data and pure functions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from opensea_metrics.producer.archive.layout import HOUR_MS, ArchiveFile, covers

MOST_RECORDS = 250_000
MOST_BYTES = 256 * 1024 * 1024
"""The most records and bytes of text in a compacted file. A single original may have twice as many."""


@dataclass(frozen=True)
class HourGroup:
    """The files of one partition in one hour's folder: the files to compact, and the compacted files."""

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
    """An original that was read: its number of records, their bytes, and the SHA-256 (hex) of its lines.

    Bytes and hash include a line end for each line. ``problem`` says why the file cannot be compacted.
    """

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
    """A file that is not compacted, and why."""

    path: str
    reason: str


def groups(
    files: Iterable[ArchiveFile],
    now_ms: int,
    min_age_ms: int,
    first_ms: int | None = None,
    end_ms: int | None = None,
) -> list[HourGroup]:
    """The groups to compact: those with originals whose hour is in [first_ms, end_ms).

    The hour must have ended at least ``min_age_ms`` ago. Files outside the folders of hours are not touched.
    """
    by_partition: dict[tuple[int, str, int], list[ArchiveFile]] = defaultdict(list)
    for file in files:
        over = file.hour_ms + HOUR_MS
        if (
            file.hour_ms >= 0
            and file.is_numbered
            and over + min_age_ms <= now_ms
            and (first_ms is None or file.hour_ms >= first_ms)
            and (end_ms is None or over <= end_ms)
        ):
            by_partition[file.hour_ms, file.folder, file.partition].append(file)
    hour_groups = []
    for (hour_ms, folder, partition), group in sorted(by_partition.items()):
        originals = tuple(file for file in group if file.form != "parquet")
        compacted = tuple(file for file in group if file.form == "parquet")
        if originals:
            hour_groups.append(HourGroup(folder, hour_ms, partition, originals, compacted))
    return hour_groups


def covered_by(group: HourGroup) -> dict[ArchiveFile, list[ArchiveFile]]:
    """The compacted files of a group whose originals still exist, with these originals."""
    covered: dict[ArchiveFile, list[ArchiveFile]] = defaultdict(list)
    for original in group.originals:
        owner = next((parquet for parquet in group.compacted if covers(parquet, original)), None)
        if owner is not None:
            covered[owner].append(original)
    return dict(covered)


def runs(
    measured: Sequence[Measured],
    compacted: Sequence[ArchiveFile],
    most_records: int = MOST_RECORDS,
    most_bytes: int = MOST_BYTES,
) -> tuple[list[list[Measured]], list[Left]]:
    """The runs of files with adjoining offsets, and the files that are not compacted. Each run becomes one file.

    Files that overlap are not compacted. A compacted file replaces every file that starts within its offsets. So
    it must contain the records of all such files.
    """
    overlapping = _overlapping(measured, compacted)
    left: list[Left] = []
    adjoining: list[list[Measured]] = []
    records = size = 0
    for original in sorted(measured, key=lambda original: original.file):
        reason = original.problem or overlapping.get(original.file.path)
        if reason is None and original.records == 0:
            reason = "it has no records"
        if reason is None and (original.records > 2 * most_records or original.bytes > 2 * most_bytes):
            reason = f"it is too large to sort: {original.records:,} records, {original.bytes:,} bytes of text"
        if reason is not None:
            left.append(Left(original.file.path, reason))
            continue
        records, size = records + original.records, size + original.bytes
        if (
            not adjoining
            or adjoining[-1][-1].end != original.file.start
            or records > most_records
            or size > most_bytes
        ):
            adjoining.append([])
            records, size = original.records, original.bytes
        adjoining[-1].append(original)
    return adjoining, left


def _overlapping(
    measured: Sequence[Measured], compacted: Sequence[ArchiveFile]
) -> dict[str, str]:
    """The paths of files that share offsets with another file, with the reason, which names that file."""
    spans = [(original.file.start, max(original.end, original.file.start + 1), original.file.path)
             for original in measured if original.records or original.problem]  # fmt: skip
    spans += [(file.start, file.end or 0, file.path) for file in compacted]
    reasons: dict[str, str] = {}
    widest: tuple[int, int, str] | None = None
    for span in sorted(spans):
        if widest is not None and span[0] < widest[1]:
            reasons.setdefault(span[2], f"it shares offsets with {widest[2]}")
            reasons.setdefault(widest[2], f"it shares offsets with {span[2]}")
        if widest is None or span[1] > widest[1]:
            widest = span
    return reasons
