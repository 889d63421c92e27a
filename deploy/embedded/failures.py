"""Unexpected failures: the client gets a number, and the log has the traceback with the same number."""

from __future__ import annotations

import errno
import os
import secrets
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from opensea_metrics.core.errors import Place, SqlError

if TYPE_CHECKING:  # the dashboard logs failures too, and has no other use for DuckDB
    import duckdb

log = structlog.get_logger()

_REASONS = frozenset(map(os.strerror, errno.errorcode))
"""The operating system's reasons, such as "No space left on device". DuckDB's messages end with one of them."""
_LONGEST = 300
"""Characters of an exception's text that the client gets."""


def logged(error: BaseException, doing: str) -> str:
    """Log a failure with its traceback, and return the message for the client, with the failure's number.

    The logged traceback has no values of variables, because these may hold credentials.
    """
    number = secrets.token_hex(4)
    with suppress(OSError):  # the disk of the log may be full
        log.error(
            f"{doing} failed",
            error_id=number,
            exception="".join(traceback.format_exception(error)).rstrip(),
        )
    lines = str(error).splitlines() or [""]
    message = f"The server failed (error {number}; its log has the details under this number)"
    if _is_of_duckdb(error):  # its text quotes the lowered SQL, which the client has not written
        reason = lines[0].rpartition(": ")[2]
        return f"{message} while it worked on {doing}{f': {reason}' if reason in _REASONS else ''}"
    return f"{message}: {type(error).__name__}: {lines[0][:_LONGEST]}"


def unreadable(error: duckdb.Error, place: Place) -> SqlError:
    """The error for lowered SQL that DuckDB refuses. It is logged.

    The server refuses statements that it cannot run before it lowers them, so this is a fault of the server.
    """
    return SqlError(
        logged(error, "the SQL of a query") + ". This is a fault of the embedded server, not of the statement",
        place,
        "report it with the log's lines; until then write the statement differently, or run it on a ksqlDB"
        " server (--server URL or KSQLDB_URL)",
        code=50000,
    )


def _is_of_duckdb(error: BaseException) -> bool:
    return any(kind.__module__.partition(".")[0] in ("duckdb", "_duckdb") for kind in type(error).__mro__)
