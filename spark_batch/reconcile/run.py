"""Compares the windows of a table in a period, range by range."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.producer.archive.damage import Damage
from opensea_metrics.producer.archive.layout import HOUR_MS, ArchiveFile
from opensea_metrics.producer.archive.location import Archive
from opensea_metrics.spark_batch.period import Period
from opensea_metrics.spark_batch.recompute import Prepared, computed
from opensea_metrics.spark_batch.reconcile.causes import Cause, Investigator
from opensea_metrics.spark_batch.reconcile.compare import (
    Row,
    RowDifference,
    RowKey,
    by_key,
    differences,
)
from opensea_metrics.spark_batch.targets import window_of
from opensea_metrics.sql.language.catalog.sources import Source as Table

_RANGE_MS = 6 * HOUR_MS
"""The windows of this time span are compared together. Their rows are in memory."""


class Pull(Protocol):
    """Fetches rows of a table whose windows start in [first, end) from a server, at most ``limit`` of them."""

    def __call__(self, name: str, first: int, end: int, limit: int | None = None) -> Iterable[Row]: ...


Progress = Callable[[int, int], None]


class ReconcileError(OpenSeaMetricsError):
    """The requested table has no windows to compare."""


@dataclass(frozen=True)
class Finding:
    """A row that differs, and why."""

    row: RowDifference
    cause: Cause


@dataclass(frozen=True)
class Compared:
    """The comparison of the windows that start in [first, end). ``rows`` is the number of rows compared.

    The files in ``damaged``, by path, could not be read to their end.
    """

    first: int
    end: int
    rows: int
    findings: tuple[Finding, ...]
    damaged: Mapping[str, Damage]


def table_of(prepared: Prepared) -> Table:
    """The only table of a prepared run. Raises ReconcileError if it has no windows, or if there are several."""
    table, *others = prepared.job.pipeline.targets
    if others:
        raise ReconcileError(f"{prepared.request.wanted} is several tables: reconcile one table at a time")
    table_window = window_of(prepared.job.pipeline.catalog, table)
    if not table.is_table or table_window is None:
        raise ReconcileError(f"{table.name} is not a table with windows: choose one that has windows")
    if table_window[0].is_session:
        raise ReconcileError(f"{table.name} has sessions, which have no fixed size: compare it with `recompute`")
    return table


def reconcile(prepared: Prepared, pull: Pull, progress: Progress) -> Iterator[Compared]:
    """Compare the windows of a period. Calls ``progress`` with the milliseconds of the period done, and the total.

    Raises ReconcileError, and the errors of ``pull`` and of recomputing.
    """
    table = table_of(prepared)
    table_window = window_of(prepared.job.pipeline.catalog, table)
    assert table_window is not None
    window, retention = table_window
    keys = [column.name for column in table.columns if column.is_key]
    period = prepared.job.period
    (raw, *_) = prepared.job.pipeline.raw_sources()
    assert raw.timestamp is not None
    investigator: Investigator | None = None
    step = max(1, _RANGE_MS // window.advance) * window.advance
    last, whole = period.end - window.size + 1, period.end - period.first
    for first in range(period.first, last, step):
        end = min(first + step, last)
        within = partial(_report_range, progress, first - period.first, end - first, whole)
        within(0, 1)
        job = replace(
            prepared.job,
            period=Period(first, min(first + step - window.advance + window.size, period.end)),
        )
        files = _files(prepared, job.period)
        part = replace(prepared, job=replace(job, files=files))
        damaged: dict[str, Damage] = {}
        recomputed = _rows(part, keys, damaged, part.job.source, within)
        streamed = by_key(iter(pull(table.name, first, end)), keys)
        columns = [column.name for column in table.columns if not column.is_key]
        unlike = differences(streamed, recomputed, columns)
        causes: Mapping[RowKey, Cause] = {}
        if unlike:
            investigator = investigator or Investigator(
                source=prepared.job.source,
                files=prepared.job.source.files(),
                window=window,
                retention=retention,
                time=raw.timestamp,
                columns=columns,
                has_older=lambda start: any(True for _ in pull(table.name, 0, start, limit=1)),
            )
            causes = investigator.explain(
                unlike, streamed, files, damaged, partial(_rows, part, keys, {})
            )
        findings = tuple(Finding(row, causes[row.row_key]) for row in unlike)
        yield Compared(first, end, len(streamed.keys() | recomputed.keys()), findings, damaged)
    progress(whole, whole)


def _report_range(progress: Progress, first: int, size: int, whole: int, done: int, total: int) -> None:
    """Report that ``done`` of ``total`` of a range are compared, which begins after ``first`` ms of the period."""
    progress(first + size * done // max(total, 1), whole)


def _files(prepared: Prepared, period: Period) -> list[ArchiveFile]:
    end = period.end + prepared.request.margin
    return [
        file
        for file in prepared.job.files
        if file.hour_ms < 0 or (file.hour_ms + HOUR_MS > period.first and file.hour_ms < end)
    ]


def _rows(
    prepared: Prepared,
    keys: list[str],
    damaged: dict[str, Damage],
    source: Archive,
    progress: Progress = lambda done, total: None,
) -> dict[RowKey, Row]:
    """The recomputed rows, from the archive or from a local copy of it. Adds damaged files to ``damaged``."""
    job, engine = prepared.job, prepared.engine
    if source is not job.source:
        job, engine = replace(job, source=source, files=source.files()), "duckdb"
    with computed(replace(prepared, job=job, engine=engine), progress) as results:
        damaged |= results.counts.damaged
        (target,) = job.pipeline.targets
        batches = results.table(target.name).batches
        return by_key((row for batch in batches for row in batch.to_pylist()), keys)

