"""The verbs that supply events: the live stream, samples and replays."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from opensea_metrics.deploy.cli import options, progress
from opensea_metrics.deploy.cli.app import app
from opensea_metrics.deploy.config import Settings
from opensea_metrics.deploy.output.damage import show_damaged, show_refused
from opensea_metrics.deploy.output.plain import say
from opensea_metrics.producer import metrics
from opensea_metrics.producer import sample as samples
from opensea_metrics.producer.kafka import open_kafka
from opensea_metrics.producer.recording import Bookmark, Recording
from opensea_metrics.producer.replay import ReplayCounts, replay_recording
from opensea_metrics.producer.run import run
from opensea_metrics.producer.session import StreamOptions
from opensea_metrics.producer.settings import (
    KafkaSettings,
    SettingsError,
    StreamSettings,
    checked_url,
)
from opensea_metrics.producer.sinks import ArchiveSink, Sink, now_ms
from opensea_metrics.producer.topics import topics
from opensea_metrics.spark_batch import period
from opensea_metrics.sql.language.project.project import find_root, load_settings


class SinkName(StrEnum):
    """Where records go."""

    KAFKA = "kafka"
    ARCHIVE = "archive"


class Compression(StrEnum):
    """How batches to Kafka are compressed."""

    LZ4 = "lz4"
    ZSTD = "zstd"


class Protocol(StrEnum):
    """The version of the Phoenix protocol: arrays, or the older objects."""

    ARRAYS = "2.0.0"
    OBJECTS = "1.0.0"


DataDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="With --sink archive: the data directory of the server.",
        show_default="./.opensea-metrics",
    ),
]
Bootstrap = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Kafka (default: $KAFKA_BOOTSTRAP_SERVERS)."),
]


@app.command()
def produce(
    collection: Annotated[
        list[str] | None,
        typer.Option(metavar="SLUG", help="Only this collection. May be repeated (default: all)."),
    ] = None,
    event_type: Annotated[
        list[str] | None,
        typer.Option(metavar="TYPE", help="Only this type, such as item_sold. May be repeated (default: all)."),
    ] = None,
    sink: Annotated[SinkName, typer.Option(help="Where events go.")] = SinkName.KAFKA,
    bootstrap: Bootstrap = None,
    data_dir: DataDir = None,
    url: Annotated[
        str | None, typer.Option(help="The stream (default: $OPENSEA_STREAM_URL, or OpenSea's).")
    ] = None,
    vsn: Annotated[Protocol, typer.Option(help="Version of the protocol.")] = Protocol.ARRAYS,
    compression: Annotated[Compression, typer.Option(help="With Kafka.")] = Compression.LZ4,
    roll_seconds: Annotated[
        float, typer.Option(min=0.1, callback=options.finite, help="With --sink archive: the longest time per file.")
    ] = 10.0,
    dedup_seconds: Annotated[
        float, typer.Option(min=0, callback=options.finite, help="Drop events repeated within this time. 0 keeps all.")
    ] = 300.0,
    silence_seconds: Annotated[
        float, typer.Option(min=1, callback=options.finite, help="Raise an alarm if no event arrives for this long.")
    ] = 120.0,
    shutdown_seconds: Annotated[
        float, typer.Option(min=0, callback=options.finite, help="Time to deliver events after SIGTERM or Ctrl-C.")
    ] = 8.0,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            min=1, max=options.PORTS, help="Serve metrics for Prometheus on this port (default: off)."
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log normal operation, too. In a pipe it is always logged.")
    ] = False,
) -> None:
    """Put OpenSea's live stream into Kafka, or into an archive, until SIGTERM or Ctrl-C.

    The API key comes from OPENSEA_API_KEY, in the environment or in .env. Missing Kafka topics are created
    with the partitions, replicas and retention of sql/settings.yml. Frames that are not events go to the
    topic OpenSeaRawEvents.dlq. After SIGTERM, events that Kafka does not accept in time go to a file that
    can be replayed.

    Example: opensea-metrics produce --event-type item_sold --event-type item_transferred
    """
    settings = StreamSettings()
    if not settings.api_key.get_secret_value():
        raise SettingsError(
            "There is no API key: set OPENSEA_API_KEY in the environment or in .env. "
            "Without one, `opensea-metrics replay` sends sample events."
        )
    stream = StreamOptions(
        url=checked_url(url or settings.stream_url),
        key=settings.api_key,
        slugs=tuple(collection or ("*",)),
        event_types=tuple(event_type or ()),
        version=vsn.value,
        silence_seconds=silence_seconds,
    )
    stats = metrics.Stats()
    with progress.reporting(verbose) as show:
        target: Sink
        if sink is SinkName.KAFKA:
            target = _kafka(bootstrap, compression, stats.latency)
        else:
            target = ArchiveSink(_data_dir(data_dir), roll_seconds=roll_seconds)
        if metrics_port is not None:
            metrics.serve(stats, target, metrics_port)
        folder = _data_dir(data_dir) if sink is SinkName.ARCHIVE else None
        line = metrics.StatusLine(stats, target, folder)
        work = run(
            stream, target, stats, dedup_seconds=dedup_seconds, shutdown_seconds=shutdown_seconds,
            report=lambda: show(line.text()), report_seconds=1.0 if sys.stderr.isatty() else 10.0,
        )  # fmt: skip
        asyncio.run(work)
    say(
        f"{stats.received} events received: {target.delivered} delivered, of which {target.dead_letters} dead "
        f"letters; {stats.duplicates} duplicates dropped; {stats.reconnects} reconnects"
    )


def _kafka(
    bootstrap: str | None,
    compression: Compression = Compression.LZ4,
    latency: metrics.Latency | None = None,
) -> Sink:
    settings = KafkaSettings()
    if bootstrap:
        settings.bootstrap_servers = bootstrap
    wanted = topics(*map(_declared, ("partitions", "replicas", "raw_retention_ms")))
    undelivered = Settings().data_dir / "undelivered"
    return open_kafka(settings, undelivered, wanted, compression=compression.value, latency=latency)


def _declared(name: str) -> int:
    """A setting of sql/, because its streams need topics with the values declared there."""
    root = find_root()
    value = load_settings(root, {}).get(name)
    if not isinstance(value, int):
        raise SettingsError(f"{root / 'settings.yml'} has no whole number named {name}.")
    return value


def _data_dir(given: Path | None) -> Path:
    return given or Settings().data_dir


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
            _data_dir(data_dir), events, seed, progress=lambda counts: show(counts.read), day_start=start
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
    sink: Annotated[SinkName, typer.Option(help="Where events go.")] = SinkName.ARCHIVE,
    bootstrap: Bootstrap = None,
    data_dir: DataDir = None,
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
    directory = _data_dir(data_dir).resolve()
    if sink is SinkName.ARCHIVE and recording.path.resolve() == directory:
        raise typer.BadParameter("an archive cannot be replayed into itself", param_hint="SOURCE")
    target = _kafka(bootstrap) if sink is SinkName.KAFKA else ArchiveSink(directory)
    name = f"kafka {bootstrap or KafkaSettings().bootstrap_servers}"
    bookmark = Bookmark(
        directory / "replays", recording, name if sink is SinkName.KAFKA else str(directory)
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
    if sink is SinkName.KAFKA and counts.oldest_ms is not None:
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
