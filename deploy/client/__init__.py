"""A client of ksqlDB's REST interface: what the migration tool, ``query`` and tests speak."""

from deploy.client.client import KsqlClient, literal, quoted
from deploy.client.errors import (
    AccessError,
    ClientError,
    GuardFailed,
    KsqlError,
    OutcomeUnknown,
    ServerUnreachable,
    StatementFailed,
)
from deploy.client.http import Access

__all__ = [
    "Access",
    "AccessError",
    "ClientError",
    "GuardFailed",
    "KsqlClient",
    "KsqlError",
    "OutcomeUnknown",
    "ServerUnreachable",
    "StatementFailed",
    "literal",
    "quoted",
]
