"""``archive check``: what is wrong with an archive."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby

import numpy as np

from opensea_metrics.producer.layout import HOUR_MS, ArchiveFile, newest_cover
from opensea_metrics.spark_batch.ahead import in_order
from opensea_metrics.spark_batch.archive.facts import Facts, facts_of, units
from opensea_metrics.spark_batch.archive.findings import Finding, Kind, PartitionSummary, Report
from opensea_metrics.spark_batch.archive.offsets import Break, Counted, breaks
from opensea_metrics.spark_batch.archive.rows import database
from opensea_metrics.spark_batch.source import DAY_MS, Source
from opensea_metrics.sql.language.catalog.sources import Source as Stream

WORKERS = 2
"""Units of files at a time: one is read while another is decoded."""

Progress = Callable[[int, int, int], None]


def check(
    source: Source,
    stream: Stream,
    first_ms: int | None = None,
    end_ms: int | None = None,
    progress: Progress = lambda done, total, files: None,
) -> Report:
    """Read the files of the hours in [first_ms, end_ms) and report what is wrong.

    ``stream`` declares the topic (``rows.raw_stream``). ``progress`` is told how many bytes are done, of
    how many, and how many files. Memory does not grow with the archive but by a
    few numbers a file. Raises SourceError if the archive or one of its files cannot be had.
    """
    began = time.monotonic()
    listed, strange = source.listing(first_ms, end_ms)
    files = newest_cover(listed)
    kept = {file.path for file in files}
    findings = [Finding(Kind.STRANGE, path, reason) for path, reason in strange]
    findings += [
        Finding(Kind.COVERED, file.path, "`archive compact` without --keep removes it")
        for file in listed
        if file.path not in kept
    ]
    counted: list[Counted] = []
    for facts in _of_hours(_read(source, stream, files, progress)):
        for each in facts:
            findings += _of_file(each)
            counted.append(Counted(each.file, each.records))
        findings += _repeated(facts)
    present = [each for each in counted if each.records]
    elsewhere = _starts_elsewhere(source, first_ms, end_ms)
    for partition, group in groupby(sorted(present, key=_partition), _partition):
        found = breaks(group)
        findings += [_broken(partition, each) for each in found if not _explained(partition, each, elsewhere)]
    order = list(Kind)
    return Report(
        url=source.url,
        partitions=tuple(_summaries(counted)),
        findings=tuple(
            replace(each, where=each.where.removeprefix(f"{source.root}/"))
            for each in sorted(findings, key=lambda each: (order.index(each.kind), each.where))
        ),
        first_ms=min((file.hour_ms for file in files if file.hour_ms >= 0), default=None),
        last_ms=max((file.hour_ms for file in files if file.hour_ms >= 0), default=None),
        seconds=time.monotonic() - began,
    )


def _read(
    source: Source,
    stream: Stream,
    files: Sequence[ArchiveFile],
    progress: Progress,
) -> Iterator[Facts]:
    done = size = 0
    total = sum(file.size for file in files)
    with (
        database(source.folders(file for file in files if file.form == "parquet")) as (connection, folder),
        ThreadPoolExecutor(WORKERS) as pool,
    ):

        def work(unit: list[ArchiveFile]) -> list[Facts]:
            with connection.cursor() as cursor:
                return facts_of(source, unit, cursor, stream, folder)

        for found in in_order(pool, work, units(files), 2 * WORKERS):
            for facts in found:
                done, size = done + 1, size + facts.file.size
                yield facts
            progress(size, total, done)


def _of_hours(found: Iterable[Facts]) -> Iterator[list[Facts]]:
    """The files of one hour and partition together."""
    for _, group in groupby(found, lambda facts: (facts.file.hour_ms, facts.file.partition)):
        yield list(group)


def _of_file(facts: Facts) -> Iterator[Finding]:
    path = facts.file.path
    if facts.file.hour_ms < 0:
        yield Finding(Kind.OUTSIDE, path, "readers cannot tell whether a period needs it", facts.records)
    if facts.damage is not None:
        detail = f"{facts.damage}; {facts.records} records before that"
        yield Finding(Kind.UNREADABLE, path, detail, facts.records)
    elif facts.records == 0:
        yield Finding(Kind.EMPTY, path, f"{facts.file.size} bytes, no records")
    if facts.misplaced:
        spans = [
            f"up to {_span(ms)} {word} its hour"
            for ms, word in ((facts.early_ms, "before"), (facts.late_ms, "after"))
            if ms > 0
        ]
        # Readers look into the hour after a period, too (the default of --margin).
        is_late = facts.late_ms <= 0 and facts.early_ms <= HOUR_MS
        kind = Kind.LATE if is_late else Kind.MISPLACED
        yield Finding(kind, path, ", ".join(spans), facts.misplaced)
    if facts.failed:
        detail = f"the first at offset {facts.failed_offset}: {facts.failed_reason}"
        yield Finding(Kind.FAILED, path, detail, facts.failed)


def _repeated(group: Sequence[Facts]) -> Iterator[Finding]:
    """Records that are there twice. Equal records have one key and event time: so they are in one
    partition and, if the archive is filed by event time, in one hour."""
    hashes = [part for facts in group for part in facts.hashes]
    for facts in group:
        facts.hashes.clear()
    if not hashes:
        return
    every = np.concatenate(hashes)
    if repeated := len(every) - len(np.unique(every)):
        file = group[0].file
        yield Finding(
            Kind.REPEATED, file.folder, f"of {len(every):,} in partition {file.partition}", repeated
        )


def _broken(partition: int, each: Break) -> Finding:
    names = " and ".join(_hour_and_name(file) for file in (each.after, each.before))
    if each.kind == "gap":
        kind, detail = Kind.GAP, f"between {names}"
    else:
        kind, detail = Kind.OVERLAP, f"in {names}"
    where = f"partition {partition}, offsets {each.start} to {each.end - 1}"
    return Finding(kind, where, detail, each.end - each.start)


def _hour_and_name(file: ArchiveFile) -> str:
    """The end of a path, from the year on."""
    return "/".join(file.path.rsplit("/", 5)[-5:]) if file.hour_ms >= 0 else file.name


def _starts_elsewhere(
    source: Source, first_ms: int | None, end_ms: int | None
) -> frozenset[tuple[int, int]]:
    """Partition and start of the files in the day before and after a period: a partition's offsets
    go on in them and come back, as late records are filed under their own hour."""
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


def _explained(partition: int, each: Break, elsewhere: frozenset[tuple[int, int]]) -> bool:
    return each.kind == "gap" and (partition, each.start) in elsewhere


def _summaries(counted: Iterable[Counted]) -> Iterator[PartitionSummary]:
    for partition, group in groupby(sorted(counted, key=_partition), _partition):
        files = list(group)
        yield PartitionSummary(
            partition=partition,
            files=len(files),
            compacted=sum(each.file.form == "parquet" for each in files),
            records=sum(each.records for each in files),
            bytes=sum(each.file.size for each in files),
            start=min(each.file.start for each in files),
            end=max(each.end for each in files),
        )


def _partition(each: Counted) -> int:
    return each.file.partition


def _span(ms: int) -> str:
    """A duration for a person: 1 d 02:03:04."""
    days, rest = divmod(ms, DAY_MS)
    clock = datetime.fromtimestamp(rest // 1000, UTC).strftime("%H:%M:%S")
    return f"{days} d {clock}" if days else clock if rest >= 1000 else f"{rest} ms"
