"""Creates Kafka's topics if they are missing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from opensea_metrics.producer import envelope
from opensea_metrics.producer.kafka_clients import Client, admin_client
from opensea_metrics.producer.sinks import SinkError

log = structlog.get_logger()

_DAY_MS = 86_400_000


@dataclass(frozen=True)
class TopicSpec:
    """A topic to create if it is missing. ``retention_ms`` -1 keeps records forever."""

    name: str
    partitions: int
    replicas: int = 1
    retention_ms: int = -1


def topics(partitions: int, replicas: int, retention_ms: int) -> tuple[TopicSpec, TopicSpec]:
    """The topics of raw events and of dead letters. Dead letters are kept for 30 days."""
    return (
        TopicSpec(envelope.TOPIC, partitions, replicas, retention_ms),
        TopicSpec(envelope.DEAD_LETTER_TOPIC, 1, replicas, 30 * _DAY_MS),
    )


def ensure_topics(client: Client, wanted: Sequence[TopicSpec], wait_seconds: float) -> list[str]:
    """Create the topics that are missing, and return their names. Existing topics do not change.

    Waits up to ``wait_seconds`` for a broker. Raises SinkError.
    """
    admin = admin_client(client)
    existing = _existing(admin, str(client["bootstrap.servers"]), wait_seconds)
    created = []
    missing = [
        NewTopic(
            spec.name,
            num_partitions=spec.partitions,
            replication_factor=spec.replicas,
            config={
                "cleanup.policy": "delete",
                "retention.ms": str(spec.retention_ms),
                "compression.type": "producer",  # the broker keeps the producer's compression
            },
        )
        for spec in wanted
        if spec.name not in existing
    ]
    for name, future in (admin.create_topics(missing) if missing else {}).items():
        try:
            future.result()
            created.append(name)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise SinkError(
                    f"Kafka refused to create the topic {name}: {error.args[0].str()}. "
                    "Create it by hand, or grant the permission to create topics."
                ) from None
    return created


def _existing(admin: AdminClient, servers: str, wait_seconds: float) -> set[str]:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            return set(admin.list_topics(timeout=3.0).topics)
        except KafkaException as error:
            reason = error.args[0].str()
            if time.monotonic() >= deadline:
                raise SinkError(
                    f"No Kafka broker answers at {servers}: {reason}. "
                    "Check KAFKA_BOOTSTRAP_SERVERS (or --bootstrap) and the other KAFKA_… variables."
                ) from None
        log.warning("waiting for Kafka", servers=servers, reason=reason)
        time.sleep(0.5)
