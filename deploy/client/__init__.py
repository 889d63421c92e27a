"""A client of ksqlDB's REST interface. The migration tool, ``query`` and tests use it."""

from opensea_metrics.deploy.client.access import Access
from opensea_metrics.deploy.client.client import KsqlClient
from opensea_metrics.deploy.client.errors import (
    AccessError,
    BadAddress,
    BadReply,
    ClientError,
    GuardFailed,
    KsqlError,
    OutcomeUnknown,
    QueryEnded,
    ServerUnreachable,
    StatementFailed,
)

__all__ = [
    "Access",
    "AccessError",
    "BadAddress",
    "BadReply",
    "ClientError",
    "GuardFailed",
    "KsqlClient",
    "KsqlError",
    "OutcomeUnknown",
    "QueryEnded",
    "ServerUnreachable",
    "StatementFailed",
]
