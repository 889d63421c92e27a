"""A client of ksqlDB's REST interface, over the module ``ksql`` (PyPI: ksql-python-ng).

Queries go to ``/query`` over HTTP/1.1, because ``/query-stream`` needs HTTP/2 without TLS. Many proxies and
clients do not support that. Names are spelled as the server spells them: upper case unless quoted.

Source: https://docs.confluent.io/platform/7.9/ksqldb/developer-guide/ksqldb-rest-api/overview.html
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self, TypeVar
from urllib.parse import quote

from opensea_metrics.core.quoting import ksqldb_quoted
from opensea_metrics.deploy import shapes
from opensea_metrics.deploy.client.access import Access
from opensea_metrics.deploy.client.entities import check_shape
from opensea_metrics.deploy.client.errors import (
    BadReply,
    KsqlError,
    OutcomeUnknown,
    ServerUnreachable,
    StatementFailed,
    error_in,
)
from opensea_metrics.deploy.client.retries import patiently
from opensea_metrics.deploy.client.rows import Values
from opensea_metrics.deploy.client.transport import Transport
from opensea_metrics.deploy.replies import (
    CommandResult,
    Description,
    Row,
    Rows,
    ServerInfo,
    ServerQuery,
    ServerSource,
    ServerTopic,
)
from opensea_metrics.deploy.reply_columns import columns_of
from opensea_metrics.deploy.shapes import (
    Json,
    WrongShape,
    member,
    members,
    members_or_none,
    text_or_none,
)
from opensea_metrics.sql.language.dialect.lexical import summary

T = TypeVar("T")

IN_PROGRESS = ("QUEUED", "PARSING", "EXECUTING", "RUNNING")
# Names in one request. A server answers hundreds of DESCRIBEs at once, but a proxy may limit the size.
DESCRIBED_AT_ONCE = 100


@dataclass
class KsqlClient:
    """A client of one server.

    ``url`` may hold a user and a password (basic authentication). ``timeout``: seconds for one request.
    ``wait``: seconds before the first retry. ``patience``: how many seconds the client repeats read-only
    requests while the server says that it is not ready. The client also waits this long for a command
    that the server is still running.
    """

    url: str
    timeout: float = 60.0
    patience: float = 120.0
    access: Access = field(default_factory=Access, repr=False)
    wait: float = 0.5
    guard: str | None = field(default=None, init=False)
    first: str = field(default="", init=False)
    _transport: Transport = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        transport = Transport(self.url, self.access, self.timeout)
        self._transport = transport
        self.url, self.access = transport.url, transport.access

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

    def info(self) -> ServerInfo:
        """Version, service id and status of the server."""
        reply = self._patiently(partial(self._transport.get, "info"))
        with self._reading("GET /info"):
            return ServerInfo.of(member(reply, "KsqlServerInfo"))

    def healthcheck(self) -> bool:
        """True if the server says that it is healthy. An error counts as False."""
        try:
            return self._transport.get("healthcheck").get("isHealthy") is True
        except (KsqlError, ServerUnreachable):
            return False

    def disk(self) -> dict[str, Any] | None:
        """The disk space that an embedded server uses, in bytes per purpose.

        None for ksqlDB, which does not report it.
        """
        try:
            return dict(self._transport.get("disk"))
        except (KsqlError, BadReply):
            return None

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

    def ask(self, text: str) -> list[Row]:
        """The raw reply to a statement that only reads: SHOW, LIST, DESCRIBE, EXPLAIN."""

        def request() -> list[Row]:
            try:
                return self._transport.ksql(text)
            except OutcomeUnknown as error:
                request_name = _request(text)
                raise BadReply(self.url, request_name, error.reason, error.is_passing) from error

        reply = self._patiently(request)
        with self._reading(_request(text)):
            for entity in reply:
                check_shape(entity)
        return reply

    def everything(
        self, with_queries: bool = True
    ) -> tuple[tuple[ServerSource, ...], tuple[ServerQuery, ...], tuple[ServerTopic, ...]]:
        """All streams and tables, queries and topics, from one request. ``with_queries`` makes the reply long."""
        statements = "SHOW STREAMS; SHOW TABLES; SHOW TOPICS;" + " SHOW QUERIES;" * with_queries
        streams, tables, topics, *queries = self.ask(statements)
        with self._reading(_request(statements)):
            sources = (*members(streams, "streams"), *members(tables, "tables"))
            return (
                tuple(map(ServerSource.of, sources)),
                tuple(ServerQuery.of(query) for reply in queries for query in members(reply, "queries")),
                tuple(map(ServerTopic.of, members(topics, "topics"))),
            )

    def streams(self) -> tuple[ServerSource, ...]:
        """All streams on the server, in its order. Raises ClientError."""
        return self._list("SHOW STREAMS;", "streams", ServerSource.of)

    def tables(self) -> tuple[ServerSource, ...]:
        """All tables on the server, in its order. Raises ClientError."""
        return self._list("SHOW TABLES;", "tables", ServerSource.of)

    def queries(self) -> tuple[ServerQuery, ...]:
        """All queries, persistent and transient (push) ones."""
        return self._list("SHOW QUERIES;", "queries", ServerQuery.of)

    def topics(self) -> tuple[ServerTopic, ...]:
        """All Kafka topics except ksqlDB's internal ones."""
        return self._list("SHOW TOPICS;", "topics", ServerTopic.of)

    def types(self) -> tuple[str, ...]:
        """The names of all custom types."""
        (reply,) = self.ask("SHOW TYPES;")
        with self._reading(_request("SHOW TYPES;")):
            return tuple(map(str, member(reply, "types")))

    def describe(self, name: str, extended: bool = False) -> Description:
        """Describe one stream or table. The client quotes ``name``. Raises KsqlError if there is none."""
        statement = f"DESCRIBE {ksqldb_quoted(name)}{' EXTENDED' if extended else ''};"
        (reply,) = self.ask(statement)
        with self._reading(_request(statement)):
            return Description.of(member(reply, "sourceDescription"))

    def describe_all(self, names: Sequence[str], extended: bool = False) -> tuple[Description, ...]:
        """Describe several streams and tables in few requests. The result omits missing ones."""
        descriptions: list[Description] = []
        for start in range(0, len(names), DESCRIBED_AT_ONCE):
            chunk = names[start : start + DESCRIBED_AT_ONCE]
            ending = " EXTENDED" if extended else ""
            statements = " ".join(f"DESCRIBE {ksqldb_quoted(name)}{ending};" for name in chunk)
            try:
                reply = self.ask(statements)
            except KsqlError as error:
                if "Could not find STREAM/TABLE" not in error.message:
                    raise
                if len(chunk) > 1:  # one of them is gone, so the server refused the whole request
                    for name in chunk:
                        descriptions.extend(self.describe_all([name], extended))
            else:
                with self._reading(_request(statements)):
                    descriptions.extend(Description.of(member(r, "sourceDescription")) for r in reply)
        return tuple(descriptions)

    def query_errors(self, query_id: str) -> tuple[str, ...]:
        """The server's error messages about a failed query, the newest last."""
        statement = f"EXPLAIN {ksqldb_quoted(query_id)};"
        (reply,) = self.ask(statement)
        with self._reading(_request(statement)):
            errors = members_or_none(member(reply, "queryDescription"), "queryErrors")
            return tuple(text_or_none(query_error, "errorMessage") or "" for query_error in errors)

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

    def _list(self, statement: str, name: str, of: Callable[[Json], T]) -> tuple[T, ...]:
        (reply,) = self.ask(statement)
        with self._reading(_request(statement)):
            return tuple(map(of, members(reply, name)))

    def _patiently(self, request: Callable[[], T]) -> T:
        return patiently(request, self.patience, self.wait)

    @contextmanager
    def _reading(self, request: str) -> Iterator[None]:
        """Turn a WrongShape into a BadReply."""
        try:
            yield
        except WrongShape as error:
            raise BadReply(self.url, request, str(error)) from None

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


def _request(statements: str) -> str:
    return f"POST /ksql ({summary(statements)})"
