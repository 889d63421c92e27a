"""``archive check``: finds defects in an archive."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby

import numpy as np

from opensea_metrics.producer.archive.archive_files import DAY_MS
from opensea_metrics.producer.archive.errors import EMPTY
from opensea_metrics.producer.archive.layout import HOUR_MS, ArchiveFile
from opensea_metrics.producer.archive.location import Archive
from opensea_metrics.spark_batch.prefetch import in_order
from opensea_metrics.spark_batch.upkeep.contents import FileContents, contents_of, units
from opensea_metrics.spark_batch.upkeep.offsets import Break, Counted, breaks
from opensea_metrics.spark_batch.upkeep.report import (
    ArchiveFinding,
    ArchiveReport,
    FindingKind,
    PartitionSummary,
)
from opensea_metrics.spark_batch.upkeep.rows import database
from opensea_metrics.sql.language.catalog.sources import Source as Stream

WORKERS = 2
"""The number of units of files that are processed at the same time. One is read while another is decoded."""

Progress = Callable[[int, int, int], None]


def check(
    source: Archive,
    stream: Stream,
    first_ms: int | None = None,
    end_ms: int | None = None,
    progress: Progress = lambda done, total, files: None,
) -> ArchiveReport:
    """Read the files of the hours in [first_ms, end_ms) and report defects.

    ``stream`` declares the topic (``rows.raw_stream``). Calls ``progress`` with the bytes done, the total bytes, and
    the files done. Memory grows only by a few numbers for each file. Raises ArchiveError if the archive or one of its
    files cannot be fetched.
    """
    began = time.monotonic()
    listing = source.listing(first_ms, end_ms)
    files = listing.newest
    kept = {file.path for file in files}
    strange = listing.refused | listing.others
    findings = [ArchiveFinding(FindingKind.STRANGE, path, reason) for path, reason in strange.items()]
    findings += [
        ArchiveFinding(FindingKind.COVERED, file.path, "`archive compact` without --keep removes it")
        for file in listing.files
        if file.path not in kept
    ]
    counted: list[Counted] = []
    for hour in _by_hour(_read(source, stream, files, progress)):
        for contents in hour:
            findings += _of_file(contents)
            counted.append(Counted(contents.file, contents.records))
        findings += _repeated(hour)
    present = [count for count in counted if count.records and count.file.is_numbered]
    elsewhere = _starts_elsewhere(source, first_ms, end_ms)
    for partition, group in groupby(sorted(present, key=_partition), _partition):
        findings += [
            _broken(partition, fault) for fault in breaks(group) if not _explained(partition, fault, elsewhere)
        ]
    order = list(FindingKind)
    return ArchiveReport(
        url=source.url,
        partitions=tuple(_summaries(counted)),
        findings=tuple(
            replace(finding, where=finding.where.removeprefix(f"{source.root}/"))
            for finding in sorted(findings, key=lambda finding: (order.index(finding.kind), finding.where))
        ),
        first_ms=min((file.hour_ms for file in files if file.hour_ms >= 0), default=None),
        last_ms=max((file.hour_ms for file in files if file.hour_ms >= 0), default=None),
        seconds=time.monotonic() - began,
    )


def _read(
    source: Archive,
    stream: Stream,
    files: Sequence[ArchiveFile],
    progress: Progress,
) -> Iterator[FileContents]:
    done = size = 0
    total = sum(file.size for file in files)
    with (
        database(source.folders(file for file in files if file.form == "parquet")) as (connection, folder),
        ThreadPoolExecutor(WORKERS) as pool,
    ):

        def work(unit: list[ArchiveFile]) -> list[FileContents]:
            with connection.cursor() as cursor:
                return contents_of(source, unit, cursor, stream, folder)

        for unit_contents in in_order(pool, work, units(files), 2 * WORKERS):
            for contents in unit_contents:
                done, size = done + 1, size + contents.file.size
                yield contents
            progress(size, total, done)


def _by_hour(files: Iterable[FileContents]) -> Iterator[list[FileContents]]:
    """The files of each hour and partition together."""
    for _, group in groupby(files, lambda contents: (contents.file.hour_ms, contents.file.partition)):
        yield list(group)


def _of_file(contents: FileContents) -> Iterator[ArchiveFinding]:
    path = contents.file.path
    if contents.file.hour_ms < 0:
        detail = "readers cannot tell whether a period needs it"
        yield ArchiveFinding(FindingKind.OUTSIDE, path, detail, contents.records)
    if not contents.file.is_numbered:
        yield ArchiveFinding(FindingKind.UNNUMBERED, path, "its records belong to partition 0", contents.records)
    if contents.damage == EMPTY:
        yield ArchiveFinding(FindingKind.EMPTY, path, EMPTY)
    elif contents.damage is not None:
        detail = f"{contents.damage}; {contents.records} records before that"
        yield ArchiveFinding(FindingKind.UNREADABLE, path, detail, contents.records)
    elif contents.records == 0:
        yield ArchiveFinding(FindingKind.EMPTY, path, f"{contents.file.size} bytes, no records")
    if contents.misplaced:
        spans = [
            f"up to {_span(ms)} {word} its hour"
            for ms, word in ((contents.early_ms, "before"), (contents.late_ms, "after"))
            if ms > 0
        ]
        # Readers also read the hour after a period (the default of --margin).
        is_late = contents.late_ms <= 0 and contents.early_ms <= HOUR_MS
        kind = FindingKind.LATE if is_late else FindingKind.MISPLACED
        yield ArchiveFinding(kind, path, ", ".join(spans), contents.misplaced)
    if contents.failed:
        detail = f"the first at offset {contents.failed_offset}: {contents.failed_reason}"
        yield ArchiveFinding(FindingKind.FAILED, path, detail, contents.failed)


def _repeated(group: Sequence[FileContents]) -> Iterator[ArchiveFinding]:
    """A finding if records of an hour are in its files more than once.

    Equal records have the same key and event time. So they are in the same partition and, if the archive is filed
    by event time, in the same hour.
    """
    hashes = [part for contents in group for part in contents.hashes]
    for contents in group:
        contents.hashes.clear()
    if not hashes:
        return
    every = np.concatenate(hashes)
    if repeated := len(every) - len(np.unique(every)):
        file = group[0].file
        yield ArchiveFinding(
            FindingKind.REPEATED, file.folder, f"of {len(every):,} in partition {file.partition}", repeated
        )


def _broken(partition: int, fault: Break) -> ArchiveFinding:
    names = " and ".join(_hour_and_name(file) for file in (fault.after, fault.before))
    if fault.kind == "gap":
        kind, detail = FindingKind.GAP, f"between {names}"
    else:
        kind, detail = FindingKind.OVERLAP, f"in {names}"
    where = f"partition {partition}, offsets {fault.start} to {fault.end - 1}"
    return ArchiveFinding(kind, where, detail, fault.end - fault.start)


def _hour_and_name(file: ArchiveFile) -> str:
    """The end of a path, which begins with the year."""
    return "/".join(file.path.rsplit("/", 5)[-5:]) if file.hour_ms >= 0 else file.name


def _starts_elsewhere(
    source: Archive, first_ms: int | None, end_ms: int | None
) -> frozenset[tuple[int, int]]:
    """The partitions and starts of the files in the day before a period and the day after it.

    Late records are filed under their own hour. So a partition's offsets can continue in these files, and then
    return to the period.
    """
    if first_ms is None and end_ms is None:
        return frozenset()
    before = None if first_ms is None else first_ms - DAY_MS
    after = None if end_ms is None else end_ms + DAY_MS
    return frozenset(
        (file.partition, file.start)
        for file in source.files(before, after)
        if (first_ms is not None and file.hour_ms < first_ms)
        or (end_ms is not None and file.hour_ms >= end_ms)
    )


def _explained(partition: int, fault: Break, elsewhere: frozenset[tuple[int, int]]) -> bool:
    return fault.kind == "gap" and (partition, fault.start) in elsewhere


def _summaries(counted: Iterable[Counted]) -> Iterator[PartitionSummary]:
    for partition, group in groupby(sorted(counted, key=_partition), _partition):
        counts = list(group)
        yield PartitionSummary(
            partition=partition,
            files=len(counts),
            compacted=sum(count.file.form == "parquet" for count in counts),
            records=sum(count.records for count in counts),
            bytes=sum(count.file.size for count in counts),
            start=min(count.file.start for count in counts),
            end=max(count.end for count in counts),
        )


def _partition(counted: Counted) -> int:
    return counted.file.partition


def _span(ms: int) -> str:
    """A duration for a person: 1 d 02:03:04."""
    days, rest = divmod(ms, DAY_MS)
    clock = datetime.fromtimestamp(rest // 1000, UTC).strftime("%H:%M:%S")
    return f"{days} d {clock}" if days else clock if rest >= 1000 else f"{rest} ms"
