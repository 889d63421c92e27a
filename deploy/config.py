"""Settings from the environment and from ``.env`` in the working directory.

Every variable begins with ``OPENSEA_METRICS_``; ``KSQLDB_URL`` is understood as well. Secrets are
given this way only (user and password as part of the URL), and are never printed.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Where the server is, and where the embedded one keeps its data."""

    model_config = SettingsConfigDict(
        env_prefix="OPENSEA_METRICS_",
        env_file=".env",
        extra="ignore",  # .env is shared with the producer and with docker compose
        populate_by_name=True,
    )

    ksqldb_url: str = Field(
        default="http://127.0.0.1:8088",
        validation_alias=AliasChoices("OPENSEA_METRICS_KSQLDB_URL", "KSQLDB_URL"),
        repr=False,
    )
    data_dir: Path = Path(".opensea-metrics")
