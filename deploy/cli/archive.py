"""The verbs that check and compact the archive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from opensea_metrics.deploy.cli import options, progress
from opensea_metrics.deploy.cli.app import FaultsShown, app
from opensea_metrics.deploy.config import Settings
from opensea_metrics.deploy.output.archive import show_groups, show_outcome, show_report
from opensea_metrics.deploy.output.rows import show_json
from opensea_metrics.producer.archive.location import Archive, open_archive
from opensea_metrics.producer.envelope import TOPIC
from opensea_metrics.producer.sinks import now_ms
from opensea_metrics.spark_batch.period import duration, parse_time
from opensea_metrics.spark_batch.upkeep.check import check
from opensea_metrics.spark_batch.upkeep.compact import compact
from opensea_metrics.spark_batch.upkeep.outcome import Options
from opensea_metrics.spark_batch.upkeep.rows import raw_stream
from opensea_metrics.spark_batch.upkeep.runs import groups
from opensea_metrics.sql.language.catalog.changes import check as check_project
from opensea_metrics.sql.language.catalog.sources import Source as Stream
from opensea_metrics.sql.language.project.project import load_project

archive = typer.Typer(
    help="Check the archive of events, and compact its small files.",
    no_args_is_help=True,
)
app.add_typer(archive, name="archive")

SourceUrl = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="URL|DIR",
        help="A topic's folder: s3a://bucket/topics/OpenSeaRawEvents, or a local one.",
        show_default="the embedded server's folder",
    ),
]
From = Annotated[
    str | None,
    typer.Option("--from", metavar="TIME", help="Only hours from this time on (UTC, such as 2026-09-15T10:00)."),
]
To = Annotated[
    str | None, typer.Option("--to", metavar="TIME", help="Only hours before this time (UTC).")
]


@archive.command("check")
def check_archive(
    source: SourceUrl = None,
    from_: From = None,
    to: To = None,
    json: Annotated[bool, typer.Option("--json", help="The whole report as JSON.")] = False,
    sql: options.Sql = None,
    var: options.Var = None,
) -> None:
    """Read an archive and report its faults. Changes nothing.

    Looks for gaps and overlaps of offsets, and for damaged, empty or misnamed files. Also looks for records
    in the wrong hour's folder, records that the raw stream cannot read, and repeated records.

    Exits with 0 if the archive is sound (it may still show remarks), with 2 if it is not, and with 1 after
    an error.

    Example: opensea-metrics archive check --source s3a://raw-data/topics/OpenSeaRawEvents --from 2026-09-15
    """
    first, end = _ms(from_), _ms(to)
    archive_source = _source(source)
    stream = _stream(archive_source, sql, var)
    with progress.bar("checking", unit="files") as show:
        report = check(
            archive_source, stream, first, end,
            progress=lambda done, total, files: show(done, files, total),
        )  # fmt: skip
    if json:
        show_json([report.as_json()])
    else:
        show_report(report)
    if not report.is_clean:
        raise FaultsShown


@archive.command("compact")
def compact_archive(
    source: SourceUrl = None,
    from_: From = None,
    to: To = None,
    min_age: Annotated[
        str,
        typer.Option(metavar="DURATION", help="Only hours that ended this long ago or earlier: events may be late."),
    ] = "24 hours",
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the originals. Readers ignore them.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show which files would be compacted.")] = False,
    sql: options.Sql = None,
    var: options.Var = None,
) -> None:
    """Replace the many JSON files of past hours by a few sorted, compressed Parquet files.

    Files of one hour and partition become one file if their offsets adjoin. Each new file is read back and
    compared with its originals before they are deleted. You can stop it at any time: the next run resumes.
    Exits with 2 if it left files as they are because they are damaged or overlap.

    Example: opensea-metrics archive compact --source s3a://raw-data/topics/OpenSeaRawEvents --dry-run
    """
    first, end, age = _ms(from_), _ms(to), duration(min_age)
    archive_source = _source(source)
    stream = _stream(archive_source, sql, var)
    with progress.bar("listing", unit="files"):
        planned = groups(archive_source.listing(first, end).files, now_ms(), age, first, end)
    if dry_run:
        show_groups(planned)
        return
    with progress.bar("compacting", unit="files") as show, progress.stopping() as stopped:
        outcome = compact(
            archive_source, stream, planned, Options(keep=keep),
            progress=lambda done, total, files: show(done, files, total), stop=stopped,
        )  # fmt: skip
    show_outcome(outcome)
    if not outcome.finished:
        raise typer.Exit(1)
    if outcome.left:
        raise FaultsShown


def _source(given: str | None) -> Archive:
    return open_archive(given or Settings().data_dir / "topics" / TOPIC)


def _stream(source: Archive, sql: Path | None, var: list[str] | None) -> Stream:
    catalog = check_project(load_project(sql, options.variables(var)))
    return raw_stream(catalog, source.root.rsplit("/", 1)[-1])


def _ms(time: str | None) -> int | None:
    return None if time is None else parse_time(time)
