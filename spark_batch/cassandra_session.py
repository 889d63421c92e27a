"""Sessions with Cassandra: how it is reached, and what to do when it is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.producer.environment import Environment

if TYPE_CHECKING:
    from cassandra.cluster import Session

PROTOCOL = 5  # Cassandra 4.0 and later


class CassandraError(OpenSeaMetricsError):
    """Cassandra cannot be reached or does not take rows; the message says what to do."""


class CassandraSettings(Environment):
    """Variables ``CASSANDRA_…``; what they mean is in ``.env.example``. ``timeout`` in seconds."""

    model_config = SettingsConfigDict(env_prefix="CASSANDRA_")

    contact_points: str = "127.0.0.1"
    port: int = 9042
    keyspace: str = "opensea"
    user: str = ""
    password: SecretStr = SecretStr("")
    local_dc: str = "datacenter1"
    timeout: float = 20.0

    @property
    def address(self) -> str:
        """The nodes and their port, as told to people."""
        return f"{self.contact_points}:{self.port}"


@contextmanager
def connected(settings: CassandraSettings) -> Iterator[Session]:
    """A session in the settings' keyspace. Raises CassandraError."""
    try:
        from cassandra.auth import PlainTextAuthProvider
        from cassandra.cluster import (
            EXEC_PROFILE_DEFAULT,
            Cluster,
            ExecutionProfile,
            NoHostAvailable,
        )
        from cassandra.policies import DCAwareRoundRobinPolicy, TokenAwarePolicy
        from cassandra.query import dict_factory
    except ImportError as error:
        raise CassandraError(
            f"Cassandra's driver is missing ({error}): pip install 'opensea-metrics[cassandra]'"
        ) from None
    password = settings.password.get_secret_value()
    cluster = Cluster(
        [host.strip() for host in settings.contact_points.split(",")],
        port=settings.port,
        auth_provider=PlainTextAuthProvider(settings.user, password) if settings.user else None,
        connect_timeout=settings.timeout,
        protocol_version=PROTOCOL,
        execution_profiles={
            EXEC_PROFILE_DEFAULT: ExecutionProfile(
                load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy(settings.local_dc)),
                consistency_level=_consistency(),
                request_timeout=settings.timeout,
                row_factory=dict_factory,
            )
        },
    )
    try:
        try:
            session = cluster.connect()
        except NoHostAvailable as error:
            raise _unreachable(error, settings) from None
        if settings.keyspace not in cluster.metadata.keyspaces:
            raise CassandraError(
                f"Cassandra at {settings.address} has no keyspace {settings.keyspace}.\n"
                "  hint: cqlsh -f deploy/compose/cassandra/schema.cql"
            )
        session.set_keyspace(settings.keyspace)
        yield session
    finally:
        cluster.shutdown()


def _consistency() -> int:
    from cassandra import ConsistencyLevel

    return int(ConsistencyLevel.LOCAL_QUORUM)


def _unreachable(error: Any, settings: CassandraSettings) -> CassandraError:
    from cassandra import AuthenticationFailed

    # By node, or a list of nodes when none was asked.
    causes = list(error.errors.values()) if isinstance(error.errors, dict) else []
    if any(isinstance(cause, AuthenticationFailed) for cause in causes):
        return CassandraError(
            f"Cassandra at {settings.address} refuses the user {settings.user!r}.\n"
            "  hint: CASSANDRA_USER and CASSANDRA_PASSWORD in the environment or .env"
        )
    if not causes:
        return CassandraError(
            f"Cassandra at {settings.address} has no node in the data center {settings.local_dc}.\n"
            "  hint: CASSANDRA_LOCAL_DC; nodetool status shows its name"
        )
    return CassandraError(
        f"Cassandra at {settings.address} cannot be reached: {causes[0]}\n"
        "  hint: is it up? CASSANDRA_CONTACT_POINTS and CASSANDRA_PORT name it"
    )
