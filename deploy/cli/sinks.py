"""The options of verbs that supply events: where the events go."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from opensea_metrics.deploy.config import Settings
from opensea_metrics.producer import metrics
from opensea_metrics.producer.kafka import open_kafka
from opensea_metrics.producer.settings import KafkaSettings, SettingsError
from opensea_metrics.producer.sinks import Sink
from opensea_metrics.producer.topics import topics
from opensea_metrics.sql.language.project.project import find_root, load_settings


class SinkName(StrEnum):
    """Where records go."""

    KAFKA = "kafka"
    ARCHIVE = "archive"


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


def kafka(
    bootstrap: str | None,
    compression: str = "lz4",
    latency: metrics.Latency | None = None,
) -> Sink:
    """Kafka, with the topics of the project. ``bootstrap`` replaces the servers of the settings."""
    settings = KafkaSettings()
    if bootstrap:
        settings.bootstrap_servers = bootstrap
    wanted = topics(*map(_declared, ("partitions", "replicas", "raw_retention_ms")))
    undelivered = Settings().data_dir / "undelivered"
    return open_kafka(settings, undelivered, wanted, compression=compression, latency=latency)


def _declared(name: str) -> int:
    """A setting of sql/, because its streams need topics with the values declared there."""
    root = find_root()
    value = load_settings(root, {}).get(name)
    if not isinstance(value, int):
        raise SettingsError(f"{root / 'settings.yml'} has no whole number named {name}.")
    return value


def data_dir(given: Path | None) -> Path:
    """The data directory that was given, or that of the settings."""
    return given or Settings().data_dir
