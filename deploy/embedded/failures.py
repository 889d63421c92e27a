"""Failures that nobody foresaw: the client gets a number, the log has the traceback beside it."""

from __future__ import annotations

import secrets
import traceback
from contextlib import suppress

import structlog

log = structlog.get_logger()

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
    return (
        f"The server failed (error {number}; its log has the details under this number):"
        f" {type(error).__name__}: {lines[0][:_LONGEST]}"
    )
