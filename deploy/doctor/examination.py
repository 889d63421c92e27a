"""All parts, one after the other; one that fails does not hide the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.doctor import (
    archive,
    cassandra,
    connect,
    kafka,
    ksqldb,
    registry,
    spark,
)
from opensea_metrics.deploy.doctor.checks import Check, Report, Unreachable
from opensea_metrics.deploy.doctor.settings import PartSettings, cassandra_if_named, kafka_if_named
from opensea_metrics.producer import envelope
from opensea_metrics.sql.language.project.project import find_root, load_settings

ADVICE = {
    "ksqldb": "docker compose logs ksqldb-server; KSQLDB_URL or --server names it",
    "kafka": "docker compose logs kafka; KAFKA_BOOTSTRAP_SERVERS names it",
    "connect": "docker compose logs kafka-connect; OPENSEA_METRICS_CONNECT_URL names it",
    "schema registry": "docker compose logs kafka-schema-registry;"
    " OPENSEA_METRICS_SCHEMA_REGISTRY_URL names it",
    "archive": "docker compose logs minio; OPENSEA_METRICS_ARCHIVE and the variables AWS_… name it",
    "cassandra": "docker compose logs cassandra cassandra-init; the variables CASSANDRA_… name it",
    "spark": "docker compose logs spark-master; OPENSEA_METRICS_SPARK_MASTER names it",
}
VARIABLE = {
    "ksqldb": "KSQLDB_URL",
    "kafka": "KAFKA_BOOTSTRAP_SERVERS",
    "connect": "OPENSEA_METRICS_CONNECT_URL",
    "schema registry": "OPENSEA_METRICS_SCHEMA_REGISTRY_URL",
    "archive": "OPENSEA_METRICS_ARCHIVE",
    "cassandra": "CASSANDRA_CONTACT_POINTS",
    "spark": "OPENSEA_METRICS_SPARK_MASTER",
}


@dataclass(frozen=True)
class Choice:
    """The ksqlDB server to look at (None: leave it out), and the project that it should carry."""

    client: KsqlClient | None
    root: Path | None
    variables: dict[str, str]


def examine(choice: Choice, asking: Callable[[str], None] = lambda part: None) -> list[Check]:
    """Look at each part that is named; ``asking`` is told which one comes next.

    Raises the errors of settings and of the project's files; what goes wrong with a part is a check.
    """
    parts = PartSettings()
    project = load_settings(choice.root or find_root(), choice.variables)
    raw = str(project.get("raw_topic", envelope.TOPIC))
    long_form = tuple(
        str(project[name]) for name in ("global_topic", "collections_topic") if name in project
    )
    groups = "_confluent-ksql-"

    def of(part: str, configured: Any, look: Callable[[], list[Check]]) -> list[Check]:
        if not configured:
            return [Report(part).left_out(f"to look at it: {VARIABLE[part]}")]
        asking(part)
        try:
            return look()
        except Unreachable as error:
            return [Report(part).failed("reachable", str(error), ADVICE[part])]

    def look_at_ksqldb() -> list[Check]:
        nonlocal groups
        assert choice.client is not None
        found, service = ksqldb.examine(choice.client, choice.root, choice.variables)
        groups += service
        return found

    brokers, nodes = kafka_if_named(), cassandra_if_named()
    found = of("ksqldb", choice.client, look_at_ksqldb)
    found += of(
        "kafka",
        brokers,
        lambda: kafka.examine(brokers, raw, long_form, dead(long_form), groups),  # type: ignore[arg-type]
    )
    found += of("connect", parts.connect_url, lambda: connect.examine(str(parts.connect_url)))
    found += of(
        "schema registry",
        parts.schema_registry_url,
        lambda: registry.examine(str(parts.schema_registry_url), long_form),
    )
    found += of("archive", parts.archive, lambda: archive.examine(str(parts.archive)))
    found += of("cassandra", nodes, lambda: cassandra.examine(nodes))  # type: ignore[arg-type]
    found += of(
        "spark",
        parts.spark_master,
        lambda: spark.examine(str(parts.spark_master), parts.spark_ui_url),
    )
    return found


def dead(long_form: tuple[str, ...]) -> tuple[str, ...]:
    """The topics for what could not be used: the producer's, and those of the sinks for Cassandra."""
    return (envelope.DEAD_LETTER_TOPIC, *(f"{topic}.cassandra-sink.dlq" for topic in long_form))
