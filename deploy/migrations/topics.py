"""Deleting a topic, after what was declared over it has gone.

DROP … DELETE TOPIC is never sent for what others may read: ksqlDB 7.9.1 deletes the topic even if
it refuses the DROP.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from confluent_kafka import KafkaError, KafkaException

from opensea_metrics.deploy.client import KsqlClient, KsqlError
from opensea_metrics.deploy.migrations.actions import DeleteTopic, private_name
from opensea_metrics.deploy.migrations.certainty import certainly
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.server import Effect
from opensea_metrics.producer.clients import Client, admin_client
from opensea_metrics.sql.language.statements.statements import dropping

DeleteByBroker = Callable[[str], None]


def by_admin(config: Client, timeout: float = 30.0) -> DeleteByBroker:
    """A function that deletes a topic with Kafka's admin client; ``config`` is librdkafka's.

    It raises MigrationError if the brokers refuse, or do not answer within ``timeout`` seconds.
    """

    def delete(topic: str) -> None:
        admin = admin_client({**config, "socket.timeout.ms": int(timeout * 1000)})
        (asked,) = admin.delete_topics(
            [topic], operation_timeout=timeout, request_timeout=timeout
        ).values()
        try:
            asked.result()
        except KafkaException as error:
            code = error.args[0].code()
            if code != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise MigrationError(
                    f"the Kafka brokers did not delete topic {topic}: {error.args[0].str()}"
                ) from error

    return delete


def delete_topic(topic: str, client: KsqlClient, by_broker: DeleteByBroker | None) -> None:
    """Delete a topic and wait until it is gone. A topic that is gone already is no error.

    Raises ClientError or MigrationError.
    """
    if _exists(topic, client):
        if by_broker is not None:
            by_broker(topic)
        else:
            declare, drop = DeleteTopic(topic).texts
            certainly(client, declare, {}, partial(_declared, topic, client))
            certainly(client, drop, {}, partial(_gone, topic, client))
        deadline = time.monotonic() + client.patience
        while _exists(topic, client):  # Kafka deletes a topic some time after it was asked to
            if time.monotonic() > deadline:
                raise KsqlError(200, None, f"topic {topic} is still there, {client.patience:g} s later")
            time.sleep(0.2)
    # An interrupted run, or a reply that was lost, may leave the stream without its topic.
    if _is_declared(topic, client):
        undeclare = dropping("STREAM", private_name(topic), if_exists=True)
        certainly(client, undeclare.text, {}, partial(_undeclared, topic, client))


def _exists(topic: str, client: KsqlClient) -> bool:
    return topic in {each.name for each in client.topics()}


def _is_declared(topic: str, client: KsqlClient) -> bool:
    return private_name(topic) in {each.name for each in client.streams()}


def _declared(topic: str, client: KsqlClient) -> Effect | None:
    return Effect() if _is_declared(topic, client) else _gone(topic, client)


def _undeclared(topic: str, client: KsqlClient) -> Effect | None:
    return None if _is_declared(topic, client) else Effect()


def _gone(topic: str, client: KsqlClient) -> Effect | None:
    return None if _exists(topic, client) else Effect()
