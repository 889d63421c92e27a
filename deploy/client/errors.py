"""What can go wrong between the client and a server; a caller can show any of these as it is.

::

    ClientError
    ├── ServerUnreachable      no server answers at the URL
    ├── AccessError            a certificate, key or credential cannot be used
    ├── OutcomeUnknown         the statement was sent and no usable answer came: ask the server
    ├── GuardFailed            the statement was not looked at: what guards it is gone
    └── KsqlError              the server answers with an error
        └── StatementFailed    the server took the statement and then could not carry it out
"""

from __future__ import annotations

import json

from sql.errors import OpenSeaMetricsError


class ClientError(OpenSeaMetricsError):
    """Base of all that can go wrong between this client and a server."""


class ServerUnreachable(ClientError):
    """No server answers at ``url`` (shown without user and password)."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url = url
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"no ksqlDB server answers at {self.url}: {self.reason}\n"
            "  hint: start one (opensea-metrics serve), or name one with --server or KSQLDB_URL"
        )


class AccessError(ClientError):
    """What is needed to be let in cannot be used; the message names the setting or file."""


class OutcomeUnknown(ClientError):
    """The statement was sent, and whether it was carried out is not known."""

    def __init__(self, statement: str, reason: str) -> None:
        super().__init__(statement, reason)
        self.statement = statement
        self.reason = reason

    def __str__(self) -> str:
        return f"no usable answer to a statement ({self.reason}); it may have been carried out"


class GuardFailed(ClientError):
    """The stream that guards a statement is gone, so the server refused the whole request."""

    def __init__(self, guard: str) -> None:
        super().__init__(guard)
        self.guard = guard

    def __str__(self) -> str:
        return f"{self.guard} is gone: nothing was sent under it"


class KsqlError(ClientError):
    """The server's own error: HTTP ``status``, ksqlDB's ``error_code`` (None if it gave none)."""

    def __init__(
        self, status: int, error_code: int | None, message: str, statement: str = ""
    ) -> None:
        super().__init__(status, error_code, message, statement)
        self.status = status
        self.error_code = error_code
        self.message = message
        self.statement = statement

    def __str__(self) -> str:
        code = f" (error code {self.error_code})" if self.error_code else ""
        return f"{self.message}{code}"


class StatementFailed(KsqlError):
    """A command that the server accepted (HTTP 200) ended in the status ERROR or TERMINATED."""


def error_of(status: int, body: str, statement: str) -> KsqlError:
    """The error that an HTTP reply stands for."""
    try:
        reply = json.loads(body)
        return KsqlError(status, reply.get("error_code"), reply["message"], statement)
    except (ValueError, AttributeError, LookupError, TypeError):
        return KsqlError(status, None, f"HTTP {status}: {body[:500]}", statement)
