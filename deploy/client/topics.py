"""Deletes a topic, after its stream or table is dropped.

This tool never sends DROP … DELETE TOPIC for an object that others may read. ksqlDB 7.9.1 deletes the topic even if it
refuses the DROP.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable

from opensea_metrics.core.quoting import ksqldb_quoted, ksqldb_text
from opensea_metrics.deploy.client import KsqlClient, KsqlError
from opensea_metrics.deploy.client.delivery import StatementRefused, deliver, effect_if
from opensea_metrics.sql.language.statements.statements import dropping

# Streams that exist only between two statements, to delete a topic over REST.
PRIVATE_PREFIX = "OPENSEA_METRICS_DELETES_"

DeleteByBroker = Callable[[str], None]
"""Deletes a topic with Kafka's own client."""


def private_name(topic: str) -> str:
    """The stream that is declared over a topic to delete the topic.

    ksqlDB accepts only letters, digits, '_' and '-' in names of streams (observed). A checksum keeps names apart
    that would become the same.
    """
    checksum = hashlib.sha256(topic.encode()).hexdigest()[:8]
    return f"{PRIVATE_PREFIX}{re.sub(r'[^A-Za-z0-9_-]', '_', topic)}_{checksum}"


def deleting(topic: str) -> tuple[str, str]:
    """The two statements that delete a topic without a broker: declare it under a private name, and drop that."""
    name = private_name(topic)
    return (
        f"CREATE STREAM IF NOT EXISTS {ksqldb_quoted(name)} (unused STRING)"
        f" WITH (KAFKA_TOPIC={ksqldb_text(topic)}, VALUE_FORMAT='JSON');",
        dropping("STREAM", name, delete_topic=True).text,
    )


def delete_topic(topic: str, client: KsqlClient, by_broker: DeleteByBroker | None = None) -> None:
    """Delete a topic and wait until it is gone. A topic that is gone already is no error.

    Raises ClientError, and the errors of ``by_broker``.
    """
    if _exists(topic, client):
        if by_broker is not None:
            by_broker(topic)
        else:
            declare, drop = deleting(topic)
            deliver(client, declare, {}, effect_if(lambda: _is_declared(topic, client) or not _exists(topic, client)))
            deliver(client, drop, {}, effect_if(lambda: not _exists(topic, client)))
        deadline = time.monotonic() + client.patience
        while _exists(topic, client):  # Kafka deletes a topic some time after the request
            if time.monotonic() > deadline:
                late = f"topic {topic} still exists after {client.patience:g} s"
                raise StatementRefused(KsqlError(200, None, late))
            time.sleep(0.2)
    # After an interrupted run or a lost reply, the stream may be left without its topic.
    if _is_declared(topic, client):
        drop = dropping("STREAM", private_name(topic), if_exists=True).text
        deliver(client, drop, {}, effect_if(lambda: not _is_declared(topic, client)))


def _exists(topic: str, client: KsqlClient) -> bool:
    return topic in {topic.name for topic in client.topics()}


def _is_declared(topic: str, client: KsqlClient) -> bool:
    return private_name(topic) in {source.name for source in client.streams()}
