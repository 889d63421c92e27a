"""Kafka clients, all of which leave librdkafka's own log alone."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from confluent_kafka.admin import AdminClient

Client = Mapping[str, str | int | bool]
"""librdkafka's settings that tell how to connect; see KafkaSettings."""


def admin_client(client: Client) -> AdminClient:
    """An admin client; what goes wrong is told by its calls."""
    return AdminClient({**client, "log_level": 0}, logger=quiet_logger())


def quiet_logger() -> logging.Logger:
    """For librdkafka, whose own log repeats itself; errors and ``error_cb`` tell what matters."""
    logger = logging.getLogger("producer.kafka.librdkafka")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger
