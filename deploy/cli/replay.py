"""The verbs that supply events of the past: samples and replays."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from opensea_metrics.deploy.cli import options, progress, sinks
from opensea_metrics.deploy.cli.app import app
from opensea_metrics.deploy.output.damage import show_damaged, show_refused
from opensea_metrics.deploy.output.plain import say
from opensea_metrics.producer import sample as samples
from opensea_metrics.producer.recorded_replay import replay_recording
from opensea_metrics.producer.recording import Bookmark, Recording
from opensea_metrics.producer.replay import ReplayCounts
from opensea_metrics.producer.settings import (
    KafkaSettings,
)
from opensea_metrics.producer.sinks import ArchiveSink, now_ms
from opensea_metrics.spark_batch import period
from opensea_metrics.sql.language.project.project import find_root, load_settings


@app.command()
def sample(
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The events go to DIR/topics/.", show_default="./.opensea-metrics"),
    ] = None,
    events: Annotated[int, typer.Option(min=1, help="How many events to generate.")] = 100_000,
    seed: Annotated[int, typer.Option(help="The same seed and day give the same events.")] = 1,
    day: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            metavar="DATE",
            help="The day of the events (UTC).",
            show_default="the day before today",
        ),
    ] = None,
) -> None:
    """Write sample events of one day of a busy market as archive files.

    Example: opensea-metrics sample --events 1000000 --day 2026-09-15
    """
    start = samples.day_before(now_ms()) if day is None else int(day.replace(tzinfo=UTC).timestamp() * 1000)
    with progress.bar("writing", events) as show:
        total = samples.write_sample(
            sinks.data_dir(data_dir), events, seed, progress=lambda counts: show(counts.read), day_start=start
        )
    say(_summary(total))


@app.command()
def replay(
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SOURCE]",
            help="A file with one frame per line (.ndjson, .gz), or a folder with topics/ (default: the sample).",
        ),
    ] = None,
    sink: Annotated[sinks.SinkName, typer.Option(help="Where events go.")] = sinks.SinkName.ARCHIVE,
    bootstrap: sinks.Bootstrap = None,
    data_dir: sinks.DataDir = None,
    speed: Annotated[
        float | None,
        typer.Option(
            callback=options.finite, help="A multiple of the original speed (default: as fast as possible)."
        ),
    ] = None,
    to_now: Annotated[
        bool,
        typer.Option("--to-now", help="Shift event times so that the newest event is from now."),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Resume where the replay of this source stopped."),
    ] = False,
) -> None:
    """Replay recorded events into an archive that the embedded server reads, or into Kafka.

    With --to-now and a speed, the last event has the time at which it is sent. Duplicates are kept.

    Example: opensea-metrics replay recording.ndjson.gz --speed 10 --to-now
    """
    if speed is not None and speed <= 0:
        raise typer.BadParameter("the speed must be greater than 0", param_hint="--speed")
    recording = Recording(source or Path(str(resources.files("opensea_metrics.producer") / samples.BUNDLED)))
    directory = sinks.data_dir(data_dir).resolve()
    if sink is sinks.SinkName.ARCHIVE and recording.path.resolve() == directory:
        raise typer.BadParameter("an archive cannot be replayed into itself", param_hint="SOURCE")
    target = sinks.kafka(bootstrap) if sink is sinks.SinkName.KAFKA else ArchiveSink(directory)
    name = f"kafka {bootstrap or KafkaSettings().bootstrap_servers}"
    bookmark = Bookmark(
        directory / "replays", recording, name if sink is sinks.SinkName.KAFKA else str(directory)
    )
    with progress.bar("replaying", recording.total_bytes) as show, progress.stopping() as stopped:
        counts, finished = replay_recording(
            recording,
            target,
            bookmark,
            resume=resume,
            to_now=to_now,
            speed=speed,
            progress=lambda counts: show(recording.read_bytes, counts.read),
            stop=stopped,
        )
    say(_summary(counts))
    show_damaged(recording.damaged)
    show_refused(recording.refused)
    if sink is sinks.SinkName.KAFKA and counts.oldest_ms is not None:
        _warn_if_old(counts.oldest_ms)
    if not finished:
        say("stopped before the end: resume with --resume", stderr=True)
        raise typer.Exit(1)


def _warn_if_old(oldest_ms: int) -> None:
    """Warn if a broker may delete the replayed events from ksqlDB's own topics (docs/producer.md, Replays)."""
    retention = str(load_settings(find_root(), {}).get("retention", ""))
    try:
        kept_ms = period.duration(retention)
    except period.PeriodError:
        return  # `validate` reports it
    if oldest_ms < now_ms() - kept_ms:
        say(
            f"note: the oldest event is from {period.iso(oldest_ms)}. A real ksqlDB keeps the records between"
            f" its queries for {retention} of event time, so metrics may miss older events.\n"
            "  hint: shift the events with --to-now, compute the past with `recompute`, or raise `retention`"
            " (docs/producer.md)",
            stderr=True,
        )


def _summary(counts: ReplayCounts) -> str:
    return (
        f"{counts.read} frames: {counts.written} records, {counts.dead} dead letters, "
        f"{counts.skipped} control frames"
    )
