"""Deleting a topic by the brokers themselves: a real one, and none."""

from __future__ import annotations

import time

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.cli import server_access
from deploy.migrations.errors import MigrationError
from deploy.migrations.topics import by_admin
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
    monkeypatch.setattr(server_access, "by_admin", lambda config: by_admin(config, timeout=1.0))
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("OPENSEA_METRICS_DELETE_BY_BROKER", "true")
    delete = server_access.site().delete_by_broker
    assert delete is not None
    with pytest.raises(MigrationError, match="did not delete topic volume"):
        delete("volume")
