"""Settings for buckets, from the environment and from ``.env`` in the working directory."""

from __future__ import annotations

from typing import Any

from pydantic import Field, SecretStr

from opensea_metrics.producer.environment import Environment

_ENDPOINT = "^https?://[^@?#]*$"


class S3Settings(Environment):
    """Settings for buckets: the variables that AWS's own tools read.

    ``aws_endpoint_url`` is the URL of MinIO or another server. If it is set, buckets are named in the path.
    """

    aws_access_key_id: SecretStr | None = None
    aws_secret_access_key: SecretStr | None = None
    aws_session_token: SecretStr | None = None
    aws_endpoint_url: str | None = Field(
        default=None,
        pattern=_ENDPOINT,
        description="http://host:port or https://host:port, without user and password: set the keys"
        " in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    )
    aws_region: str = "us-east-1"

    def s3fs(self) -> dict[str, Any]:
        """Arguments of s3fs's file system. Without keys, s3fs looks in the same places as AWS's tools."""
        return {
            "key": _plain(self.aws_access_key_id),
            "secret": _plain(self.aws_secret_access_key),
            "token": _plain(self.aws_session_token),
            "endpoint_url": self.aws_endpoint_url,
            "client_kwargs": {"region_name": self.aws_region},
            "config_kwargs": {
                "s3": {"addressing_style": "path" if self.aws_endpoint_url else "auto"},
                "connect_timeout": 10,
                "read_timeout": 60,
                "retries": {"max_attempts": 5, "mode": "standard"},
            },
            "use_listings_cache": False,
        }

    def hadoop(self) -> dict[str, str]:
        """Settings of Hadoop's s3a file system. For Spark, prefix the names with ``spark.hadoop.``."""
        settings = {
            "fs.s3a.path.style.access": "true" if self.aws_endpoint_url else "false",
            "fs.s3a.endpoint.region": self.aws_region,
            "fs.s3a.connection.establish.timeout": "10s",
            "fs.s3a.connection.timeout": "60s",
            "fs.s3a.attempts.maximum": "5",
        }
        if self.aws_endpoint_url:
            settings["fs.s3a.endpoint"] = self.aws_endpoint_url
            settings["fs.s3a.connection.ssl.enabled"] = str(
                self.aws_endpoint_url.startswith("https:")
            ).lower()
        if self.aws_access_key_id and self.aws_secret_access_key:
            settings["fs.s3a.access.key"] = self.aws_access_key_id.get_secret_value()
            settings["fs.s3a.secret.key"] = self.aws_secret_access_key.get_secret_value()
        if self.aws_session_token:
            settings["fs.s3a.session.token"] = self.aws_session_token.get_secret_value()
        return settings


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
