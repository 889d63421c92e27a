"""A client of ksqlDB's REST interface, over the module ``ksql`` (PyPI: ksql-python-ng).

Queries go to ``/query`` over HTTP/1.1, because ``/query-stream`` needs HTTP/2 without TLS. Many proxies and
clients do not support that. Names are spelled as the server spells them: upper case unless quoted.

Source: https://docs.confluent.io/platform/7.9/ksqldb/developer-guide/ksqldb-rest-api/overview.html
"""

from __future__ import annotations

import copy
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Self
from urllib.parse import quote

from opensea_metrics.deploy import shapes
from opensea_metrics.deploy.client.errors import (
    KsqlError,
    OutcomeUnknown,
    ServerUnreachable,
    StatementFailed,
    error_in,
)
from opensea_metrics.deploy.client.reading import ReadingClient
from opensea_metrics.deploy.client.rows import Values
from opensea_metrics.deploy.replies import CommandResult, Row, Rows
from opensea_metrics.deploy.reply_columns import columns_of
from opensea_metrics.deploy.shapes import WrongShape, member, text_or_none
from opensea_metrics.sql.language.dialect.lexical import summary

IN_PROGRESS = ("QUEUED", "PARSING", "EXECUTING", "RUNNING")


@dataclass
class KsqlClient(ReadingClient):
    """A client of one server.

    ``url`` may hold a user and a password (basic authentication). ``timeout``: seconds for one request.
    ``wait``: seconds before the first retry. ``patience``: how many seconds the client repeats read-only
    requests while the server says that it is not ready. The client also waits this long for a command
    that the server is still running.
    """

    guard: str | None = field(default=None, init=False)
    first: str = field(default="", init=False)

    def under(self, guard: str | None) -> Self:
        """A copy whose commands raise GuardFailed once the stream ``guard`` is gone."""
        guarded = copy.copy(self)
        guarded.guard = guard
        return guarded

    def preceded_by(self, statements: str) -> Self:
        """A copy that sends ``statements``, which are INSERT INTO … VALUES, in front of each command, in its request.

        The server carries them out first, or none if it refuses the command. Errors name the command only.
        """
        preceded = copy.copy(self)
        preceded.first = statements
        return preceded

    def execute(
        self, text: str, properties: Mapping[str, str] | None = None
    ) -> tuple[CommandResult, ...]:
        """Send statements once, and wait until the server has run them. Each ends with a semicolon.

        Raises KsqlError if the server refuses one; then it runs none of them. Also raises
        StatementFailed, OutcomeUnknown, ServerUnreachable and GuardFailed.
        """
        reply = self._transport.ksql(text, properties, self.guard, self.first)
        try:
            results = [CommandResult.of(entity) for entity in reply]
        except WrongShape as error:
            raise OutcomeUnknown(text, str(error), self.url) from None
        return tuple(map(self._finished, results))

    def pull(self, text: str) -> list[Row]:
        """All rows of a pull query. The query is repeated while the table is not ready."""
        return list(self.pull_rows(text))

    def pull_rows(self, text: str, exact: bool = False) -> Rows:
        """The rows of a pull query, and their columns even if there are no rows. ``exact``: as in
        :meth:`select`."""

        def request() -> Rows:
            rows = self.select(text, exact=exact)
            return Rows(rows.columns, iter(list(rows.values)))

        return self._patiently(request)

    def push(self, text: str, properties: Mapping[str, str] | None = None) -> Iterator[Row]:
        """The rows of a push query (EMIT CHANGES) as they come, until its LIMIT or until it is closed."""
        rows = self.select(text, properties, endless=True)
        with closing(rows):
            yield from rows

    def printed(self, text: str) -> Generator[str, None, None]:
        """The lines of the reply to ``PRINT topic …;`` as they come. Closing the generator ends the PRINT."""
        return self._transport.lines(text)

    def select(
        self, text: str, properties: Mapping[str, str] | None = None, endless: bool = False, exact: bool = False
    ) -> Rows:
        """Start a query once, and return when its columns are known.

        An endless query must be closed, because the server runs it until then. Its rows raise QueryEnded
        if the server ends it before its LIMIT. With ``exact``, DECIMALs are Decimals with all their digits.
        """
        replies = self._transport.stream(text, properties, endless, exact)
        with self._reading(f"POST /query ({summary(text)})"):
            reply = next(replies, {})
            if reply.get("errorMessage") is not None:
                raise error_in(reply["errorMessage"], text)
            header = member(reply, "header")
            columns = columns_of(shapes.text(header, "schema"))
            query_id = text_or_none(header, "queryId")
        close = partial(self._transport.close_query, query_id or "") if endless else None
        values = Values(replies, columns, text, self.url, close)
        return Rows(columns, values, values.close)

    def _finished(self, result: CommandResult) -> CommandResult:
        deadline = time.monotonic() + self.patience
        while result.status in IN_PROGRESS:
            if time.monotonic() > deadline:
                waited = f"still {result.status} after {self.patience:g} s"
                raise OutcomeUnknown(result.statement, waited, self.url)
            time.sleep(0.2)
            path = f"status/{quote(result.command_id)}"
            try:
                status = self._patiently(partial(self._transport.get, path))
                result = result.with_status(status)
            except (KsqlError, ServerUnreachable, WrongShape) as error:
                # The statement is running, but the client cannot see how it ends.
                raise OutcomeUnknown(result.statement, str(error), self.url) from error
        if result.status in ("ERROR", "TERMINATED"):
            raise StatementFailed(200, None, result.message, result.statement)
        return result
