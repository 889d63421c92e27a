"""Kafka clients. librdkafka's own log stays silent in all of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from opensea_metrics.producer.environment import SettingsError

T = TypeVar("T")

Client = Mapping[str, str | int | bool]
"""librdkafka's settings for the connection; see KafkaSettings."""


def admin_client(client: Client) -> AdminClient:
    """An admin client. Raises SettingsError. Without a broker, the client's calls fail."""
    return configured(AdminClient, {**client, "log_level": 0}, logger=quiet_logger())


def configured(kind: Callable[..., T], config: Mapping[str, Any], **arguments: Any) -> T:
    """A client of the given class. Raises SettingsError if librdkafka does not accept the settings."""
    try:
        return kind(config, **arguments)
    except KafkaException as error:
        raise SettingsError(
            f"The settings of Kafka cannot be used: {error.args[0].str()}\n"
            "  hint: correct the variables KAFKA_… in the environment or in .env"
        ) from None


def quiet_logger() -> logging.Logger:
    """A silent logger for librdkafka, because its log is repetitive.

    Exceptions and ``error_cb`` report all problems.
    """
    logger = logging.getLogger("opensea_metrics.producer.kafka.librdkafka")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger
