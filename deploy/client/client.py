"""A client of ksqlDB's REST interface, over the module ``ksql`` (PyPI: ksql-python-ng).

Queries go to ``/query`` over HTTP/1.1: ``/query-stream`` needs HTTP/2 without TLS, which proxies
and many clients do not pass. Names are as the server spells them: upper case unless quoted.

Source: https://docs.confluent.io/platform/7.9/ksqldb/developer-guide/ksqldb-rest-api/overview.html
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self
from urllib.parse import quote

from deploy.client.errors import KsqlError, OutcomeUnknown, ServerUnreachable, StatementFailed
from deploy.client.http import Access
from deploy.client.transport import Transport
from deploy.replies import (
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
        return ServerInfo.of(reply["KsqlServerInfo"])

    def healthcheck(self) -> bool:
        """True if the server says that it is healthy; an error counts as False."""
        try:
            return bool(self._transport.get("healthcheck").get("isHealthy"))
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
        return tuple(self._finished(CommandResult.of(entity)) for entity in reply)

    def ask(self, text: str) -> list[Row]:
        """The raw reply to a statement that only reads: SHOW, LIST, DESCRIBE, EXPLAIN."""

        def request() -> list[Row]:
            try:
                return self._transport.ksql(text)
            except OutcomeUnknown as error:
                raise ServerUnreachable(self.url, error.reason) from error

        return self._transport.patiently(request)

    def everything(self) -> tuple[tuple[Source, ...], tuple[Query, ...], tuple[Topic, ...]]:
        """All streams and tables, queries, and topics, asked for in one request."""
        streams, tables, queries, topics = self.ask(
            "SHOW STREAMS; SHOW TABLES; SHOW QUERIES; SHOW TOPICS;"
        )
        return (
            tuple(Source.of(each) for each in (*streams["streams"], *tables["tables"])),
            tuple(Query.of(each) for each in queries["queries"]),
            tuple(Topic.of(each) for each in topics["topics"]),
        )

    def streams(self) -> tuple[Source, ...]:
        """All streams."""
        return tuple(Source.of(each) for each in self.ask("SHOW STREAMS;")[0]["streams"])

    def tables(self) -> tuple[Source, ...]:
        """All tables."""
        return tuple(Source.of(each) for each in self.ask("SHOW TABLES;")[0]["tables"])

    def queries(self) -> tuple[Query, ...]:
        """All queries, persistent and (push) transient ones."""
        return tuple(Query.of(each) for each in self.ask("SHOW QUERIES;")[0]["queries"])

    def topics(self) -> tuple[Topic, ...]:
        """All Kafka topics but ksqlDB's internal ones."""
        return tuple(Topic.of(each) for each in self.ask("SHOW TOPICS;")[0]["topics"])

    def describe(self, name: str, extended: bool = False) -> Description:
        """One stream or table; ``name`` is quoted here. Raises KsqlError if there is none."""
        text = f"DESCRIBE {quoted(name)}{' EXTENDED' if extended else ''};"
        return Description.of(self.ask(text)[0]["sourceDescription"])

    def describe_all(self, names: Sequence[str], extended: bool = False) -> tuple[Description, ...]:
        """Several streams and tables, in few requests; those that do not exist are left out."""
        found: list[Description] = []
        for start in range(0, len(names), DESCRIBED_AT_ONCE):
            chunk = names[start : start + DESCRIBED_AT_ONCE]
            ending = " EXTENDED" if extended else ""
            text = " ".join(f"DESCRIBE {quoted(name)}{ending};" for name in chunk)
            try:
                reply = self.ask(text)
            except KsqlError as error:
                if "Could not find STREAM/TABLE" not in error.message:
                    raise
                if len(chunk) > 1:  # one of them is gone, and the server refused all
                    for name in chunk:
                        found.extend(self.describe_all([name], extended))
            else:
                found.extend(Description.of(each["sourceDescription"]) for each in reply)
        return tuple(found)

    def query_errors(self, query_id: str) -> tuple[str, ...]:
        """What the server says of a failed query, the newest last."""
        reply = self.ask(f"EXPLAIN {query_id};")[0]["queryDescription"]
        return tuple(each.get("errorMessage", "") for each in reply.get("queryErrors") or ())

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
        return iter(self.select(text, properties, endless=True))

    def select(
        self, text: str, properties: Mapping[str, str] | None = None, endless: bool = False
    ) -> Rows:
        """Start a query and return when its columns are known; nothing is repeated."""
        values = self._transport.stream(text, properties, endless)
        header = next(values, None)
        if header is None or "header" not in header:
            raise ServerUnreachable(self.url, "its reply to a query has no header")
        return Rows(columns_of(header["header"]["schema"]), _values(values, text))

    def _finished(self, result: CommandResult) -> CommandResult:
        deadline = time.monotonic() + self.patience
        while result.status in IN_PROGRESS:
            if time.monotonic() > deadline:
                waited = f"still {result.status} after {self.patience:g} s"
                raise OutcomeUnknown(result.statement, waited)
            time.sleep(0.2)
            path = f"status/{quote(result.command_id)}"
            try:
                news = self._transport.patiently(partial(self._transport.get, path))
            except (KsqlError, ServerUnreachable) as error:
                # The statement is under way; only how it ends cannot be learned from here.
                raise OutcomeUnknown(result.statement, str(error)) from error
            result = result.now(news)
        if result.status in ("ERROR", "TERMINATED"):
            raise StatementFailed(200, None, result.message, result.statement)
        return result


def quoted(name: str) -> str:
    """A name as an identifier that keeps its case."""
    return "`" + name.replace("`", "``") + "`"


def literal(value: str) -> str:
    """A text as a string literal."""
    return "'" + value.replace("'", "''") + "'"


def _values(replies: Iterator[Row], statement: str) -> Iterator[Sequence[Any]]:
    for reply in replies:
        if reply.get("row"):
            yield reply["row"]["columns"]
        elif reply.get("errorMessage"):
            error = reply["errorMessage"]
            code = error.get("error_code")
            raise KsqlError((code or 50000) // 100, code, error.get("message", ""), statement)
        elif "finalMessage" in reply:
            return
