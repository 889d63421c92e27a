"""Failures that nobody foresaw: the client gets a number, the log has the traceback beside it."""

from __future__ import annotations

import secrets
import traceback

import structlog

log = structlog.get_logger()


def logged(error: BaseException, doing: str) -> str:
    """Log a failure with its traceback; returns the message for the client, with the number.

    The traceback is logged without the values of variables: they may hold credentials.
    """
    number = secrets.token_hex(4)
    log.error(
        f"{doing} failed",
        error_id=number,
        exception="".join(traceback.format_exception(error)).rstrip(),
    )
    return (
        f"The server failed: {type(error).__name__}. This is a fault of the server, not of the request."
        f" Its log has the details under the number {number}"
    )
