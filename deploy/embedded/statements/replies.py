"""Answers in the shapes that ksqlDB 7.9.1 gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opensea_metrics.core.errors import SqlError, Stage
from opensea_metrics.core.types import ArrayType, DecimalType, KsqlType, MapType, StructType
from opensea_metrics.deploy.embedded.health import ServerPart
from opensea_metrics.sql.language.catalog import custom_types
from opensea_metrics.sql.language.lowering.refusals import Unsupported
from opensea_metrics.sql.language.statements.statements import Kind, Statement

if TYPE_CHECKING:
    from opensea_metrics.deploy.embedded.engine import Engine, StatementOutcome

VERSION = "7.9.1"
SERVICE_ID = "embedded_"
_CLUSTER_ID = "embedded"

INFO = {
    "KsqlServerInfo": {
        "version": VERSION,
        "kafkaClusterId": _CLUSTER_ID,
        "ksqlServiceId": SERVICE_ID,
        "serverStatus": "RUNNING",
    }
}
METADATA = {
    "version": VERSION,
    "clusterId": {
        "scope": {
            "path": [],
            "clusters": {"kafka-cluster": _CLUSTER_ID, "ksql-cluster": SERVICE_ID},
        },
        "id": "",
    },
}


def healthcheck(engine: Engine) -> dict[str, Any]:
    """The reply of /healthcheck. Unlike ksqlDB's, it has a ``message`` about each failing part."""
    faults = engine.faults()
    details = {
        part.value: {"isHealthy": False, "message": faults[part]} if part in faults else {"isHealthy": True}
        for part in ServerPart
    }
    return {"isHealthy": not faults, "details": details, "serverState": "READY"}


def current_status(statement: Statement, outcome: StatementOutcome) -> dict[str, Any]:
    """The answer to a command. The embedded server has always finished the command before it answers."""
    return {
        "@type": "currentStatus",
        "statementText": statement.text,
        "commandId": command_id(statement),
        "commandStatus": {
            "status": "SUCCESS",
            "message": outcome.message,
            "queryId": outcome.query_id,
        },
        "commandSequenceNumber": outcome.number,
        "warnings": [],
    }


def command_id(statement: Statement) -> str:
    """The id of a command, such as ``stream/`EVENTS`/create``, ``table/T/drop``, ``terminate/CTAS_T_1/execute``."""
    if statement.kind in (Kind.TERMINATE, Kind.PAUSE, Kind.RESUME):
        return f"{statement.kind.value}/{statement.name}/execute"
    if statement.kind is Kind.ALTER:
        return f"{str(statement.ast.args['kind']).lower()}/{statement.name}/alter"
    if statement.kind in (Kind.CREATE_TYPE, Kind.DROP_TYPE):
        return f"type/{custom_types.name_of(statement)}/{statement.kind.value.split()[0]}"
    if statement.kind in (Kind.DROP_STREAM, Kind.DROP_TABLE):
        return f"{statement.kind.value.split()[1]}/{statement.name}/drop"
    kind = "table" if "table" in statement.kind.value else "stream"
    return f"{kind}/`{statement.name}`/create"


def warning(statement: Statement, message: str) -> dict[str, Any]:
    """The reply to a statement without effect, such as CREATE … IF NOT EXISTS for an existing name."""
    return {
        "@type": "warning_entity",
        "statementText": statement.text,
        "message": message,
        "warnings": [],
    }


def error(text: str, error: SqlError, creates: bool = False) -> tuple[dict[str, Any], int]:
    """The reply to a refused statement or request, and the HTTP status.

    The message is ksqlDB's own, so it has a place only if ksqlDB's has one. Only what ksqlDB would accept is refused
    with a place and a hint, because its messages have none for it. ``creates``: the statement is a CREATE … AS SELECT.
    """
    message = error.message
    if error.located and error.place:
        message = f"Line: {error.place.line}, Col: {error.place.column}: {message}"
    if error.stage is Stage.SYNTAX and error.place:
        message = f"line {error.place.line}:{error.place.column}: Syntax Error\n{message}"
    elif error.stage is not Stage.QUERY or creates:
        message = error.stage.value + message if error.stage is not Stage.SYNTAX else message
    if isinstance(error, Unsupported):
        if error.place:
            message += f"\nat line {error.place.line}, column {error.place.column}"
        message += f"\n{error.hint}"
    elif error.hint and _HAS_ALTERNATIVES in message:
        message += f"\n{error.hint}"
    if error.code in _STATEMENT_ERRORS:
        reply = {
            "@type": "statement_error",
            "error_code": error.code,
            "message": message,
            "statementText": text,
            "entities": [],
        }
    else:
        reply = generic_error(error.code, message)
    return reply, error.code // 100


_HAS_ALTERNATIVES = "does not accept parameters"
"""Part of the only message to which ksqlDB adds a hint: the ways to call the function."""
_STATEMENT_ERRORS = (40001, 40002, 50000)
"""Replies with other codes do not mention the statement (tests/embedded/replies/errors.yml)."""


def generic_error(code: int, message: str) -> dict[str, Any]:
    """The reply to a request that the server could not understand or could not carry out."""
    return {"@type": "generic_error", "error_code": code, "message": message}


def sequence_timeout(number: int) -> dict[str, Any]:
    """The reply to a commandSequenceNumber that no command has (ksqldb-replies/err_command_sequence_timeout)."""
    return generic_error(
        50301,
        "Timed out while waiting for a previous command to execute. command sequence number:"
        f" {number}",
    )


def schema(kind: KsqlType) -> dict[str, Any]:
    """The ``schema`` object of a field in DESCRIBE's reply (ksqldb-replies/describe_table.json)."""
    reply: dict[str, Any] = {"type": kind.name, "fields": None, "memberSchema": None}
    match kind:
        case DecimalType():
            reply["parameters"] = {"precision": kind.precision, "scale": kind.scale}
        case ArrayType():
            reply["memberSchema"] = schema(kind.element)
        case MapType():
            reply["memberSchema"] = schema(kind.value)
        case StructType():
            reply["fields"] = [
                {"name": name, "schema": schema(inner)} for name, inner in kind.fields
            ]
    return reply
