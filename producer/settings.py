"""The producer's settings from the environment and ``.env``: endpoints and secrets."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from opensea_metrics.producer.environment import Environment, SettingsError

__all__ = ["KafkaSettings", "SettingsError", "StreamSettings", "checked_url"]

DEFAULT_URL = "wss://stream-api.opensea.io/socket/websocket"


class StreamSettings(Environment):
    """The settings for OpenSea's stream: ``OPENSEA_API_KEY`` and ``OPENSEA_STREAM_URL``."""

    model_config = SettingsConfigDict(env_prefix="OPENSEA_")

    api_key: SecretStr = SecretStr("")
    stream_url: str = DEFAULT_URL


class KafkaSettings(Environment):
    """The settings for Kafka: the variables ``KAFKA_…``, which ``.env.example`` explains."""

    model_config = SettingsConfigDict(env_prefix="KAFKA_")

    bootstrap_servers: str = "127.0.0.1:9092"
    security_protocol: str = Field(
        default="PLAINTEXT",
        pattern="(?i)^(PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL)$",
        description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL",
    )
    sasl_mechanism: str = Field(
        default="PLAIN",
        pattern="(?i)^(PLAIN|SCRAM-SHA-256|SCRAM-SHA-512|GSSAPI|OAUTHBEARER)$",
        description="PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, GSSAPI or OAUTHBEARER",
    )
    sasl_username: str = ""
    sasl_password: SecretStr = Field(default=SecretStr(""))
    ssl_ca_location: str = ""

    def client(self) -> dict[str, str | int | bool]:
        """The settings under librdkafka's names, including the password."""
        settings: dict[str, str | int | bool] = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
            "client.id": "opensea-metrics",
            "socket.keepalive.enable": True,
        }
        if self.security_protocol.upper().startswith("SASL"):
            settings["sasl.mechanism"] = self.sasl_mechanism
            settings["sasl.username"] = self.sasl_username
            settings["sasl.password"] = self.sasl_password.get_secret_value()
        if self.ssl_ca_location:
            settings["ssl.ca.location"] = self.ssl_ca_location
        return settings


def checked_url(url: str) -> str:
    """Check a websocket URL. It must not have a query, because the connection adds the key and version.

    Raises SettingsError, whose message does not repeat a query, because that could hold a key.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("ws", "wss") and bool(parts.hostname)
        (parts.hostname or "").encode("idna")  # UnicodeError is a ValueError too
        _ = parts.port
    except ValueError:
        valid = False
    if not valid:
        raise SettingsError(
            "The stream's URL (--url, OPENSEA_STREAM_URL) is not ws://… or wss://host/path."
        )
    if parts.query or parts.fragment or parts.username is not None:
        raise SettingsError(
            "The stream's URL must have no query, fragment or user. "
            "Set the API key in the variable OPENSEA_API_KEY, in the environment or in .env."
        )
    return url
