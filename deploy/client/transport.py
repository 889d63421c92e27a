"""Requests to a server, one reply or a stream of them; every failure becomes a ClientError."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import httpx
import tenacity
from ksql.errors import KSQLError

from deploy.client.errors import (
    GuardFailed,
    KsqlError,
    OutcomeUnknown,
    ServerUnreachable,
    StatementFailed,
    error_of,
)
from deploy.client.http import Access, api
from deploy.replies import Row, objects_of

T = TypeVar("T")

# Pull queries answer these while the query behind a table is being started or moved.
NOT_READY = (
    "Cannot determine which host contains",
    "State store currently unavailable",
    "is not available yet. Please try again later",
    "Exhausted standby hosts",
    "All nodes are dead or exceed max allowed lag",
)


class Transport:
    """Speaks HTTP with one server.

    ``url`` may hold a user and a password, which count as those of ``access`` and are kept out of
    :attr:`url`. ``timeout``: seconds for one request; ``patience``: see :meth:`patiently`; ``wait``:
    seconds before the first repetition, doubled for each further one.
    """

    def __init__(
        self, url: str, access: Access, timeout: float, patience: float, wait: float
    ) -> None:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ServerUnreachable("the given URL", str(error)) from None
        # User and password are kept out of the URL, which appears in messages and logs.
        self.url = str(parsed.copy_with(userinfo=b"")).rstrip("/")
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ServerUnreachable(self.url, "the URL must begin with http:// or https://")
        self._patience = patience
        self._wait = wait
        if parsed.username:
            access = access.as_user(parsed.username, parsed.password)
        http = access.http()
        self._commands = api(self.url, http, httpx.Timeout(timeout))
        # A push query may be silent for hours: only its connection has a time-out.
        self._pushes = api(self.url, http, httpx.Timeout(timeout, read=None))

    def ksql(
        self, text: str, properties: Mapping[str, str] | None = None, guard: str | None = None
    ) -> list[Row]:
        """Send statements once. Raises KsqlError if refused, OutcomeUnknown, ServerUnreachable.

        With ``guard``, the name of a stream, they are sent together with a DESCRIBE of it: ksqlDB
        checks all statements of a request before it carries out the first, so without that stream
        nothing is done and GuardFailed is raised.
        """
        guarded = f"DESCRIBE `{guard}`; {text}" if guard else text
        try:
            reply: list[Row] = self._commands.ksql(
                guarded, stream_properties=dict(properties or {})
            )
        except KSQLError as error:
            code = error.error_code
            if guard and f"Could not find STREAM/TABLE '{guard}'" in error.msg:
                raise GuardFailed(guard) from None
            if code is None and error.msg.startswith("Unknown Error"):
                raise KsqlError(500, None, error.msg, text) from None
            if code is None:
                raise StatementFailed(200, None, error.msg, text) from None
            # ksqlDB's codes are the HTTP status and two more digits.
            raise KsqlError(code // 100, code, error.msg, text) from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
            raise ServerUnreachable(self.url, _reason(error)) from error
        except httpx.TransportError as error:
            raise OutcomeUnknown(text, _reason(error)) from error
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            # The module parses the reply before it looks at the status: a proxy's error page.
            raise OutcomeUnknown(text, f"the reply is not ksqlDB's: {error}") from error
        numbers = [each.get("commandSequenceNumber") or 0 for each in reply]
        self._commands.sa.sequence = max([self._commands.sa.sequence or 0, *numbers]) or None
        return reply[1:] if guard else reply

    def stream(
        self, text: str, properties: Mapping[str, str] | None, endless: bool
    ) -> Iterator[Row]:
        """The objects of a query's reply, as they come."""
        chosen = self._pushes if endless else self._commands
        chosen.sa.sequence = self._commands.sa.sequence
        # The module decodes chunks one by one, which fails where a chunk ends inside a character:
        # as Latin-1, bytes pass through it unharmed.
        chunks = chosen.query(text, encoding="latin-1", stream_properties=dict(properties or {}))
        try:
            yield from objects_of(chunk.encode("latin-1") for chunk in chunks)
        except httpx.TransportError as error:
            raise ServerUnreachable(self.url, _reason(error)) from error
        except ValueError as error:
            found = re.match(r"HTTP error encountered: (\d+): (.*)", str(error), re.DOTALL)
            if found is None:
                raise ServerUnreachable(self.url, f"its reply is not JSON: {error}") from error
            raise error_of(int(found[1]), found[2], text) from None

    def get(self, path: str) -> Row:
        """The reply to GET. Raises KsqlError or ServerUnreachable."""
        try:
            response = self._commands.sa.get_request(f"{self.url}/{path}")
        except httpx.TransportError as error:
            raise ServerUnreachable(self.url, _reason(error)) from error
        if response.status_code != 200:
            raise error_of(response.status_code, response.text, "")
        try:
            reply: Row = response.json()
        except ValueError:
            raise ServerUnreachable(self.url, f"/{path} is not JSON: not a ksqlDB?") from None
        return reply

    def patiently(self, request: Callable[[], T]) -> T:
        """Repeat a request that changes nothing, while there is reason to hope.

        For ``patience`` seconds while the server says that it is not ready, else three times.
        """

        def hopeless(state: tenacity.RetryCallState) -> bool:
            error = state.outcome.exception() if state.outcome else None
            if isinstance(error, KsqlError) and _is_not_ready(error):
                return (state.seconds_since_start or 0) > self._patience
            return state.attempt_number >= 3  # a wrong URL should be told soon

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_passes),
            wait=tenacity.wait_random_exponential(multiplier=self._wait / 5, max=4 * self._wait),
            stop=hopeless,
            reraise=True,
        )
        return retrying(request)


def _passes(error: BaseException) -> bool:
    if isinstance(error, KsqlError):
        return error.status >= 500 or _is_not_ready(error)
    return isinstance(error, (ServerUnreachable, OutcomeUnknown))


def _is_not_ready(error: KsqlError) -> bool:
    return error.status == 503 or any(each in error.message for each in NOT_READY)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
