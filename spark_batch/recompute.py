"""``recompute``: from a request to results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import yaml

from opensea_metrics.producer.archive.errors import ArchiveError
from opensea_metrics.producer.archive.layout import HOUR_MS, ArchiveFile
from opensea_metrics.producer.archive.location import Archive, open_archive
from opensea_metrics.spark_batch.job import BatchJob, Progress, Results
from opensea_metrics.spark_batch.opening import Opening
from opensea_metrics.spark_batch.period import (
    ALL_TIME,
    Period,
    WindowChoice,
    parse_time,
    parse_window,
    settle,
)
from opensea_metrics.spark_batch.pipeline import plan
from opensea_metrics.spark_batch.targets import LONG_FORM, choose, long_form_of, windows_of
from opensea_metrics.sql.language.catalog.changes import check
from opensea_metrics.sql.language.catalog.sources import Source as Stream
from opensea_metrics.sql.language.lowering import support
from opensea_metrics.sql.language.lowering.refusals import DUCKDB, SPARK
from opensea_metrics.sql.language.project.project import Project, load_project

if TYPE_CHECKING:
    from opensea_metrics.spark_batch.settings import BatchSettings

DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True)
class Request:
    """A request of the user. Times are in epoch ms.

    A record may have been filed up to ``margin`` ms after its event. With ``long_form``, the long-form streams are
    computed too. With ``as_streamed``, late records are dropped as a server would drop them.
    """

    wanted: str
    windows: Sequence[WindowChoice]
    first: int | None
    end: int | None
    trailing: bool = False
    engine: str = "auto"
    margin: int = HOUR_MS
    long_form: bool = False
    as_streamed: bool = False


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to start. So far, only the names of files were read."""

    project: Project
    request: Request
    windows: Sequence[WindowChoice]
    job: BatchJob
    engine: str
    opening: Opening | None = None
    """The database of the DuckDB engine."""

    @property
    def tables(self) -> list[str]:
        """The names of the requested tables, without the long form."""
        return [s.name for s in self.job.pipeline.targets if s not in self.long_form.values()]

    @property
    def long_form(self) -> dict[str, Stream]:
        """The long-form streams by kind, ``global`` and ``collections``. Empty if they were not requested."""
        if not self.request.long_form:
            return {}
        kinds = {self.project.settings.get(f"{kind}_topic"): kind for kind in LONG_FORM}
        streams = self.job.pipeline.targets
        return {kinds[s.topic]: s for s in streams if not s.is_table and s.topic in kinds}


def prepare(
    request: Request,
    source: Archive,
    root: Path | None = None,
    variables: Mapping[str, str] | None = None,
    settings: BatchSettings | None = None,
) -> Prepared:
    """Render and check the statements, settle the period and list its files.

    Raises SqlError, PeriodError, TargetError or ArchiveError.
    """
    # Another process renders the statements meanwhile.
    opening = Opening() if request.engine != "spark" else None
    available = _bounds(source, request)
    period = settle(request.windows, request.first, request.end, request.trailing, available)
    windows = [_sized(window, period) for window in request.windows]
    project = load_project(root, {**_settings_of(windows, request.as_streamed), **(variables or {})})
    catalog = check(project)
    names = choose(project, catalog, request.wanted, windows)
    if not windows:  # use those of the statements
        windows = windows_of(catalog, names)
        period = settle(windows, request.first, request.end, request.trailing, available)
    if request.long_form:
        names += long_form_of(project, catalog, request.wanted)
    raw_topic = str(project.settings.get("raw_topic", source.root.rsplit("/", 1)[-1]))
    pipeline = plan(catalog, names, raw_topic, period, request.as_streamed)
    # Our producer and sink file an event under its own hour. Others file it when it arrives.
    # A join depends on records before and after the period.
    bounds = () if pipeline.is_ordered else (period.first, period.end + request.margin)
    listing = source.listing(*bounds)
    files = listing.newest
    job = BatchJob(pipeline, source, files, period, listing.refused)
    return Prepared(project, request, windows, job, _engine(request.engine, files, settings), opening)


def recompute(
    source: str | Path,
    *windows: str,
    wanted: str = "all",
    first: str | None = None,
    end: str | None = None,
    engine: str = "auto",
    root: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> dict[str, pa.Table]:
    """The tables of a past period by name, each with its rows in order of window and key.

    ``source`` is the raw topic's folder or an s3a:// URL. ``windows`` are sizes such as "1 hour"; without any, the
    windows are those of settings.yml. ``first`` and ``end``, exclusive, are ISO times in UTC. ``wanted`` is "global",
    "collections", "all" or one table's name. Raises OpenSeaMetricsError if something cannot be computed.
    """
    request = Request(
        wanted=wanted,
        windows=tuple(parse_window(size, None) for size in windows),
        first=parse_time(first) if first else None,
        end=parse_time(end) if end else None,
        engine=engine,
    )
    prepared = prepare(request, open_archive(source), root, variables)
    with computed(prepared, lambda _done, _total: None) as results:
        tables = (results.table(name) for name in prepared.tables)
        return {table.name: pa.Table.from_batches(table.batches, table.schema) for table in tables}


@contextmanager
def computed(prepared: Prepared, progress: Progress) -> Iterator[Results]:
    """Compute a prepared run. The results last as long as the block.

    Raises Unsupported, before anything is read, for a statement that the engine cannot run.
    """
    catalog, name = prepared.job.pipeline.catalog, SPARK if prepared.engine == "spark" else DUCKDB
    for query in catalog.queries.values():
        support.check_recompute(catalog, query, name)
        if prepared.job.pipeline.drops_late(query):
            support.check_late(catalog, query, name)
    computation: AbstractContextManager[Results]
    if prepared.engine == "spark":
        from opensea_metrics.spark_batch import spark_engine

        computation = spark_engine.computed(prepared.job, progress)
    else:
        opened = prepared.opening.taken() if prepared.opening else None
        from opensea_metrics.spark_batch import duckdb_engine  # imported already in that thread

        computation = duckdb_engine.computed(prepared.job, progress, opened)
    with computation as results:
        yield results


def _bounds(source: Archive, request: Request) -> tuple[int, int]:
    """The first hour, and the end of the last hour, that the archive has in the requested period.

    Files outside the folders of hours may have records of any time. If the archive has no other files, the user
    must give both bounds.
    """
    files = source.files(request.first, request.end)
    hours = [file.hour_ms for file in files if file.hour_ms >= 0]
    if hours:
        return min(hours), max(hours) + HOUR_MS
    if not files:
        raise ArchiveError(f"{source.url} has no files of that period")
    if request.first is None or request.end is None:
        raise ArchiveError(
            f"{source.url} has only files outside the folders of hours: give --from and --to"
        )
    return request.first, request.end


def _sized(window: WindowChoice, period: Period) -> WindowChoice:
    """A window over all time gets the period's length."""
    if window.size is not None:
        return window
    length = period.end - period.first
    return replace(window, size=length, advance=length)


def _settings_of(windows: Sequence[WindowChoice], as_streamed: bool) -> dict[str, str]:
    """The settings with which the statements have these windows."""
    if not windows:
        return {}
    rendered = []
    for window in windows:
        size = window.label
        named = {}
        if window.label == ALL_TIME:
            size, named = f"{window.size} MILLISECONDS", {"name": ALL_TIME}
        rendered.append({"size": size, **({"slide": window.slide} if window.slide else {}), **named})
    longest = -(-max(window.size or 0 for window in windows) // DAY_MS)
    of_windows = {"windows": yaml.safe_dump(rendered, default_flow_style=True, width=10_000)}
    if as_streamed:  # the project's own grace period, and a retention with room for it
        return {**of_windows, "retention": f"{longest + 365} DAYS"}
    # No record is dropped because it is late here, so these two must only be consistent.
    return {**of_windows, "grace": "1 DAY", "retention": f"{longest + 1} DAYS"}


def _engine(asked: str, files: Sequence[ArchiveFile], settings: BatchSettings | None) -> str:
    if asked != "auto":
        return asked
    from opensea_metrics.spark_batch.settings import BatchSettings

    settings = settings or BatchSettings()
    large = sum(file.size for file in files) >= settings.spark_from_gb * 1024**3
    return "spark" if settings.spark_master or large else "duckdb"

