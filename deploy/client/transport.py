"""Requests to a server, one reply or a stream of them; every failure becomes a ClientError."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Generator, Mapping
from contextlib import closing, suppress
from typing import Any

import httpx

from opensea_metrics.deploy.client.access import Access, server_address
from opensea_metrics.deploy.client.entities import check_number
from opensea_metrics.deploy.client.errors import (
    BadReply,
    GuardFailed,
    OutcomeUnknown,
    QueryEnded,
    ServerUnreachable,
    error_of,
    page_summary,
)
from opensea_metrics.deploy.client.http import HttpError, api
from opensea_metrics.deploy.client.limits import BYTES_PER_SECOND, ROWS_BYTES, until
from opensea_metrics.deploy.client.rows import Objects
from opensea_metrics.deploy.replies import Row
from opensea_metrics.deploy.shapes import WrongShape, not_too_deep
from opensea_metrics.sql.language.dialect.lexical import summary

CLOSING = 5.0  # seconds to close a query that nobody reads anymore


class Transport:
    """Speaks HTTP with one server.

    ``url`` may hold a user and a password. They replace those of ``access``, and :attr:`url` does not show
    them. ``timeout``: seconds for one reply; a long reply has more (see :meth:`stream`).
    """

    def __init__(self, url: str, access: Access, timeout: float) -> None:
        self.url, user = server_address(url)
        self._timeout = timeout
        self.access = access.as_user(*user) if user else access
        http = self.access.http(self.url)
        self._commands = api(self.url, http, httpx.Timeout(timeout), ROWS_BYTES)
        # A push query may be silent for hours.
        self._pushes = api(self.url, http, httpx.Timeout(timeout, read=None), math.inf)

    def ksql(
        self, text: str, properties: Mapping[str, str] | None = None, guard: str | None = None, first: str = ""
    ) -> list[Row]:
        """Send statements once. Raises KsqlError if refused, OutcomeUnknown, ServerUnreachable.

        ``guard`` is the name of a stream. A DESCRIBE of it is sent in front of the statements. ksqlDB checks
        all statements of a request before it runs the first. If the stream is gone, the server does nothing
        and GuardFailed is raised. ``first`` are INSERT INTO … VALUES, which no error names.
        """
        whole = f"{first} {text}" if first else text
        guarded = f"DESCRIBE `{guard}`; {whole}" if guard else whole
        try:
            with until(time.monotonic() + self._timeout):
                reply = self._commands.ksql(guarded, stream_properties=dict(properties or {}))
            entities = _entities(reply)
            check_number(guarded, entities)
        except HttpError as error:
            refused = error_of(error.status, error.body, text)
            if error.status >= 500 and (refused is None or refused.error_code is None):
                reason = page_summary(error.status, error.body)
                raise OutcomeUnknown(text, reason, self.url, is_passing=True) from None
            if refused is None:
                raise self._no_error_of_ksqldb(f"POST /ksql ({summary(text)})", error) from None
            if guard and f"Could not find STREAM/TABLE '{guard}'" in refused.message:
                raise GuardFailed(guard) from None
            raise refused from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
            raise ServerUnreachable(self.url, _reason(error)) from error
        except httpx.TransportError as error:
            is_late = isinstance(error, httpx.TimeoutException)
            raise OutcomeUnknown(text, self._why(error), self.url, not is_late) from error
        except (ValueError, RecursionError) as error:
            raise OutcomeUnknown(text, _shape(error), self.url) from None
        numbers = (entity.get("commandSequenceNumber") for entity in entities)
        known = [number for number in numbers if isinstance(number, int)]
        self._commands.sa.sequence = max([self._commands.sa.sequence or 0, *known]) or None
        return entities[1:] if guard else entities

    def stream(
        self, text: str, properties: Mapping[str, str] | None, endless: bool, exact: bool = False
    ) -> Generator[Row, None, None]:
        """The objects of a query's reply, as they come. Closing the generator closes the connection.

        A finite reply must arrive at 100 kB/s or faster after the first ``timeout`` seconds. An endless
        reply may be silent between rows, and has ``timeout`` seconds for its header and for each row.
        """
        chosen = self._pushes if endless else self._commands
        chosen.sa.sequence = self._commands.sa.sequence
        # The module decodes each chunk by itself, which fails if a chunk ends inside a character.
        # Decoded as Latin-1, the bytes stay as they are.
        chunks = chosen.query(text, encoding="latin-1", stream_properties=dict(properties or {}))
        request = f"POST /query ({summary(text)})"
        objects = Objects(exact)
        begun, size, has_begun = time.monotonic(), 0, False
        try:
            with closing(chunks):
                while True:
                    is_idle = endless and has_begun and not objects.in_part
                    end = begun + self._timeout + size / BYTES_PER_SECOND
                    with until(math.inf if is_idle else end):
                        piece = next(chunks, None)
                    if piece is None:
                        break
                    if is_idle:  # a row begins
                        begun, size = time.monotonic(), 0
                    size += len(piece)
                    for row in objects.feed(piece.encode("latin-1")):
                        has_begun = True
                        yield row
        except HttpError as error:
            refused = error_of(error.status, error.body, text)
            raise refused or self._no_error_of_ksqldb(request, error) from None
        except httpx.TransportError as error:
            if endless and has_begun:
                raise QueryEnded(self.url, text, self._why(error)) from error
            raise self._failed(request, error) from error
        except WrongShape as error:
            raise BadReply(self.url, request, str(error)) from None
        if objects.in_part:
            raise BadReply(self.url, request, "it is cut off", is_passing=True)

    def lines(self, text: str) -> Generator[str, None, None]:
        """The lines of a reply that is text (PRINT), as they come. Closing the generator closes the connection."""
        request = f"POST /query ({summary(text)})"
        chunks = self._pushes.query(text, encoding="latin-1")
        rest, has_begun = b"", False
        try:
            with closing(chunks):
                while True:
                    piece = next(chunks, None)  # without a deadline: an empty topic has no lines for hours
                    if piece is None:
                        break
                    has_begun = True
                    *whole, rest = (rest + piece.encode("latin-1")).split(b"\n")
                    if len(rest) > ROWS_BYTES:
                        raise WrongShape("it has a line that never ends")
                    yield from (line.decode(errors="replace") for line in whole if line.strip())
        except HttpError as error:
            refused = error_of(error.status, error.body, text)
            raise refused or self._no_error_of_ksqldb(request, error) from None
        except httpx.TransportError as error:
            if has_begun:
                raise QueryEnded(self.url, text, self._why(error)) from error
            raise self._failed(request, error) from error
        except WrongShape as error:
            raise BadReply(self.url, request, str(error)) from None
        if rest.strip():
            yield rest.decode(errors="replace")

    def close_query(self, query_id: str) -> None:
        """End a push query on the server, if it can still be reached."""
        with suppress(httpx.HTTPError, WrongShape), until(time.monotonic() + CLOSING):
            self._commands.sa.post("close-query", {"queryId": query_id}).read()

    def get(self, path: str) -> Row:
        """The object in reply to GET. Raises KsqlError, BadReply or ServerUnreachable."""
        try:
            with until(time.monotonic() + self._timeout):
                response = self._commands.sa.get_request(f"{self.url}/{path}")
                body = response.read()
        except httpx.TransportError as error:
            raise self._failed(f"GET /{path}", error) from error
        except WrongShape as error:
            raise BadReply(self.url, f"GET /{path}", str(error)) from None
        if response.status_code != 200:
            page = HttpError(response.status_code, body.decode(errors="replace"))
            refused = error_of(page.status, page.body, "")
            raise refused or self._no_error_of_ksqldb(f"GET /{path}", page)
        try:
            reply = json.loads(body)
            if not isinstance(reply, dict):
                raise WrongShape("it is not a JSON object")
            not_too_deep(reply)
        except (ValueError, RecursionError) as error:
            raise BadReply(self.url, f"GET /{path}", _shape(error)) from None
        return reply

    def _failed(self, request: str, error: httpx.TransportError) -> ServerUnreachable:
        """The error for a failed request that only reads."""
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol)):
            return ServerUnreachable(self.url, self._why(error))
        is_late = isinstance(error, httpx.TimeoutException)
        return BadReply(self.url, request, self._why(error), is_passing=not is_late)

    def _no_error_of_ksqldb(self, request: str, error: HttpError) -> BadReply:
        """The error for a reply whose status is not 200 and whose body is not ksqlDB's JSON."""
        reason = page_summary(error.status, error.body)
        return BadReply(self.url, request, reason, is_passing=error.status >= 500)

    def _why(self, error: httpx.TransportError) -> str:
        if isinstance(error, httpx.TimeoutException):
            return f"it was not complete after {self._timeout:g} s"
        return _reason(error)


def _entities(reply: Any) -> list[Row]:
    """The reply to statements: a list of objects. Raises WrongShape."""
    if not isinstance(reply, list) or not all(isinstance(entity, dict) for entity in reply):
        raise WrongShape("it is not a list of JSON objects")
    not_too_deep(reply)
    return reply


def _shape(error: Exception) -> str:
    """The reason why a complete reply is not usable, as words that follow "the reply"."""
    if isinstance(error, WrongShape):
        return str(error)
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else "it is not JSON"


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
