"""Deleting a topic by the brokers themselves: a real one, and none."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from opensea_metrics.deploy.cli import server_access
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.client.topics import delete_topic, private_name
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.replies import CommandResult, ServerSource, ServerTopic
from tests.parts import kafka


def test_a_topic_is_deleted_by_the_producers_brokers(
    broker: kafka.Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap)
    assert server_access.site().delete_by_broker is None
    monkeypatch.setenv("OPENSEA_METRICS_DELETE_BY_BROKER", "true")
    delete = server_access.site().delete_by_broker
    assert delete is not None
    admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    for made in admin.create_topics([NewTopic("volume", 1, 1)]).values():
        made.result(30)
    delete("volume")
    deadline = time.monotonic() + 30
    while "volume" in admin.list_topics(timeout=10).topics and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "volume" not in admin.list_topics(timeout=10).topics
    delete("volume")  # gone already: nothing to do


def test_brokers_that_do_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    by_admin = server_access.by_admin
    monkeypatch.setattr(server_access, "by_admin", lambda config: by_admin(config, timeout=1.0))
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("OPENSEA_METRICS_DELETE_BY_BROKER", "true")
    delete = server_access.site().delete_by_broker
    assert delete is not None
    with pytest.raises(MigrationError, match="did not delete topic volume"):
        delete("volume")


class Leftover(KsqlClient):
    """A server on which only the private stream of a topic is left, as after a run that was interrupted."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sent: list[str] = []

    def topics(self) -> tuple[ServerTopic, ...]:
        return ()

    def streams(self) -> tuple[ServerSource, ...]:
        left = ServerSource(private_name("t"), "STREAM", "t", "JSON", False)
        return () if self.sent else (left,)

    def execute(
        self, text: str, properties: Mapping[str, str] | None = None
    ) -> tuple[CommandResult, ...]:
        self.sent.append(text)
        return ()


def test_the_stream_of_an_interrupted_deletion_is_dropped() -> None:
    client = Leftover("http://127.0.0.1:1")
    delete_topic("t", client, None)
    assert client.sent == [f"DROP STREAM IF EXISTS `{private_name('t')}`;"]
