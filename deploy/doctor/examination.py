"""Checks all parts, one after the other. A part that fails does not hide the others."""

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
from opensea_metrics.deploy.doctor.checks import Check, Checker, Unreachable
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
class KsqldbTarget:
    """The ksqlDB server to check (None: leave it out), and the project whose statements it should run."""

    client: KsqlClient | None
    root: Path | None
    variables: dict[str, str]


def examine(target: KsqldbTarget, asking: Callable[[str], None] = lambda part: None) -> list[Check]:
    """Check each part that the settings name. ``asking`` is called with a part's name before its check.

    Raises the errors of settings and of the project's files. A part that fails is not an error, but a failed check.
    """
    parts = PartSettings()
    project = load_settings(target.root or find_root(), target.variables)
    raw = str(project.get("raw_topic", envelope.TOPIC))
    long_form = tuple(
        str(project[name]) for name in ("global_topic", "collections_topic") if name in project
    )
    groups = "_confluent-ksql-"

    def of(part: str, configured: Any, look: Callable[[], list[Check]]) -> list[Check]:
        if not configured:
            return [Checker(part).left_out(f"to check it, set {VARIABLE[part]}")]
        asking(part)
        try:
            return look()
        except Unreachable as error:
            return [Checker(part).failed("reachable", str(error), ADVICE[part])]

    def look_at_ksqldb() -> list[Check]:
        nonlocal groups
        assert target.client is not None
        checks_of_ksqldb, service = ksqldb.examine(target.client, target.root, target.variables)
        groups += service
        return checks_of_ksqldb

    brokers, nodes = kafka_if_named(), cassandra_if_named()
    checks = of("ksqldb", target.client, look_at_ksqldb)
    checks += of(
        "kafka",
        brokers,
        lambda: kafka.examine(brokers, raw, long_form, dead(long_form), groups),  # type: ignore[arg-type]
    )
    checks += of("connect", parts.connect_url, lambda: connect.examine(str(parts.connect_url)))
    checks += of(
        "schema registry",
        parts.schema_registry_url,
        lambda: registry.examine(str(parts.schema_registry_url), long_form),
    )
    checks += of("archive", parts.archive, lambda: archive.examine(str(parts.archive)))
    checks += of("cassandra", nodes, lambda: cassandra.examine(nodes))  # type: ignore[arg-type]
    checks += of(
        "spark",
        parts.spark_master,
        lambda: spark.examine(str(parts.spark_master), parts.spark_ui_url),
    )
    return checks


def dead(long_form: tuple[str, ...]) -> tuple[str, ...]:
    """The topics of dead letters: the producer's, and those of the sinks for Cassandra."""
    return (envelope.DEAD_LETTER_TOPIC, *(f"{topic}.cassandra-sink.dlq" for topic in long_form))
