"""Names of properties that a request may set. Only ``auto.offset.reset`` does something here; the others
are those of Kafka's and ksqlDB's that a client may send along."""

from __future__ import annotations

_WORDS = """
acks allow.auto.create.topics application.id application.server auto.commit.interval.ms
auto.offset.reset batch.size bootstrap.servers buffer.memory buffered.records.per.partition
cache.max.bytes.buffering check.crcs client.dns.lookup client.id client.rack commit.interval.ms
compression.type connections.max.idle.ms default.api.timeout.ms default.deserialization.exception.handler
default.production.exception.handler delivery.timeout.ms enable.auto.commit enable.idempotence
exclude.internal.topics fetch.max.bytes fetch.max.wait.ms fetch.min.bytes group.id group.instance.id
heartbeat.interval.ms interceptor.classes isolation.level linger.ms max.block.ms
max.in.flight.requests.per.connection max.partition.fetch.bytes max.poll.interval.ms max.poll.records
max.request.size max.task.idle.ms max.warmup.replicas metadata.max.age.ms metric.reporters
metrics.num.samples metrics.recording.level metrics.sample.window.ms num.standby.replicas
num.stream.threads partition.assignment.strategy partitioner.class poll.ms processing.guarantee
receive.buffer.bytes reconnect.backoff.max.ms reconnect.backoff.ms replication.factor
request.timeout.ms retries retry.backoff.ms rocksdb.config.setter security.protocol send.buffer.bytes
session.timeout.ms state.cleanup.delay.ms state.dir statestore.cache.max.bytes task.timeout.ms
topology.optimization transaction.timeout.ms upgrade.from window.size.ms
windowstore.changelog.additional.retention.ms
"""
_KAFKA = frozenset(_WORDS.split())
_PREFIXES = ("ksql.", "confluent.", "sasl.", "ssl.", "producer.", "consumer.", "main.consumer.", "topic.")
PROHIBITED = frozenset({"ksql.service.id"})
"""A client may not set these."""


def is_known(name: str) -> bool:
    """Whether ksqlDB takes it for a property."""
    return name in _KAFKA or name.startswith(_PREFIXES)
