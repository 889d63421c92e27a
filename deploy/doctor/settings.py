"""The addresses of the parts. Doctor checks only parts that the environment or ``.env`` names."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from opensea_metrics.producer.environment import Environment
from opensea_metrics.producer.settings import KafkaSettings
from opensea_metrics.spark_batch.cassandra_session import CassandraSettings

Page = Annotated[
    str | None,
    Field(pattern="^https?://", description="http://host:port or https://host:port"),
]


class PartSettings(Environment):
    """Variables ``OPENSEA_METRICS_…``; ``.env.example`` explains them."""

    model_config = SettingsConfigDict(env_prefix="OPENSEA_METRICS_")

    connect_url: Page = None
    schema_registry_url: Page = None
    archive: str | None = None
    spark_master: str | None = None
    spark_ui_url: Page = None


def kafka_if_named() -> KafkaSettings | None:
    """Kafka's settings, or None if they name no broker."""
    settings = KafkaSettings()
    return settings if "bootstrap_servers" in settings.model_fields_set else None


def cassandra_if_named() -> CassandraSettings | None:
    """Cassandra's settings, or None if they name no node."""
    settings = CassandraSettings()
    return settings if "contact_points" in settings.model_fields_set else None
