"""Checks all parts that the environment or ``.env`` names. A part that fails does not hide the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.doctor import (
    archive,
    cassandra,
    connect,
    kafka,
    ksqldb,
    schema_registry,
    spark,
)
from opensea_metrics.deploy.doctor.checks import Check, Checker, Unreachable
from opensea_metrics.producer import envelope
from opensea_metrics.producer.environment import Environment
from opensea_metrics.producer.settings import KafkaSettings
from opensea_metrics.spark_batch.cassandra_session import CassandraSettings
from opensea_metrics.sql.language.project.project import find_root, load_settings

Page = Annotated[
    str | None,
    Field(pattern="^https?://", description="http://host:port or https://host:port"),
]


@dataclass(frozen=True)
class StackPart:
    """A part of the stack: the variable that names it, and its services in Docker Compose."""

    variable: str
    services: str
    named_by: str = ""

    @property
    def advice(self) -> str:
        """What to do if the part does not answer."""
        return f"docker compose logs {self.services}; {self.named_by or f'{self.variable} names it'}"


PARTS = {
    "ksqldb": StackPart("KSQLDB_URL", "ksqldb-server", "KSQLDB_URL or --server names it"),
    "kafka": StackPart("KAFKA_BOOTSTRAP_SERVERS", "kafka"),
    "connect": StackPart("OPENSEA_METRICS_CONNECT_URL", "kafka-connect"),
    "schema registry": StackPart("OPENSEA_METRICS_SCHEMA_REGISTRY_URL", "kafka-schema-registry"),
    "archive": StackPart("OPENSEA_METRICS_ARCHIVE", "minio", "OPENSEA_METRICS_ARCHIVE and the variables AWS_… name it"),
    "cassandra": StackPart("CASSANDRA_CONTACT_POINTS", "cassandra cassandra-init", "the variables CASSANDRA_… name it"),
    "spark": StackPart("OPENSEA_METRICS_SPARK_MASTER", "spark-master"),
}


class PartSettings(Environment):
    """Variables ``OPENSEA_METRICS_…``; ``.env.example`` explains them."""

    model_config = SettingsConfigDict(env_prefix="OPENSEA_METRICS_")

    connect_url: Page = None
    schema_registry_url: Page = None
    archive: str | None = None
    spark_master: str | None = None
    spark_ui_url: Page = None


def kafka_if_named() -> KafkaSettings | None:
    """Kafka's settings, or None if they name no broker."""
    settings = KafkaSettings()
    return settings if "bootstrap_servers" in settings.model_fields_set else None


def cassandra_if_named() -> CassandraSettings | None:
    """Cassandra's settings, or None if they name no node."""
    settings = CassandraSettings()
    return settings if "contact_points" in settings.model_fields_set else None


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
            return [Checker(part).left_out(f"to check it, set {PARTS[part].variable}")]
        asking(part)
        try:
            return look()
        except Unreachable as error:
            return [Checker(part).failed("reachable", str(error), PARTS[part].advice)]

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
        lambda: kafka.examine(brokers, raw, long_form, _dead_letter_topics(long_form), groups),  # type: ignore[arg-type]
    )
    checks += of("connect", parts.connect_url, lambda: connect.examine(str(parts.connect_url)))
    checks += of(
        "schema registry",
        parts.schema_registry_url,
        lambda: schema_registry.examine(str(parts.schema_registry_url), long_form),
    )
    checks += of("archive", parts.archive, lambda: archive.examine(str(parts.archive)))
    checks += of("cassandra", nodes, lambda: cassandra.examine(nodes))  # type: ignore[arg-type]
    checks += of(
        "spark",
        parts.spark_master,
        lambda: spark.examine(str(parts.spark_master), parts.spark_ui_url),
    )
    return checks


def _dead_letter_topics(long_form: tuple[str, ...]) -> tuple[str, ...]:
    """The topics of dead letters: the producer's, and those of the sinks for Cassandra."""
    return (envelope.DEAD_LETTER_TOPIC, *(f"{topic}.cassandra-sink.dlq" for topic in long_form))
