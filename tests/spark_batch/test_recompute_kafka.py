"""The long form in its topics, on a real broker, equal to what the streaming statements write."""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from opensea_metrics.deploy import cli, commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.demo import wait_until_read
from opensea_metrics.deploy.embedded import server
from opensea_metrics.spark_batch.kafka import KafkaResultSink
from tests.metrics import near
from tests.parts import kafka
from tests.spark_batch.archives import SQL, START, add, event, needs, write_sample

TOPICS = ("OpenSeaEnrichedGlobalEvents", "OpenSeaEnrichedCollectionsEvents")
COMMAND = ("recompute", "--window", "1 hour", "--sql", str(SQL), "--to-kafka")


@pytest.fixture(scope="module", params=["duckdb"])
def engine(request: pytest.FixtureRequest) -> str:
    needs(request.param)
    return str(request.param)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("data")
    topic = write_sample(made, 1_500)
    add(topic, START, 9_000_000, [event(START + n, "tie-b", f"n/{n}") for n in range(40)])
    return made


@pytest.fixture(autouse=True)
def topics(broker: kafka.Broker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both topics, empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    there = [topic for topic in TOPICS if topic in admin.list_topics(timeout=30).topics]
    for deleted in admin.delete_topics(there).values() if there else ():
        deleted.result(60)
    _create(admin)


def _create(admin: AdminClient) -> None:
    for attempt in range(100):  # a deleted topic's name is free a moment later
        made = admin.create_topics([NewTopic(topic, 1, 1) for topic in TOPICS])
        errors = [each.exception(60) for each in made.values()]
        if all(e is None or e.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS for e in errors):
            known = admin.list_topics(timeout=30).topics
            if attempt and all(topic in known for topic in TOPICS):
                return
    raise AssertionError("the topics are not made")


def committed(broker: kafka.Broker, topic: str, isolation: str = "read_committed") -> list[Any]:
    """The values of a topic."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap, "group.id": "none", "enable.auto.commit": False,
            "isolation.level": isolation, "enable.partition.eof": True,
        }
    )  # fmt: skip
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[Any] = []
    try:
        while True:
            message = consumer.poll(60)
            assert message is not None, f"{topic} cannot be read to its end"
            if (error := message.error()) is not None:
                assert error.code() == KafkaError._PARTITION_EOF, error
                return found
            assert message.key() is None
            found.append(json.loads(message.value() or b""))
    finally:
        consumer.close()


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["opensea-metrics", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def streamed(
    data: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[dict[str, Any]]]:
    """The rows of both topics as the embedded server writes them, by topic."""
    own = tmp_path_factory.mktemp("server")
    with server.running(own) as url:
        client = KsqlClient(url)
        commands.apply(client, SQL, {"windows": "[{size: 1 HOUR}]"})
        shutil.copytree(data / "topics", own / "topics", dirs_exist_ok=True)
        wait_until_read(client, 240)
        return {
            TOPICS[0]: list(client.pull("SELECT * FROM enriched_global_events;")),
            TOPICS[1]: list(client.pull("SELECT * FROM enriched_collections_events;")),
        }


def keyed(rows: list[dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The newest row of each key."""
    found = {}
    for row in rows:
        upper = {name.upper(): value for name, value in row.items()}
        key = (upper["METRIC"], upper["COLLECTION"], upper.get("NFT_ID"), upper["TIMESTAMP"])
        found[key] = upper
    return found


def test_the_rows_are_those_of_the_stream(
    broker: kafka.Broker,
    data: Path,
    engine: str,
    streamed: dict[str, list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = str(data / "topics/OpenSeaRawEvents")
    assert run(monkeypatch, *COMMAND, "--source", source, "--engine", engine) == 0
    for topic in TOPICS:
        end = time.monotonic() + 30
        # A busy broker marks records as committed after it has confirmed the transaction.
        while not (rows := committed(broker, topic)) and time.monotonic() < end:
            time.sleep(0.2)
        found, expected = keyed(rows), keyed(streamed[topic])
        assert len(found) == len(rows) > 100
        # A stream keeps the rows of entries that a top list held for a time.
        only_streamed = {key[0] for key in expected.keys() - found.keys()}
        assert all("top_" in metric for metric in only_streamed)
        assert found == {key: near(expected[key]) for key in found}
    # Under the names and in the case that the streaming statements write.
    assert rows[0].keys() == {
        "METRIC", "COLLECTION", "NFT_ID", "WINDOW_START", "timestamp", "VALUE", "ASSET_NAME",
        "ASSET_URL", "IMAGE_URL",
    }  # fmt: skip


def test_only_what_was_asked_for(
    broker: kafka.Broker, data: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ("--source", str(data / "topics/OpenSeaRawEvents"), "--engine", engine)
    assert run(monkeypatch, "recompute", "global", *COMMAND[1:], *source) == 0
    assert committed(broker, TOPICS[0])
    assert committed(broker, TOPICS[1]) == []
    assert run(monkeypatch, "recompute", "asset_1_hour", *COMMAND[1:], *source) == 1


def test_nothing_of_a_failed_run_counts(
    broker: kafka.Broker, data: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = KafkaResultSink.send

    def failing(self: KafkaResultSink, topic: str, batches: Any) -> int:
        sent = send(self, topic, batches)
        self._producer.flush(60)
        if topic == TOPICS[1]:
            raise OSError("wires cut")
        return sent

    source = ("--source", str(data / "topics/OpenSeaRawEvents"), "--engine", engine)
    with monkeypatch.context() as patched:
        patched.setattr(KafkaResultSink, "send", failing)
        assert run(patched, *COMMAND, *source) == 1
    for topic in TOPICS:
        assert committed(broker, topic, "read_uncommitted")
        assert committed(broker, topic) == []
    assert run(monkeypatch, *COMMAND, *source) == 0
    for topic in TOPICS:
        rows = committed(broker, topic)
        assert len(keyed(rows)) == len(rows) > 0


def test_brokers_that_are_not_there(
    data: Path, engine: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setattr("opensea_metrics.spark_batch.kafka._WAIT", 3.0)
    source = ("--source", str(data / "topics/OpenSeaRawEvents"), "--engine", engine)
    assert run(monkeypatch, *COMMAND, *source) == 1
    assert "error: Kafka refused the results: " in capsys.readouterr().err


def test_a_topic_that_is_not_there(
    broker: kafka.Broker,
    data: Path,
    engine: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = ("--source", str(data / "topics/OpenSeaRawEvents"), "--engine", engine)
    missing = ("--var", "collections_topic=Missing")
    assert run(monkeypatch, *COMMAND, *source, *missing) == 1
    assert "error: there is no topic Missing: apply the migrations" in capsys.readouterr().err
    assert committed(broker, TOPICS[0]) == []


def test_topics_of_another_format(
    data: Path, engine: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = ("--source", str(data / "topics/OpenSeaRawEvents"), "--engine", engine)
    assert run(monkeypatch, *COMMAND, *source, "--var", "long_form_format=AVRO") == 1
    said = capsys.readouterr().err
    assert "holds AVRO (long_form_format)" in said
    assert "--to-cassandra" in said
