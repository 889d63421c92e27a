"""The Kafka sink and its topics against a real broker."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it re-exports them without saying so
    AdminClient,
    ConfigResource,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic
from pydantic import SecretStr

from opensea_metrics.producer.envelope import DEAD_LETTER_TOPIC, TOPIC, DeadLetter, Record
from opensea_metrics.producer.kafka import KafkaSink, open_kafka
from opensea_metrics.producer.metrics import Latency
from opensea_metrics.producer.recording import Recording
from opensea_metrics.producer.settings import KafkaSettings
from opensea_metrics.producer.sinks import SinkError, now_ms
from opensea_metrics.producer.topics import TopicSpec, ensure_topics, topics
from tests.parts.kafka import Broker, read_topic
from tests.parts.ports import free_port
from tests.producer.events import event, until


def config(broker: Broker, topic: str) -> dict[str, str]:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    resource = ConfigResource(ResourceType.TOPIC, topic)
    (future,) = admin.describe_configs([resource]).values()
    return {name: entry.value for name, entry in future.result().items()}


def client(broker: Broker) -> dict[str, str | int | bool]:
    return KafkaSettings(bootstrap_servers=broker.bootstrap).client()


@pytest.fixture
def sink(broker: Broker, tmp_path: Path) -> KafkaSink:
    ensure_topics(client(broker), topics(2, 1, -1), 60)
    return KafkaSink(client(broker), tmp_path)


def record(number: int, **changes: object) -> Record:
    each = event(number)
    fields = {"key": each.slug, "timestamp_ms": 1_789_466_400_000 + number, "event": each.kind,
              "chain": "ethereum", "value": each.record, **changes}  # fmt: skip
    return Record(**fields)  # type: ignore[arg-type]


def test_missing_topics_are_made_and_present_ones_left_alone(broker: Broker) -> None:
    mine, theirs = (f"{name}-{uuid.uuid4().hex}" for name in ("mine", "theirs"))
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    before = {"retention.ms": "12345", "cleanup.policy": "compact"}
    admin.create_topics([NewTopic(theirs, 5, 1, config=before)])[theirs].result()
    specs = [TopicSpec(mine, 3, 1, 86_400_000), TopicSpec(theirs, 3, 1, 86_400_000)]
    assert ensure_topics(client(broker), specs, 60) == [mine]
    assert ensure_topics(client(broker), specs, 60) == []
    until(lambda: mine in admin.list_topics().topics, "metadata with the new topic")
    found = admin.list_topics().topics
    assert (len(found[mine].partitions), len(found[theirs].partitions)) == (3, 5)
    assert config(broker, mine)["retention.ms"] == "86400000"
    assert config(broker, mine)["cleanup.policy"] == "delete"
    assert config(broker, mine)["compression.type"] == "producer"
    assert config(broker, theirs)["retention.ms"] == "12345"


def test_a_topic_that_cannot_be_made_is_told(broker: Broker) -> None:
    with pytest.raises(SinkError, match="refused to create the topic too-many-replicas"):
        ensure_topics(client(broker), [TopicSpec("too-many-replicas", 1, replicas=3)], 60)


def test_without_a_broker_it_says_where_and_what_to_check() -> None:
    settings = KafkaSettings(
        bootstrap_servers=f"127.0.0.1:{free_port()}", security_protocol="SASL_PLAINTEXT",
        sasl_username="me", sasl_password=SecretStr("pass-that-must-not-leak"),
    )  # fmt: skip
    with pytest.raises(
        SinkError, match=r"No Kafka broker answers at 127\.0\.0\.1.*KAFKA_"
    ) as caught:
        ensure_topics(settings.client(), [], 0.1)
    assert "pass-that-must-not-leak" not in f"{caught.value} {settings!r}"
    assert settings.client()["sasl.password"] == "pass-that-must-not-leak"


def test_a_record_has_key_time_and_headers(broker: Broker, sink: KafkaSink) -> None:
    before = now_ms()
    assert sink.write(record(1))
    assert sink.write(record(2, key=None, chain=None))
    assert sink.dead(DeadLetter("not JSON", b"junk"))
    assert sink.queued + sink.delivered == 3
    assert sink.flush(60)
    assert (sink.queued, sink.delivered) == (0, 3)
    sink.close()
    found = {
        message.timestamp()[1] % 1000: message for message in read_topic(broker.bootstrap, TOPIC)
    }
    one, two = found[1], found[2]
    assert (one.key(), one.value(), two.key()) == (event(1).slug.encode(), event(1).record, None)
    headers = dict(one.headers() or [])
    assert headers["event_type"] == b"item_listed"
    assert headers["chain"] == b"ethereum"
    assert before <= int(headers["received_at"] or 0) <= now_ms()
    assert dict(two.headers() or [])["chain"] is None
    letter = read_topic(broker.bootstrap, DEAD_LETTER_TOPIC)[-1]
    assert json.loads(letter.value() or b"") == {"reason": "not JSON", "frame": "junk"}


def test_what_kafka_would_refuse_becomes_a_dead_letter(broker: Broker, sink: KafkaSink) -> None:
    before = len(read_topic(broker.bootstrap, DEAD_LETTER_TOPIC))
    sink.write(record(11, timestamp_ms=now_ms() + 2 * 3_600_000))
    sink.write(record(12, value=b'{"x":"%b"}' % (b"\x00" * 3_000_000)))
    sink.write(record(13))
    sink.close()
    letters = read_topic(broker.bootstrap, DEAD_LETTER_TOPIC)[before:]
    assert [json.loads(each.value() or b"")["reason"] for each in letters] == [
        "event time is over an hour ahead of now", "too large for a record in Kafka"
    ]  # fmt: skip
    assert event(13).record in {message.value() for message in read_topic(broker.bootstrap, TOPIC)}


def test_an_opened_sink_has_its_id(broker: Broker, tmp_path: Path) -> None:
    sink = open_kafka(KafkaSettings(bootstrap_servers=broker.bootstrap), tmp_path, topics(2, 1, -1))
    assert sink.is_ready
    sink.close()


def test_a_full_queue_says_so_and_latency_is_measured(broker: Broker, tmp_path: Path) -> None:
    ensure_topics(client(broker), topics(2, 1, -1), 60)
    latency = Latency()
    sink = KafkaSink(client(broker), tmp_path, latency=latency)
    written = 0
    while sink.write(record(written, value=b"x" * 100_000)):
        written += 1
    assert 110 < written < 150, "12 MiB"
    assert sink.flush(60)
    sink.close()
    assert sum(latency.counts) == sink.delivered == written
    assert latency.total > 0


def test_what_the_broker_refuses_is_put_into_a_file(broker: Broker, tmp_path: Path) -> None:
    """Its topic has a limit that we cannot know of."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    if TOPIC in admin.list_topics().topics:
        admin.delete_topics([TOPIC])[TOPIC].result()
    small = {"max.message.bytes": "1000"}
    ensure_topics(client(broker), [topics(2, 1, -1)[1]], 60)
    until(lambda: TOPIC not in admin.list_topics().topics, "the topic is deleted")
    admin.create_topics([NewTopic(TOPIC, 1, 1, config=small)])[TOPIC].result()
    sink = KafkaSink(client(broker), tmp_path / "undelivered", compression="none")
    sink.write(record(1))
    sink.flush(60)
    sink.write(record(2, value=event(2).record + b" " * 5_000))
    sink.flush(60)
    sink.write(record(3))
    with pytest.raises(SinkError, match=r"1 record could not be delivered.*too large.*replay"):
        sink.close()
    (file,) = (tmp_path / "undelivered").iterdir()
    assert list(Recording(file).frames()) == [event(2).record]
    assert [message.value() for message in read_topic(broker.bootstrap, TOPIC)] == [
        event(1).record, event(3).record
    ]  # fmt: skip
    admin.delete_topics([TOPIC])[TOPIC].result()


def test_giving_up_puts_everything_that_waits_into_a_file(tmp_path: Path) -> None:
    settings = KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}")
    sink = KafkaSink(settings.client(), tmp_path / "undelivered")
    for number in range(100):
        assert sink.write(record(number))
    assert not sink.flush(0.1)
    sink.give_up()
    assert sink.write(record(100)), "from now on it has room"
    with pytest.raises(SinkError, match="101 records could not be delivered"):
        sink.close(0)
    (file,) = (tmp_path / "undelivered").iterdir()
    assert list(Recording(file).frames()) == [event(number).record for number in range(101)]
