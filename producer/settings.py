"""The producer's settings from the environment and ``.env``: the endpoints, and all secrets."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from opensea_metrics.producer.environment import Environment, SettingsError

__all__ = ["KafkaSettings", "SettingsError", "StreamSettings", "checked_url"]

DEFAULT_URL = "wss://stream-api.opensea.io/socket/websocket"


class StreamSettings(Environment):
    """OpenSea's side: ``OPENSEA_API_KEY`` and ``OPENSEA_STREAM_URL``."""

    model_config = SettingsConfigDict(env_prefix="OPENSEA_")

    api_key: SecretStr = SecretStr("")
    stream_url: str = DEFAULT_URL


class KafkaSettings(Environment):
    """Kafka's side, variables ``KAFKA_…``; what they mean is in ``.env.example``."""

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
        """The settings under the names that librdkafka knows, the password among them."""
        found: dict[str, str | int | bool] = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
            "client.id": "opensea-metrics",
            "socket.keepalive.enable": True,
        }
        if self.security_protocol.upper().startswith("SASL"):
            found["sasl.mechanism"] = self.sasl_mechanism
            found["sasl.username"] = self.sasl_username
            found["sasl.password"] = self.sasl_password.get_secret_value()
        if self.ssl_ca_location:
            found["ssl.ca.location"] = self.ssl_ca_location
        return found


def checked_url(url: str) -> str:
    """A websocket URL, without a query: the key and version are added to it when it is used.

    Raises SettingsError, which does not repeat a query: it could hold a key.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("ws", "wss") and bool(parts.hostname)
        (parts.hostname or "").encode("idna")  # UnicodeError is a ValueError, too
        _ = parts.port
    except ValueError:
        valid = False
    if not valid:
        raise SettingsError(
            "The stream's URL (--url, OPENSEA_STREAM_URL) is not ws://… or wss://host/path."
        )
    if parts.query or parts.fragment or parts.username is not None:
        raise SettingsError(
            "The stream's URL must have no query, fragment or user: "
            "the API key is given in the variable OPENSEA_API_KEY, or in .env."
        )
    return url
