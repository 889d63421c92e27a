"""Kafka: do the brokers answer, do the topics exist, do events arrive, and do their readers keep up?"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it re-exports them without saying so
    AdminClient,
    ConfigResource,
    OffsetSpec,
    ResourceType,
)

from opensea_metrics.core.wording import counted
from opensea_metrics.deploy.doctor.checks import Check, Checker, Unreachable, age_text, moment_text
from opensea_metrics.producer.kafka_clients import admin_client
from opensea_metrics.producer.settings import KafkaSettings

TIMEOUT = 15.0  # seconds for one request
LAG_NOTICED = 10_000  # records; a smaller lag is normal for a reader that keeps up
LAG_PAUSE = 5.0  # seconds between two measurements of a lagging reader
QUIET = 600  # seconds without an event until the check warns
report = Checker("kafka")


@dataclass(frozen=True)
class TopicFacts:
    """One topic: its number of records, and their newest timestamp (epoch seconds, None if empty).

    ``short`` counts the partitions without a leader or with an out-of-sync replica.
    """

    partitions: int
    short: int
    records: int
    newest: float | None
    append_time: bool


@dataclass(frozen=True)
class KafkaFacts:
    """``topics``: the existing ones. ``lags``: the lag of each consumer group in records, measured once or twice."""

    brokers: int
    topics: Mapping[str, TopicFacts]
    lags: Mapping[str, tuple[int, ...]]


def examine(
    settings: KafkaSettings,
    raw: str,
    long_form: Sequence[str],
    dead: Sequence[str],
    groups: str,
    now: Callable[[], float] = time.time,
) -> list[Check]:
    """Ask the brokers. ``groups`` is the prefix of ksqlDB's consumer groups. Raises Unreachable."""
    facts = fetch(settings, [raw, *long_form, *dead], (groups, "connect-"))
    return judge(facts, raw, long_form, dead, now())


def judge(
    facts: KafkaFacts, raw: str, long_form: Sequence[str], dead: Sequence[str], now: float
) -> list[Check]:
    """Checks of the brokers' replies; ``now`` in epoch seconds."""
    checks = [report.ok("reachable", counted(facts.brokers, "broker"))]
    for name in (raw, *long_form):
        checks.append(_topic(name, facts.topics.get(name)))
    if (events := facts.topics.get(raw)) is not None:
        checks.append(_arriving(raw, events, now))
    for name in long_form:
        if (topic := facts.topics.get(name)) is not None and not topic.append_time:
            checks.append(
                report.warning(
                    f"{name} time",
                    "its records have the window's time, so Cassandra keeps a window's greatest value"
                    " instead of its last",
                    "kafka-configs --alter --entity-type topics --entity-name"
                    f" {name} --add-config message.timestamp.type=LogAppendTime",
                )
            )
    for name in dead:
        if (topic := facts.topics.get(name)) is not None and topic.records:
            checks.append(
                report.warning(
                    name,
                    f"{topic.records} dead letters",
                    "their headers have the reasons; you can fix them and send them again",
                )
            )
    return [*checks, *_readers(facts.lags)]


def _topic(name: str, topic: TopicFacts | None) -> Check:
    if topic is None:
        return report.failed(name, "no such topic", "opensea-metrics apply creates it")
    if topic.short:
        return report.failed(
            name,
            f"{topic.short} of {topic.partitions} partitions lack a leader or an in-sync replica",
            "a broker is down or behind: look at its log",
        )
    return report.ok(name, f"{counted(topic.partitions, 'partition')}, {counted(topic.records, 'record')}")


def _arriving(name: str, topic: TopicFacts, now: float) -> Check:
    if topic.newest is None:
        return report.warning(
            "events",
            f"{name} is empty",
            "fill it with opensea-metrics produce (needs OPENSEA_API_KEY) or replay",
        )
    age = now - topic.newest
    if age > QUIET:
        return report.warning(
            "events",
            f"newest from {moment_text(topic.newest)}, {age_text(age)} ago",
            "if events should arrive now, look at the producer's log; a replay has old times",
        )
    return report.ok("events", f"newest {age_text(max(age, 0))} ago")


def _readers(lags: Mapping[str, tuple[int, ...]]) -> list[Check]:
    if not lags:
        return []
    behind = {group: seen for group, seen in lags.items() if seen[-1] > LAG_NOTICED}
    stuck = sorted(group for group, seen in behind.items() if seen[-1] >= seen[0])
    if stuck:
        first = stuck[0]
        return [
            report.warning(
                "lag",
                f"{len(stuck)} of {len(lags)} readers fall behind:"
                f" {first} by {counted(behind[first][-1], 'record')}",
                "does its query or connector run (above)? if it does, add partitions and servers:"
                " docs/operations.md, Scaling out",
            )
        ]
    if behind:
        most = max(behind, key=lambda group: behind[group][-1])
        return [
            report.ok(
                "lag", f"{len(behind)} readers are catching up: {most} has {counted(behind[most][-1], 'record')} left"
            )
        ]
    return [
        report.ok(
            "lag", f"{counted(len(lags), 'reader')}, {counted(sum(seen[-1] for seen in lags.values()), 'record')}"
        )
    ]


def fetch(settings: KafkaSettings, names: Sequence[str], prefixes: tuple[str, ...]) -> KafkaFacts:
    """Ask the brokers for topics, and for consumer groups with the prefixes. Raises Unreachable."""
    admin = admin_client(settings.client())
    try:
        metadata = admin.list_topics(timeout=TIMEOUT)
        existing = [name for name in names if name in metadata.topics]
        partitions = {name: _partitions(metadata.topics[name]) for name in existing}
        append = _append_time(admin, existing)
        records = {name: _records(admin, name, partitions[name][0]) for name in existing}
        facts = {name: TopicFacts(*partitions[name], *records[name], append[name]) for name in existing}
        return KafkaFacts(len(metadata.brokers), facts, _lags(admin, prefixes))
    except KafkaException as error:
        raise Unreachable(
            f"{settings.bootstrap_servers} does not answer: {error.args[0].str()}"
        ) from None


def _partitions(topic: Any) -> tuple[int, int]:
    """How many partitions a topic has, and how many of them lack a leader or an in-sync replica."""
    partitions = topic.partitions.values()
    return len(partitions), sum(p.leader < 0 or len(p.isrs) < len(p.replicas) for p in partitions)


def _append_time(admin: AdminClient, names: Sequence[str]) -> dict[str, bool]:
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    replies = admin.describe_configs(asked, request_timeout=TIMEOUT) if asked else {}
    return {
        resource.name: future.result()["message.timestamp.type"].value == "LogAppendTime"
        for resource, future in replies.items()
    }


def _records(admin: AdminClient, name: str, partitions: int) -> tuple[int, float | None]:
    """How many records a topic has, and their greatest timestamp (epoch seconds)."""
    asked = [TopicPartition(name, number) for number in range(partitions)]
    requests = [
        admin.list_offsets(dict.fromkeys(asked, spec), request_timeout=TIMEOUT)
        for spec in (OffsetSpec.earliest(), OffsetSpec.latest(), OffsetSpec.max_timestamp())
    ]
    first, end, newest = ([future.result() for future in futures.values()] for futures in requests)
    records = sum(reply.offset for reply in end) - sum(reply.offset for reply in first)
    times = [reply.timestamp for reply in newest if reply.timestamp > 0]
    return records, max(times) / 1000 if times else None


def _lags(admin: AdminClient, prefixes: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    listed = admin.list_consumer_groups(request_timeout=TIMEOUT).result().valid
    groups = [group.group_id for group in listed if group.group_id.startswith(prefixes)]
    looks = [_lag(admin, groups)]
    if any(lag > LAG_NOTICED for lag in looks[0].values()):
        time.sleep(LAG_PAUSE)
        looks.append(_lag(admin, groups))
    return {name: tuple(look[name] for look in looks) for name in looks[0]}


def _lag(admin: AdminClient, groups: Sequence[str]) -> dict[str, int]:
    """The lag of each consumer group in records. Omits groups that have committed nothing."""
    futures = [
        future
        for group in groups
        for future in admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group)], request_timeout=TIMEOUT
        ).values()
    ]
    committed = {
        reply.group_id: [partition for partition in reply.topic_partitions if partition.offset >= 0]
        for reply in (future.result() for future in futures)
    }
    parts = {TopicPartition(p.topic, p.partition) for ps in committed.values() for p in ps}
    ends = {}
    if parts:
        asked = admin.list_offsets(
            {part: OffsetSpec.latest() for part in parts}, request_timeout=TIMEOUT
        )
        for part, future in asked.items():
            try:
                ends[part.topic, part.partition] = future.result().offset
            except KafkaException:
                continue  # a topic that was deleted since
    return {
        group: sum(max(ends.get((p.topic, p.partition), p.offset) - p.offset, 0) for p in parts_of)
        for group, parts_of in committed.items()
        if parts_of
    }
