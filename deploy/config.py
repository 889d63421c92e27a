"""Settings from the environment and from ``.env`` in the working directory.

Every variable begins with ``OPENSEA_METRICS_``; ``KSQLDB_URL`` also works without this prefix. Secrets come only from
these settings, and nothing prints them.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from opensea_metrics.core.environment import DATA_DIR, LOCAL_SERVER
from opensea_metrics.producer.environment import Environment


class Settings(Environment):
    """The server's address and credentials, and the data directory of the embedded server.

    - ``ksqldb_user`` and ``ksqldb_password`` (or both in the URL): basic authentication.
    - ``ksqldb_token``: a bearer token.
    - ``ksqldb_headers``: further headers, as a JSON object.
    - ``ksqldb_ca_file``, ``ksqldb_cert_file``, ``ksqldb_key_file``: certificates and key (PEM) for TLS.
    - ``delete_by_broker``: delete topics through the brokers that ``KAFKA_…`` names (the producer's
      settings), instead of through ksqlDB.
    - ``variables``: overrides of ``sql/settings.yml``, as a JSON object of texts; the same as ``--var``.
    """

    model_config = SettingsConfigDict(env_prefix="OPENSEA_METRICS_", populate_by_name=True)

    ksqldb_url: str = Field(
        default=LOCAL_SERVER,
        validation_alias=AliasChoices("OPENSEA_METRICS_KSQLDB_URL", "KSQLDB_URL"),
        repr=False,
    )
    ksqldb_user: str | None = Field(default=None, repr=False)
    ksqldb_password: SecretStr | None = None
    ksqldb_token: SecretStr | None = None
    ksqldb_headers: dict[str, SecretStr] = Field(
        default={}, description='a JSON object of names and values, such as {"X-Tenant": "nft"}'
    )
    ksqldb_ca_file: Path | None = None
    ksqldb_cert_file: Path | None = None
    ksqldb_key_file: Path | None = None
    ksqldb_key_password: SecretStr | None = None
    delete_by_broker: bool = False
    variables: dict[str, str] = Field(
        default={},
        description='a JSON object of names and texts, such as {"long_form_format": "AVRO"}',
    )
    data_dir: Path = DATA_DIR


class ServeSettings(Environment):
    """The credentials and certificate of the embedded server, as variables ``OPENSEA_METRICS_SERVE_…``.

    - ``user`` and ``password``: basic authentication.
    - ``token``: a bearer token.
    - ``cert_file``, ``key_file`` (PEM) and ``key_password``: the server's certificate and its key, for TLS.
    """

    model_config = SettingsConfigDict(env_prefix="OPENSEA_METRICS_SERVE_")

    user: str | None = Field(default=None, repr=False)
    password: SecretStr | None = None
    token: SecretStr | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    key_password: SecretStr | None = None


class DashboardSettings(ServeSettings):
    """The dashboard's settings, as variables ``OPENSEA_METRICS_DASHBOARD_…``.

    - the credentials and the certificate, as for the server

    - ``ask``: whether the pages have a query box. By default only if the ksqlDB server needs no credentials.
    - ``image_hosts``: the hosts whose pictures the pages show.
    """

    model_config = SettingsConfigDict(env_prefix="OPENSEA_METRICS_DASHBOARD_")

    ask: bool | None = None
    image_hosts: tuple[str, ...] = Field(default=(), description='a JSON list of host names, such as ["i.seadn.io"]')


class FunctionSettings(Environment):
    """``udfs``: files and folders of a project's own Python functions, separated as in PATH.

    This is a separate class because every verb needs these settings, even if another setting is invalid.
    """

    model_config = SettingsConfigDict(env_prefix="OPENSEA_METRICS_")

    udfs: str = ""
