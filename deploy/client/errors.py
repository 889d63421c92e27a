"""The errors of the client. A caller can show the message of each as it is.

::

    ClientError
    ├── ServerUnreachable      no server answers at the URL
    │   ├── BadReply           something answers there, but not as ksqlDB would
    │   └── QueryEnded         the server ended an endless query
    ├── BadAddress             the server's URL cannot be used
    ├── AccessError            a certificate, key or credential cannot be used
    ├── OutcomeUnknown         the statement was sent, but no usable reply came: ask the server
    ├── GuardFailed            the server refused the statement because its guard is gone
    └── KsqlError              the server answers with an error
        └── StatementFailed    the server accepted the statement and then failed to run it
"""

from __future__ import annotations

import json
import re
from typing import Any

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.sql.language.dialect.lexical import summary


class ClientError(OpenSeaMetricsError):
    """Base of all errors between this client and a server."""


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


class BadReply(ServerUnreachable):
    """The reply to ``request`` is not one of ksqlDB's. ``reason`` completes "the reply …".

    ``is_passing``: the same request may succeed later, for instance if the connection was cut or a proxy
    could not reach its server. Otherwise the reply was wrong or too slow.
    """

    def __init__(self, url: str, request: str, reason: str, is_passing: bool = False) -> None:
        super().__init__(url, reason)
        self.args = (url, request, reason, is_passing)
        self.request = request
        self.is_passing = is_passing

    def __str__(self) -> str:
        return (
            f"the server at {self.url} gave no usable reply to {self.request}: {self.reason}\n"
            "  hint: --server or KSQLDB_URL must name ksqlDB itself; if it does, try again or look at"
            " the server's log"
        )


class QueryEnded(ServerUnreachable):
    """The server ended a push query or went away before the query was complete."""

    def __init__(self, url: str, statement: str, reason: str) -> None:
        super().__init__(url, reason)
        self.args = (url, statement, reason)
        self.statement = statement

    def __str__(self) -> str:
        return (
            f"the server at {self.url} ended POST /query ({summary(self.statement)}): {self.reason}\n"
            "  hint: start the query again; if the server is gone, start it first"
        )


class BadAddress(ClientError):
    """The server's URL cannot be used. The message shows the URL only if it cannot hold a password."""


class AccessError(ClientError):
    """A credential, certificate or key cannot be used. The message names the setting or file."""


class OutcomeUnknown(ClientError):
    """The statement was sent, and nobody knows whether the server ran it.

    ``is_passing`` means the same as for BadReply.
    """

    def __init__(
        self, statement: str, reason: str, url: str = "", is_passing: bool = False
    ) -> None:
        super().__init__(statement, reason, url, is_passing)
        self.statement = statement
        self.reason = reason
        self.url = url
        self.is_passing = is_passing

    def __str__(self) -> str:
        server = f"the server at {self.url}" if self.url else "the server"
        return (
            f"{server} gave no usable reply to POST /ksql ({summary(self.statement)}): {self.reason};"
            " the statement may have run"
        )


class GuardFailed(ClientError):
    """The stream that guards a statement is gone, so the server refused the whole request."""

    def __init__(self, guard: str) -> None:
        super().__init__(guard)
        self.guard = guard

    def __str__(self) -> str:
        return f"the stream {self.guard} is gone, so the server refused the request"


class KsqlError(ClientError):
    """An error that the server reports: HTTP ``status``, and ksqlDB's ``error_code`` (None without one)."""

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


def error_of(status: int, body: str, statement: str) -> KsqlError | None:
    """ksqlDB's error in an HTTP reply whose status is not 200. None if the body holds no error."""
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(reply, dict) or not isinstance(reply.get("message"), str):
        return None
    return KsqlError(status, _code(reply), reply["message"], statement)


def error_in(reply: Any, statement: str) -> KsqlError:
    """The error that the server reports after some rows, when it has already sent the status 200."""
    known = reply if isinstance(reply, dict) else {"message": reply}
    message, code = known.get("message"), _code(known)
    shown = message if isinstance(message, str) else "the server reports an error without a text"
    return KsqlError((code or 50000) // 100, code, shown, statement)


def _code(reply: dict[str, Any]) -> int | None:
    code = reply.get("error_code")
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def page_summary(status: int, body: str) -> str:
    """Describes a web page that did not come from ksqlDB, by its title or its first characters."""
    title = re.search(r"<title>([^<]*)", body, re.IGNORECASE)
    words = (title[1] if title else body).split()
    return f"HTTP {status}: {' '.join(words)[:300]}".rstrip(": ")
