"""The verb that supplies events of the live stream."""

from __future__ import annotations

import asyncio
import sys
from enum import StrEnum
from typing import Annotated

import typer

from opensea_metrics.deploy.cli import options, progress, sinks
from opensea_metrics.deploy.cli.app import app
from opensea_metrics.deploy.output.plain import say
from opensea_metrics.producer import metrics
from opensea_metrics.producer.run import run
from opensea_metrics.producer.session import StreamOptions
from opensea_metrics.producer.settings import (
    SettingsError,
    StreamSettings,
    checked_url,
)
from opensea_metrics.producer.sinks import ArchiveSink, Sink


class Compression(StrEnum):
    """How batches to Kafka are compressed."""

    LZ4 = "lz4"
    ZSTD = "zstd"


class Protocol(StrEnum):
    """The version of the Phoenix protocol: arrays, or the older objects."""

    ARRAYS = "2.0.0"
    OBJECTS = "1.0.0"


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
    sink: Annotated[sinks.SinkName, typer.Option(help="Where events go.")] = sinks.SinkName.KAFKA,
    bootstrap: sinks.Bootstrap = None,
    data_dir: sinks.DataDir = None,
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
        if sink is sinks.SinkName.KAFKA:
            target = sinks.kafka(bootstrap, compression.value, stats.latency)
        else:
            target = ArchiveSink(sinks.data_dir(data_dir), roll_seconds=roll_seconds)
        if metrics_port is not None:
            metrics.serve(stats, target, metrics_port)
        folder = sinks.data_dir(data_dir) if sink is sinks.SinkName.ARCHIVE else None
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
