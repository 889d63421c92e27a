"""Failures that nobody foresaw: the client gets a number, the log has the traceback beside it."""

from __future__ import annotations

import errno
import os
import secrets
import traceback
from contextlib import suppress

import duckdb
import structlog

from opensea_metrics.core.errors import Place, SqlError

log = structlog.get_logger()

_REASONS = frozenset(map(os.strerror, errno.errorcode))
"""What the system says of a failure, such as "No space left on device"; DuckDB's messages end with it."""
_LONGEST = 300
"""Characters of an exception's text that the client gets."""


def logged(error: BaseException, doing: str) -> str:
    """Log a failure with its traceback; returns the message for the client, with the number.

    The traceback is logged without the values of variables: they may hold credentials.
    """
    number = secrets.token_hex(4)
    with suppress(OSError):  # what the log is written to may be a disk that is full
        log.error(
            f"{doing} failed",
            error_id=number,
            exception="".join(traceback.format_exception(error)).rstrip(),
        )
    lines = str(error).splitlines() or [""]
    message = f"The server failed (error {number}; its log has the details under this number)"
    if isinstance(error, duckdb.Error):  # its text is about SQL that no client wrote
        reason = lines[0].rpartition(": ")[2]
        return f"{message} while it worked on {doing}{f': {reason}' if reason in _REASONS else ''}"
    return f"{message}: {type(error).__name__}: {lines[0][:_LONGEST]}"


def unreadable(error: duckdb.Error, place: Place) -> SqlError:
    """The error for SQL of ours that DuckDB refuses. All that it cannot run is refused before that, so this
    is a fault of the server; it is logged."""
    return SqlError(
        logged(error, "the SQL of a query") + ". This is a fault of the embedded server, not of the statement",
        place,
        "report it with the log's lines; until then write the statement differently, or run it on a ksqlDB"
        " server (--server URL or KSQLDB_URL)",
        code=50000,
    )
