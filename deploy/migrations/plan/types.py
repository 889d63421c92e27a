"""The custom types that the record leaves on a server, and how a rollback undoes CREATE TYPE and DROP TYPE."""

from __future__ import annotations

from opensea_metrics.deploy.client.snapshot import parsed
from opensea_metrics.deploy.migrations.record.records import (
    Recorded,
    StatementRecord,
    StatementState,
)
from opensea_metrics.sql.language.catalog.custom_types import Types, name_of, registered
from opensea_metrics.sql.language.statements.statements import (
    Kind,
    Statement,
    creating_type,
    dropping_type,
)

TYPES = (Kind.CREATE_TYPE, Kind.DROP_TYPE)


def recorded_types(recorded: Recorded, before: StatementRecord | None = None) -> Types:
    """The types after the applied statements; ``before``: only after those before this one."""
    statements = (
        parsed(record.text)
        for record in recorded.statements
        if record.kind in TYPES
        and record.state is StatementState.DONE
        and (before is None or record.is_before(before))
    )
    return registered(statement for statement in statements if statement is not None)


def undoing_type(record: StatementRecord, recorded: Recorded) -> Statement | None:
    """The statement that undoes a CREATE TYPE or DROP TYPE; None if it changed nothing.

    It does no harm if it is sent twice.
    """
    statement = parsed(record.text)
    if statement is None:
        return None
    name, types = name_of(statement), recorded_types(recorded, record)
    if record.kind is Kind.CREATE_TYPE:
        return None if name in types else dropping_type(name)
    return creating_type(name, types[name]) if name in types else None
