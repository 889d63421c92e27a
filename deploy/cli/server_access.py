"""Connects a verb to its server and to Kafka, from the options and the settings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from opensea_metrics.core.environment import LOCAL_SERVER
from opensea_metrics.deploy.cli.options import has_settings
from opensea_metrics.deploy.client import Access, KsqlClient

# Only some verbs need the imports below, which take time and memory to load.
if TYPE_CHECKING:
    from pydantic import SecretStr

    from opensea_metrics.deploy.client.topics import DeleteByBroker
    from opensea_metrics.deploy.commands import Site
    from opensea_metrics.producer.kafka_clients import Client


def client(server: str | None) -> KsqlClient:
    """A client of the named server, or of the one in the settings."""
    if not has_settings():
        return KsqlClient(server or LOCAL_SERVER)
    from opensea_metrics.deploy.config import Settings

    settings = Settings()
    access = Access(
        user=settings.ksqldb_user,
        password=_plain(settings.ksqldb_password),
        token=_plain(settings.ksqldb_token),
        ca_file=settings.ksqldb_ca_file,
        cert_file=settings.ksqldb_cert_file,
        key_file=settings.ksqldb_key_file,
        key_password=_plain(settings.ksqldb_key_password),
        headers={name: secret.get_secret_value() for name, secret in settings.ksqldb_headers.items()},
    )
    return KsqlClient(server or settings.ksqldb_url, access=access)


def site(timeout: float | None = None) -> Site:
    """What a run needs besides the files, from the settings."""
    from opensea_metrics.deploy.commands import Site
    from opensea_metrics.udfs import registry

    settings_site = Site(functions=registry.Checksums(), delete_by_broker=_by_broker() if has_settings() else None)
    return settings_site if timeout is None else replace(settings_site, timeout=timeout)


def _by_broker() -> DeleteByBroker | None:
    from opensea_metrics.deploy.config import Settings
    from opensea_metrics.producer.settings import KafkaSettings

    return by_admin(KafkaSettings().client()) if Settings().delete_by_broker else None


def by_admin(config: Client, timeout: float = 30.0) -> DeleteByBroker:
    """A function that deletes a topic with Kafka's admin client. ``config`` is the configuration of librdkafka.

    It raises MigrationError if the brokers refuse, or do not answer within ``timeout`` seconds.
    """
    from confluent_kafka import KafkaError, KafkaException

    from opensea_metrics.deploy.migrations.errors import MigrationError
    from opensea_metrics.producer.kafka_clients import admin_client

    def delete(topic: str) -> None:
        admin = admin_client({**config, "socket.timeout.ms": int(timeout * 1000)})
        futures = admin.delete_topics([topic], operation_timeout=timeout, request_timeout=timeout)
        try:
            futures[topic].result()
        except KafkaException as error:
            code = error.args[0].code()
            if code != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise MigrationError(
                    f"the Kafka brokers did not delete topic {topic}: {error.args[0].str()}"
                ) from error

    return delete


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
