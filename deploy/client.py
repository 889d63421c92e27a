"""ksqlDB's REST interface, over the module ``ksql`` (PyPI: ksql-python-ng).

The errors, all of which a caller can show as they are::

    ClientError
    ├── ServerUnreachable      no server answers at the URL
    ├── OutcomeUnknown         the statement was sent and no usable answer came: ask the server
    └── KsqlError              the server answers with an error
        └── StatementFailed    the server took the statement and then could not carry it out

Queries go to ``/query`` over HTTP/1.1: ``/query-stream`` needs HTTP/2 without TLS, which proxies
and many clients do not pass. Names are as the server spells them: upper case unless quoted.

Source: https://docs.confluent.io/platform/7.9/ksqldb/developer-guide/ksqldb-rest-api/overview.html
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import tenacity
from ksql import KSQLAPI, SimplifiedAPI
from ksql.errors import KSQLError

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
    objects_of,
)
from sql.errors import OpenSeaMetricsError

T = TypeVar("T")

IN_PROGRESS = ("QUEUED", "PARSING", "EXECUTING", "RUNNING")
# Pull queries answer these while the query behind a table is being started or moved.
NOT_READY = (
    "Cannot determine which host contains",
    "State store currently unavailable",
    "Exhausted standby hosts",
    "All nodes are dead or exceed max allowed lag",
)


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


class OutcomeUnknown(ClientError):
    """The statement was sent, and whether it was carried out is not known."""

    def __init__(self, statement: str, reason: str) -> None:
        super().__init__(statement, reason)
        self.statement = statement
        self.reason = reason

    def __str__(self) -> str:
        return f"no usable answer to a statement ({self.reason}); it may have been carried out"


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


class _Pooled(SimplifiedAPI):  # type: ignore[misc]
    """The module's API over a connection pool.

    Of itself it opens a connection and reads all CA certificates (20 ms of CPU) for each request,
    and has no time-out of its own for GET.
    """

    def __init__(self, url: str, http: httpx.Client, timeout: httpx.Timeout) -> None:
        super().__init__(url, timeout=timeout)
        self._http = http

    def get_request(self, endpoint: str) -> httpx.Response:
        return self._http.get(endpoint, timeout=self.timeout)

    def _http1_request(
        self, endpoint: str, sql_string: str, stream_properties: Mapping[str, str]
    ) -> httpx.Response:
        return self._http.send(self._request(endpoint, sql_string, stream_properties))

    @contextmanager
    def _http1_stream(
        self, endpoint: str, sql_string: str, stream_properties: Mapping[str, str]
    ) -> Iterator[httpx.Response]:
        request = self._request(endpoint, sql_string, stream_properties)
        response = self._http.send(request, stream=True)
        try:
            yield response
        finally:
            response.close()

    def _request(self, endpoint: str, text: str, properties: Mapping[str, str]) -> httpx.Request:
        return self._http.build_request(
            "POST",
            f"{self.url}/{endpoint}",
            # Without it httpx asks for */*, and ksqlDB then gives rows in another format.
            headers={**self.headers, "Accept": "application/vnd.ksql.v1+json"},
            json={"ksql": self._validate_sql_string(text), "streamsProperties": properties},
            timeout=self.timeout,
        )


def _api(url: str, http: httpx.Client, timeout: httpx.Timeout) -> KSQLAPI:
    api = KSQLAPI(url, check_version=False)
    api.sa = _Pooled(url, http, timeout)
    return api


@dataclass
class KsqlClient:
    """A client of one server.

    ``url`` may hold a user and a password (basic authentication). ``timeout``: seconds for one
    request; ``patience``: seconds for which requests that only read are repeated while the server
    says that it is not ready, and for which a command is awaited that is still being carried out.
    """

    url: str
    timeout: float = 60.0
    patience: float = 120.0
    _commands: KSQLAPI = field(init=False, repr=False, compare=False)
    _pushes: KSQLAPI = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            url = httpx.URL(self.url)
        except httpx.InvalidURL as error:
            raise ServerUnreachable("the given URL", str(error)) from None
        # User and password are kept out of the URL, which appears in messages and logs.
        self.url = str(url.copy_with(userinfo=b"")).rstrip("/")
        if url.scheme not in ("http", "https") or not url.host:
            raise ServerUnreachable(self.url, "the URL must begin with http:// or https://")
        auth = (url.username, url.password) if url.username else None
        http = httpx.Client(auth=auth)
        self._commands = _api(self.url, http, httpx.Timeout(self.timeout))
        # A push query may be silent for hours: only its connection has a time-out.
        self._pushes = _api(self.url, http, httpx.Timeout(self.timeout, read=None))

    def info(self) -> ServerInfo:
        """Version, service id and status of the server."""
        return ServerInfo.of(self._patiently(partial(self._get, "info"))["KsqlServerInfo"])

    def healthcheck(self) -> bool:
        """True if the server says that it is healthy; an error counts as False."""
        try:
            return bool(self._get("healthcheck").get("isHealthy"))
        except (KsqlError, ServerUnreachable):
            return False

    def execute(
        self, text: str, properties: Mapping[str, str] | None = None
    ) -> tuple[CommandResult, ...]:
        """Send statements (each ends with a semicolon) once, and wait until they are carried out.

        Raises KsqlError if refused (with several statements, none is carried out then),
        StatementFailed, OutcomeUnknown, ServerUnreachable.
        """
        results = (CommandResult.of(entity) for entity in self._ksql(text, properties))
        return tuple(self._finished(result) for result in results)

    def ask(self, text: str) -> list[Row]:
        """The raw reply to a statement that only reads: SHOW, LIST, DESCRIBE, EXPLAIN."""

        def request() -> list[Row]:
            try:
                return self._ksql(text, None)
            except OutcomeUnknown as error:
                raise ServerUnreachable(self.url, error.reason) from error

        return self._patiently(request)

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

    def pull(self, text: str) -> list[Row]:
        """All rows of a pull query; repeated while the table is not ready."""
        return list(self.pull_rows(text))

    def pull_rows(self, text: str) -> Rows:
        """As ``pull``, with the columns (which an empty result has as well)."""

        def request() -> Rows:
            rows = self.select(text)
            return Rows(rows.columns, iter(list(rows.values)))

        return self._patiently(request)

    def push(self, text: str, properties: Mapping[str, str] | None = None) -> Iterator[Row]:
        """The rows of a push query (EMIT CHANGES) as they come, until its LIMIT or until closed."""
        return iter(self.select(text, properties, endless=True))

    def select(
        self, text: str, properties: Mapping[str, str] | None = None, endless: bool = False
    ) -> Rows:
        """Start a query and return when its columns are known; nothing is repeated."""
        values = self._stream(text, properties, endless)
        header = next(values, None)
        if header is None or "header" not in header:
            raise ServerUnreachable(self.url, "its reply to a query has no header")
        return Rows(columns_of(header["header"]["schema"]), _values(values, text))

    def _stream(
        self, text: str, properties: Mapping[str, str] | None, endless: bool
    ) -> Iterator[Row]:
        api = self._pushes if endless else self._commands
        # The module decodes chunks one by one, which fails where a chunk ends inside a character:
        # as Latin-1, bytes pass through it unharmed.
        chunks = api.query(text, encoding="latin-1", stream_properties=dict(properties or {}))
        try:
            yield from objects_of(chunk.encode("latin-1") for chunk in chunks)
        except httpx.TransportError as error:
            raise ServerUnreachable(self.url, _reason(error)) from error
        except ValueError as error:
            found = re.match(r"HTTP error encountered: (\d+): (.*)", str(error), re.DOTALL)
            if found is None:
                raise ServerUnreachable(self.url, f"its reply is not JSON: {error}") from error
            raise _error(int(found[1]), found[2], text) from None

    def _ksql(self, text: str, properties: Mapping[str, str] | None) -> list[Row]:
        try:
            reply: list[Row] = self._commands.ksql(text, stream_properties=dict(properties or {}))
        except KSQLError as error:
            code = error.error_code
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
        return reply

    def _finished(self, result: CommandResult) -> CommandResult:
        deadline = time.monotonic() + self.patience
        while result.status in IN_PROGRESS:
            if time.monotonic() > deadline:
                waited = f"still {result.status} after {self.patience:g} s"
                raise OutcomeUnknown(result.statement, waited)
            time.sleep(0.2)
            path = f"status/{quote(result.command_id)}"
            result = result.now(self._patiently(partial(self._get, path)))
        if result.status in ("ERROR", "TERMINATED"):
            raise StatementFailed(200, None, result.message, result.statement)
        return result

    def _get(self, path: str) -> Row:
        try:
            response = self._commands.sa.get_request(f"{self.url}/{path}")
        except httpx.TransportError as error:
            raise ServerUnreachable(self.url, _reason(error)) from error
        if response.status_code != 200:
            raise _error(response.status_code, response.text, "")
        try:
            reply: Row = response.json()
        except ValueError:
            raise ServerUnreachable(self.url, f"/{path} is not JSON: not a ksqlDB?") from None
        return reply

    def _patiently(self, request: Callable[[], T]) -> T:
        """Repeat a request that changes nothing, while there is reason to hope."""

        def hopeless(state: tenacity.RetryCallState) -> bool:
            error = state.outcome.exception() if state.outcome else None
            if isinstance(error, KsqlError):
                return (state.seconds_since_start or 0) > self.patience
            return state.attempt_number >= 3  # a wrong URL should be told soon

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_passes),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=2),
            stop=hopeless,
            reraise=True,
        )
        return retrying(request)


def quoted(name: str) -> str:
    """A name as an identifier that keeps its case."""
    return "`" + name.replace("`", "``") + "`"


def literal(value: str) -> str:
    """A text as a string literal."""
    return "'" + value.replace("'", "''") + "'"


def _passes(error: BaseException) -> bool:
    if isinstance(error, KsqlError):
        return error.status == 503 or any(each in error.message for each in NOT_READY)
    return isinstance(error, (ServerUnreachable, OutcomeUnknown))


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _error(status: int, body: str, statement: str) -> KsqlError:
    try:
        reply = json.loads(body)
        return KsqlError(status, reply.get("error_code"), reply["message"], statement)
    except (ValueError, AttributeError, LookupError, TypeError):
        return KsqlError(status, None, f"HTTP {status}: {body[:500]}", statement)


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
