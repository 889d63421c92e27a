"""A client of ksqlDB's REST interface, over the module ``ksql`` (PyPI: ksql-python-ng).

Queries go to ``/query`` over HTTP/1.1: ``/query-stream`` needs HTTP/2 without TLS, which proxies
and many clients do not pass. Names are as the server spells them: upper case unless quoted.

Source: https://docs.confluent.io/platform/7.9/ksqldb/developer-guide/ksqldb-rest-api/overview.html
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Self, TypeVar
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
from opensea_metrics.deploy.client.rows import Values
from opensea_metrics.deploy.client.transport import Transport
from opensea_metrics.deploy.replies import (
    CommandResult,
    Description,
    Query,
    Row,
    Rows,
    ServerInfo,
    Source,
    Topic,
    columns_of,
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

IN_PROGRESS = ("QUEUED", "PARSING", "EXECUTING", "RUNNING")
# Names in one request: a server answers hundreds of DESCRIBEs at once, and a proxy may limit size.
DESCRIBED_AT_ONCE = 100


@dataclass
class KsqlClient:
    """A client of one server.

    ``url`` may hold a user and a password (basic authentication). ``timeout``: seconds for one
    request; ``patience``: seconds for which requests that only read are repeated while the server
    says that it is not ready, and for which a command is awaited that is still being carried out;
    ``wait``: seconds before something is tried again the first time.
    """

    url: str
    timeout: float = 60.0
    patience: float = 120.0
    access: Access = field(default_factory=Access, repr=False)
    wait: float = 0.5
    guard: str | None = field(default=None, init=False)
    _transport: Transport = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        made = Transport(self.url, self.access, self.timeout, self.patience, self.wait)
        self._transport = made
        self.url = made.url

    def under(self, guard: str | None) -> Self:
        """This client, whose commands are refused (GuardFailed) once the stream ``guard`` is gone."""
        guarded = copy.copy(self)
        guarded.guard = guard
        return guarded

    def info(self) -> ServerInfo:
        """Version, service id and status of the server."""
        reply = self._transport.patiently(partial(self._transport.get, "info"))
        with self._reading("GET /info"):
            return ServerInfo.of(member(reply, "KsqlServerInfo"))

    def healthcheck(self) -> bool:
        """True if the server says that it is healthy; an error counts as False."""
        try:
            return self._transport.get("healthcheck").get("isHealthy") is True
        except (KsqlError, ServerUnreachable):
            return False

    def execute(
        self, text: str, properties: Mapping[str, str] | None = None
    ) -> tuple[CommandResult, ...]:
        """Send statements (each ends with a semicolon) once, and wait until they are carried out.

        Raises KsqlError if refused (with several statements, none is carried out then),
        StatementFailed, OutcomeUnknown, ServerUnreachable, GuardFailed.
        """
        reply = self._transport.ksql(text, properties, self.guard)
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
                asked = _request(text)
                raise BadReply(self.url, asked, error.reason, error.is_passing) from error

        reply = self._transport.patiently(request)
        with self._reading(_request(text)):
            for entity in reply:
                check_shape(entity)
        return reply

    def everything(self) -> tuple[tuple[Source, ...], tuple[Query, ...], tuple[Topic, ...]]:
        """All streams and tables, queries, and topics, asked for in one request."""
        asked = "SHOW STREAMS; SHOW TABLES; SHOW QUERIES; SHOW TOPICS;"
        streams, tables, queries, topics = self.ask(asked)
        with self._reading(_request(asked)):
            sources = (*members(streams, "streams"), *members(tables, "tables"))
            return (
                tuple(map(Source.of, sources)),
                tuple(map(Query.of, members(queries, "queries"))),
                tuple(map(Topic.of, members(topics, "topics"))),
            )

    def streams(self) -> tuple[Source, ...]:
        """All streams."""
        return self._list("SHOW STREAMS;", "streams", Source.of)

    def tables(self) -> tuple[Source, ...]:
        """All tables."""
        return self._list("SHOW TABLES;", "tables", Source.of)

    def queries(self) -> tuple[Query, ...]:
        """All queries, persistent and (push) transient ones."""
        return self._list("SHOW QUERIES;", "queries", Query.of)

    def topics(self) -> tuple[Topic, ...]:
        """All Kafka topics but ksqlDB's internal ones."""
        return self._list("SHOW TOPICS;", "topics", Topic.of)

    def describe(self, name: str, extended: bool = False) -> Description:
        """One stream or table; ``name`` is quoted here. Raises KsqlError if there is none."""
        asked = f"DESCRIBE {ksqldb_quoted(name)}{' EXTENDED' if extended else ''};"
        (reply,) = self.ask(asked)
        with self._reading(_request(asked)):
            return Description.of(member(reply, "sourceDescription"))

    def describe_all(self, names: Sequence[str], extended: bool = False) -> tuple[Description, ...]:
        """Several streams and tables, in few requests; those that do not exist are left out."""
        found: list[Description] = []
        for start in range(0, len(names), DESCRIBED_AT_ONCE):
            chunk = names[start : start + DESCRIBED_AT_ONCE]
            ending = " EXTENDED" if extended else ""
            asked = " ".join(f"DESCRIBE {ksqldb_quoted(name)}{ending};" for name in chunk)
            try:
                reply = self.ask(asked)
            except KsqlError as error:
                if "Could not find STREAM/TABLE" not in error.message:
                    raise
                if len(chunk) > 1:  # one of them is gone, and the server refused all
                    for name in chunk:
                        found.extend(self.describe_all([name], extended))
            else:
                with self._reading(_request(asked)):
                    found.extend(Description.of(member(r, "sourceDescription")) for r in reply)
        return tuple(found)

    def query_errors(self, query_id: str) -> tuple[str, ...]:
        """What the server says of a failed query, the newest last."""
        asked = f"EXPLAIN {ksqldb_quoted(query_id)};"
        (reply,) = self.ask(asked)
        with self._reading(_request(asked)):
            errors = members_or_none(member(reply, "queryDescription"), "queryErrors")
            return tuple(text_or_none(each, "errorMessage") or "" for each in errors)

    def pull(self, text: str) -> list[Row]:
        """All rows of a pull query; repeated while the table is not ready."""
        return list(self.pull_rows(text))

    def pull_rows(self, text: str) -> Rows:
        """As ``pull``, with the columns (which an empty result has as well)."""

        def request() -> Rows:
            rows = self.select(text)
            return Rows(rows.columns, iter(list(rows.values)))

        return self._transport.patiently(request)

    def push(self, text: str, properties: Mapping[str, str] | None = None) -> Iterator[Row]:
        """The rows of a push query (EMIT CHANGES) as they come, until its LIMIT or until closed."""
        rows = self.select(text, properties, endless=True)
        with closing(rows):
            yield from rows

    def select(
        self, text: str, properties: Mapping[str, str] | None = None, endless: bool = False
    ) -> Rows:
        """Start a query and return when its columns are known; nothing is repeated.

        An endless query must be closed: the server runs it until then. Its rows raise QueryEnded if
        the server ends it before its LIMIT.
        """
        replies = self._transport.stream(text, properties, endless)
        with self._reading(f"POST /query ({summary(text)})"):
            reply = next(replies, {})
            if reply.get("errorMessage") is not None:
                raise error_in(reply["errorMessage"], text)
            header = member(reply, "header")
            columns = columns_of(shapes.text(header, "schema"))
            query_id = text_or_none(header, "queryId")
        close = partial(self._transport.close_query, query_id or "") if endless else None
        values = Values(replies, len(columns), text, self.url, close)
        return Rows(columns, values, values.close)

    def _list(self, asked: str, name: str, of: Callable[[Json], T]) -> tuple[T, ...]:
        (reply,) = self.ask(asked)
        with self._reading(_request(asked)):
            return tuple(map(of, members(reply, name)))

    @contextmanager
    def _reading(self, request: str) -> Iterator[None]:
        """A reply of another shape than ksqlDB's becomes a BadReply."""
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
                news = self._transport.patiently(partial(self._transport.get, path))
                result = result.now(news)
            except (KsqlError, ServerUnreachable, WrongShape) as error:
                # The statement is under way; only how it ends cannot be learned from here.
                raise OutcomeUnknown(result.statement, str(error), self.url) from error
        if result.status in ("ERROR", "TERMINATED"):
            raise StatementFailed(200, None, result.message, result.statement)
        return result


def _request(asked: str) -> str:
    return f"POST /ksql ({summary(asked)})"
