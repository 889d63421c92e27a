"""Which parts there are: only those that the environment or ``.env`` names are looked at."""

from __future__ import annotations

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from producer.settings import KafkaSettings
from spark_batch.cassandra import CassandraSettings, cassandra_settings
from sql.errors import OpenSeaMetricsError


class SettingsError(OpenSeaMetricsError):
    """A setting cannot be read; the message names it, and not its value."""


class PartSettings(BaseSettings):
    """Variables ``OPENSEA_METRICS_…``; what they mean is in ``.env.example``."""

    model_config = SettingsConfigDict(
        env_prefix="OPENSEA_METRICS_", env_file=".env", extra="ignore", hide_input_in_errors=True
    )

    connect_url: str | None = Field(default=None, pattern="^https?://")
    schema_registry_url: str | None = Field(default=None, pattern="^https?://")
    archive: str | None = None
    spark_master: str | None = None
    spark_ui_url: str | None = Field(default=None, pattern="^https?://")


def part_settings() -> PartSettings:
    """The settings. Raises SettingsError."""
    try:
        return PartSettings()
    except ValidationError as error:
        wrong = ", ".join(
            f"OPENSEA_METRICS_{str(each['loc'][0]).upper()}" for each in error.errors()
        )
        raise SettingsError(f"in the environment or .env: cannot read {wrong}") from None


def kafka_if_named() -> KafkaSettings | None:
    """Kafka's settings, None if no broker is named."""
    found = KafkaSettings()
    return found if "bootstrap_servers" in found.model_fields_set else None


def cassandra_if_named() -> CassandraSettings | None:
    """Cassandra's settings, None if no node is named."""
    found = cassandra_settings()
    return found if "contact_points" in found.model_fields_set else None
