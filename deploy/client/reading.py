"""Asks a server what it has, and repeats such requests, which change nothing, while they may still succeed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import tenacity

from opensea_metrics.core.quoting import ksqldb_quoted
from opensea_metrics.deploy.client.access import Access
from opensea_metrics.deploy.client.entities import check_shape
from opensea_metrics.deploy.client.errors import (
    BadReply,
    KsqlError,
    OutcomeUnknown,
    ServerUnreachable,
)
from opensea_metrics.deploy.client.transport import Transport
from opensea_metrics.deploy.replies import (
    Description,
    Row,
    ServerInfo,
    ServerQuery,
    ServerSource,
    ServerTopic,
)
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

# Names in one request. A server answers hundreds of DESCRIBEs at once, but a proxy may limit the size.
DESCRIBED_AT_ONCE = 100
# Pull queries fail with these while the query behind a table is being started or moved.
NOT_READY = (
    "Cannot determine which host contains",
    "State store currently unavailable",
    "is not available yet. Please try again later",
    "Exhausted standby hosts",
    "All nodes are dead or exceed max allowed lag",
)
ATTEMPTS = 3  # if the server does not say that it is not ready; so a wrong URL is reported soon


def patiently(request: Callable[[], T], patience: float, wait: float) -> T:
    """Send a request that changes nothing, and repeat it while it may still succeed.

    Repeats for ``patience`` seconds while the server says that it is not ready. Other failures are repeated until
    three requests have failed. ``wait``: seconds before the first repeat; each further wait is about twice as long.
    """

    def is_hopeless(state: tenacity.RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, KsqlError) and _is_not_ready(error):
            return (state.seconds_since_start or 0) > patience
        return state.attempt_number >= ATTEMPTS

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_may_pass),
        wait=tenacity.wait_random_exponential(multiplier=wait / 5, max=4 * wait),
        stop=is_hopeless,
        reraise=True,
    )
    return retrying(request)


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, KsqlError):
        return error.status >= 500 or _is_not_ready(error)
    # A repeated request would get the same wrong reply, or take as long again.
    return error.is_passing if isinstance(error, BadReply) else isinstance(error, ServerUnreachable)


def _is_not_ready(error: KsqlError) -> bool:
    return error.status == 503 or any(sign in error.message for sign in NOT_READY)


@dataclass
class ReadingClient:
    """The requests of a client that only read. :class:`KsqlClient` describes the fields."""

    url: str
    timeout: float = 60.0
    patience: float = 120.0
    access: Access = field(default_factory=Access, repr=False)
    wait: float = 0.5
    _transport: Transport = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        transport = Transport(self.url, self.access, self.timeout)
        self._transport = transport
        self.url, self.access = transport.url, transport.access

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


def _request(statements: str) -> str:
    return f"POST /ksql ({summary(statements)})"
