"""The effects of statements on a server: whether one was executed, its query, and the types that all of them left."""

from __future__ import annotations

from opensea_metrics.core.types import from_ast, name_of
from opensea_metrics.deploy.client.delivery import Delivered
from opensea_metrics.deploy.client.snapshot import Server, parsed
from opensea_metrics.deploy.migrations.record.records import (
    CREATES,
    DROPS,
    Recorded,
    StatementRecord,
    StatementState,
)
from opensea_metrics.deploy.reply_columns import ServerColumn
from opensea_metrics.sql.language.catalog.custom_types import Types, registered
from opensea_metrics.sql.language.catalog.custom_types import name_of as type_name
from opensea_metrics.sql.language.statements.parser import parse_statement
from opensea_metrics.sql.language.statements.statements import (
    Kind,
    Statement,
    creating_type,
    dropping_type,
)

# The kinds of statements whose effect can be seen. Others would be sent again after an interruption.
VISIBLE = (*CREATES, *DROPS, Kind.INSERT_SELECT, Kind.ALTER, Kind.TERMINATE)
TYPES = (Kind.CREATE_TYPE, Kind.DROP_TYPE)


def effect_of(record: StatementRecord, server: Server) -> Delivered | None:
    """The effect of a statement that was sent, by comparison with the server before it.

    None if there is no effect. Some statements leave no visible effect (INSERT INTO … VALUES, PAUSE). Others may be
    sent again without harm (CREATE OR REPLACE without a query). For both the answer is None.
    """
    target, present = record.target, record.target in server.sources
    started = [query_id for query_id in server.writers(target) if query_id not in record.writers]
    if record.kind in CREATES:
        is_done = present and (not record.target_existed or bool(started))
    elif record.kind in DROPS:
        is_done = record.target_existed and not present
    elif record.kind is Kind.INSERT_SELECT:
        is_done = bool(started)
    elif record.kind is Kind.ALTER:
        known = server.described.get(target or "")
        is_done = known is not None and known.columns[-1:] == _last_added(record.text)
    elif record.kind is Kind.TERMINATE:
        is_done = record.target_existed and target not in server.queries
    else:
        is_done = False
    return Delivered(started[0] if started else None) if is_done else None


def query_of(record: StatementRecord, server: Server) -> str:
    """The id of the query that a statement started, '' if there is none."""
    effect = None if record.query_id else effect_of(record, server)
    return record.query_id or (effect.query_id if effect else None) or ""


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
    name, types = type_name(statement), recorded_types(recorded, record)
    if record.kind is Kind.CREATE_TYPE:
        return None if name in types else dropping_type(name)
    return creating_type(name, types[name]) if name in types else None


def _last_added(text: str) -> tuple[ServerColumn, ...]:
    """The last column that an ALTER adds. After the ALTER it is the last column of the stream."""
    definition = parse_statement(text).ast.expressions[-1]
    return (ServerColumn(name_of(definition.this), str(from_ast(definition.args["kind"]))),)
