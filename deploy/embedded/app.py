"""ksqlDB's REST interface, as a web application over an engine."""

from __future__ import annotations

import asyncio
import base64
import itertools
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import duckdb
import orjson
import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from deploy.embedded import properties, replies
from deploy.embedded.assertions import asserted
from deploy.embedded.engine import Engine
from deploy.embedded.metastore import TopicInfo
from deploy.embedded.queries import TransientQuery, describe
from deploy.embedded.variables import filled, pieces
from sql.analysis import Source
from sql.catalog import Catalog, applied
from sql.errors import Place, SqlError, Stage
from sql.lowering.duckdb import text
from sql.parser import parse_script
from sql.statements import Kind, Statement

log = structlog.get_logger()

_DELIMITED = "application/vnd.ksqlapi.delimited.v1"
_OLD = "application/vnd.ksql.v1+json"
_COMMANDS = {
    Kind.CREATE_STREAM, Kind.CREATE_TABLE, Kind.CREATE_STREAM_AS, Kind.CREATE_TABLE_AS,
    Kind.INSERT_SELECT, Kind.ALTER, Kind.DROP_STREAM, Kind.DROP_TABLE, Kind.TERMINATE, Kind.PAUSE,
    Kind.RESUME,
}  # fmt: skip
_POLL = 0.1
"""Seconds between two looks for rows of a push query."""
_REGISTRY = {"AVRO", "JSON_SR", "PROTOBUF"}
"""Formats that ksqlDB takes only with a Schema Registry."""


class BadRequest(Exception):
    """The body of a request cannot be used; the message says why."""


@dataclass
class _Request:
    """What came to /ksql: ``text`` as it came, the properties of its queries, and its variables."""

    text: str
    properties: dict[str, str]
    variables: dict[str, str]


@dataclass(frozen=True)
class _Prepared:
    """A statement that is to be carried out, with the variables that it sees."""

    statement: Statement
    variables: Mapping[str, str]


def create(engine: Engine) -> Starlette:
    """The application."""
    handlers = _Handlers(engine)
    return Starlette(
        routes=[
            Route("/", lambda request: RedirectResponse("/info", 307)),
            Route("/info", handlers.info),
            Route("/healthcheck", handlers.healthcheck),
            Route("/is_valid_property/{name}", handlers.is_valid_property),
            Route("/v1/metadata", lambda request: _json(replies.METADATA)),
            Route("/v1/metadata/id", lambda request: _json(replies.METADATA["clusterId"])),
            Route("/ksql", handlers.ksql, methods=["POST"]),
            Route("/query", handlers.old_query, methods=["POST"]),
            Route("/query-stream", handlers.query_stream, methods=["POST"]),
            Route("/close-query", handlers.close_query, methods=["POST"]),
            Route("/status", handlers.all_status),
            Route("/status/{command:path}", handlers.status),
        ],
        exception_handlers={404: _not_found},
    )


async def _not_found(request: Request, _: Exception) -> Response:
    if request.url.path == "/clusterStatus":  # as on a server without heartbeats
        return Response(status_code=404, media_type="application/json")
    return HTMLResponse("<html><body><h1>Resource not found</h1></body></html>", 404)


class _Handlers:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._statuses: dict[str, dict[str, Any]] = {}
        self._open: dict[str, asyncio.Event] = {}
        self._numbers = itertools.count(time.time_ns() // 1_000_000)

    async def info(self, request: Request) -> Response:
        return _json(replies.INFO)

    async def healthcheck(self, request: Request) -> Response:
        return _json(replies.healthcheck(self._engine))

    # -- statements ---------------------------------------------------------------------------

    async def is_valid_property(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name in properties.PROHIBITED:
            return _json(
                replies.generic_error(
                    40000,
                    "One or more properties overrides set locally are prohibited by the KSQL server "
                    f"(use UNSET to reset their default value): [{name}]",
                ),
                400,
            )
        return _json(True)

    async def ksql(self, request: Request) -> Response:
        try:
            body = await _body(request)
            asked = _Request(
                str(body.get("ksql") or ""),
                _texts(body.get("streamsProperties")),
                _texts(body.get("sessionVariables")),
            )
            number = int(body.get("commandSequenceNumber") or -1)
        except BadRequest as error:
            return _bad(error)
        if number > self._engine.last_command:
            # There is one server, so nothing that it waited for could come.
            return _json(replies.sequence_timeout(number), 503)
        return await run_in_threadpool(self._statements, asked)

    def _statements(self, asked: _Request) -> Response:
        current: Statement | str = asked.text
        entities: list[dict[str, Any]] = []
        try:
            prepared = list(self._prepared(asked, entities))
            changing = any(
                item.statement.kind in _COMMANDS or item.statement.kind is Kind.INSERT_VALUES
                for item in prepared
            )
            # In one turn, so that what was checked still holds when it is carried out.
            with self._engine.turn() if changing else nullcontext():
                catalog = self._engine.catalog
                topics = self._engine.topics() if changing else {}
                # All are checked before any is carried out, as ksqlDB does.
                for number, item in enumerate(prepared):
                    current = item.statement
                    # The ids that queries get here are not theirs in the end: they must not clash.
                    catalog = self._checked(item.statement, catalog, topics, 10**12 + number)
                for item in prepared:
                    current = item.statement
                    if entity := self._statement(item, asked.properties):
                        entities.append(entity)
        except SqlError as error:
            return self._refusal(current, asked.text, error)
        except duckdb.Error as error:
            failed = SqlError(f"the embedded server failed: {_first_line(error)}", code=50000)
            return self._refusal(current, asked.text, failed)
        return _json(entities)

    @staticmethod
    def _refusal(current: Statement | str, request: str, error: SqlError) -> Response:
        creates = False
        text = request
        if isinstance(current, Statement):
            text = current.text
            creates = current.kind in (Kind.CREATE_STREAM_AS, Kind.CREATE_TABLE_AS)
        if error.stage is Stage.SYNTAX:
            text = request
        body, status = replies.error(text, error, creates)
        return _json(body, status)

    def _prepared(self, asked: _Request, entities: list[dict[str, Any]]) -> Iterator[_Prepared]:
        """The statements of a request, one after the other, with variables put in."""
        variables = dict(asked.variables)
        for piece in pieces(asked.text):
            text = filled(piece, variables, asked.text)

            def place(offset: int, start: int = piece.start) -> Place:
                before = asked.text[: start + offset]
                column = len(before) - before.rfind("\n")
                return Place("statement", before.count("\n") + 1, column)

            for statement in parse_script(text, "statement", place):
                if statement.kind is Kind.DEFINE:
                    variables[str(statement.ast.this.this)] = str(statement.ast.args["value"].this)
                elif statement.kind is Kind.UNDEFINE:
                    name = str(statement.ast.this.this)
                    if variables.pop(name, None) is None:
                        message = f"Cannot undefine variable '{name}' which was never defined"
                        entities.append(replies.warning(statement, message))
                else:
                    yield _Prepared(statement, dict(variables))

    def _checked(
        self,
        statement: Statement,
        catalog: Catalog,
        topics: dict[str, TopicInfo],
        number: int,
    ) -> Catalog:
        """The catalog after a statement. Raises SqlError if it will be refused."""
        if statement.kind is Kind.SELECT:
            raise SqlError(
                "The following statement types should be issued to the websocket endpoint "
                "'/query':\n\t* PRINT\n\t* SELECT",
                code=40002,
            )
        if statement.kind is Kind.CONNECTOR:
            raise SqlError("connectors are not supported by the embedded server", statement.place)
        if statement.kind in (Kind.PAUSE, Kind.RESUME):
            return catalog
        if statement.kind is Kind.DESCRIBE and not statement.ast.args["function"]:
            replies.described(catalog, statement)
        after = applied(catalog, statement, number)
        made = after.sources.get(statement.name or "")
        if made is not None and statement.name not in catalog.sources:
            _check_topic(statement, made, topics)
        return after

    def _statement(
        self, prepared: _Prepared, given: dict[str, str]
    ) -> dict[str, Any] | None:
        statement = prepared.statement
        if statement.kind in (Kind.SET, Kind.UNSET):
            name = str(statement.ast.this.this)
            if not properties.is_known(name):
                raise SqlError(f"Unknown property: {name}")
            given.pop(name, None)
            if statement.kind is Kind.SET:
                given[name] = str(statement.ast.args["value"].this)
            return None
        if statement.kind is Kind.INSERT_VALUES:
            self._engine.execute(statement, given)
            return None
        if statement.kind in _COMMANDS:
            if statement.starts_query:
                _check_properties(given)
            outcome = self._engine.execute(statement, given)
            if statement.ast.args.get("if_not_exists") and "already exists" in outcome.message:
                return replies.warning(statement, outcome.message)
            entity = replies.current_status(statement, outcome)
            self._statuses[entity["commandId"]] = entity["commandStatus"]
            return entity
        cursor = self._engine.cursor()
        try:
            match statement.kind:
                case Kind.SHOW:
                    return replies.listing(
                        self._engine, cursor, statement, prepared.variables, given
                    )
                case Kind.DESCRIBE:
                    return replies.description(self._engine, cursor, statement)
                case Kind.ASSERT:
                    return asserted(self._engine, cursor, statement)
                case _:
                    return replies.explanation(self._engine, statement, given)
        finally:
            cursor.close()

    async def all_status(self, request: Request) -> Response:
        statuses = {command: status["status"] for command, status in self._statuses.items()}
        return _json({"commandStatuses": statuses})

    async def status(self, request: Request) -> Response:
        known = self._statuses.get(request.path_params["command"])
        if known is None:
            return _json(replies.generic_error(40400, "Command not found"), 404)
        return _json(known)

    # -- queries ------------------------------------------------------------------------------

    async def query_stream(self, request: Request) -> Response:
        return await self._answer(request, "sql", "properties")

    async def old_query(self, request: Request) -> Response:
        return await self._answer(request, "ksql", "streamsProperties")

    async def close_query(self, request: Request) -> Response:
        try:
            name = str((await _body(request)).get("queryId"))
        except BadRequest as error:
            return _bad(error)
        event = self._open.get(name)
        if event is None:
            message = f"No query with id {name}"
            return _untyped(replies.generic_error(40000, message), 400)
        event.set()
        return Response(status_code=200)

    async def _answer(self, request: Request, sql: str, properties_name: str) -> Response:
        is_old = sql == "ksql"
        text = ""
        try:
            body = await _body(request)
            if not is_old and "sql" not in body:
                raise BadRequest("Missing required creator property 'sql' (index 0)")
            text = str(body.get(sql) or "")
            given = _texts(body.get(properties_name))
            query = await run_in_threadpool(self._query, text, given, is_old)
        except BadRequest as error:
            return _bad(error)
        except SqlError as error:
            reply, status = replies.error(text, error)
            if error.stage is Stage.SYNTAX:
                reply["message"] += f"\nStatement: {text}"
            return _json(reply, status) if is_old else _untyped(reply, status)
        is_transient = query.is_push or not query.source.is_table
        prefix = f"transient_{query.source.name}" if is_transient else "query"
        query_id = f"{prefix}_{next(self._numbers)}"
        closed = self._open[query_id] = asyncio.Event()
        has_doubles = any("DOUBLE" in str(column.type) for column in query.columns)
        frame = _frame(request.headers.get("accept", ""), is_old)

        async def stream() -> AsyncIterator[bytes]:
            try:
                yield frame.start.encode() + _dump(frame.header(query, query_id))
                while True:
                    rows = query.rows()
                    while batch := await run_in_threadpool(_take, rows):
                        if has_doubles:
                            batch = [_finite(row) for row in batch]
                        yield b"".join(
                            frame.between.encode() + _dump(frame.row(row)) for row in batch
                        )
                    if not query.is_push or query.is_complete or closed.is_set():
                        break
                    await asyncio.sleep(_POLL)
                if is_transient and frame.last and not closed.is_set():
                    why = "Limit Reached" if query.is_complete else "Query Completed"
                    yield frame.between.encode() + _dump({"finalMessage": why})
                yield frame.end.encode()
            except duckdb.Error as error:
                log.error("query failed", query=query_id, error=_first_line(error))
                failed = f"the query failed: {_first_line(error)}"
                yield frame.between.encode() + _dump(replies.generic_error(50000, failed))
                yield frame.end.encode()
            finally:
                self._open.pop(query_id, None)
                query.close()

        return StreamingResponse(stream(), media_type=frame.media_type)

    def _query(self, text: str, given: dict[str, str], is_old: bool) -> TransientQuery:
        statements = parse_script(text, "statement")
        if len(statements) != 1:
            raise SqlError(
                f"Expected exactly one KSQL statement; found {len(statements)} instead\n"
                f"Statement: {text}"
            )
        if statements[0].kind is not Kind.SELECT:
            if is_old:
                raise SqlError(
                    "Statement type `io.confluent.ksql.parser.KsqlParser$PreparedStatement' not "
                    "supported for this resource",
                    code=40000,
                )
            raise SqlError(f"Neither a query nor a print statement\nStatement: {text}")
        return TransientQuery(self._engine, statements[0], given)


@dataclass(frozen=True)
class _Frame:
    """What a query's answer looks like: its parts, and what stands around and between them."""

    start: str
    between: str
    end: str
    media_type: str
    header: Callable[[TransientQuery, str], Any]
    row: Callable[[list[Any]], Any]
    last: bool = False
    """Whether the end is told by a message."""


def _header(query: TransientQuery, query_id: str) -> dict[str, Any]:
    return {
        "queryId": query_id,
        "columnNames": [column.name for column in query.columns],
        "columnTypes": [str(column.type) for column in query.columns],
    }


def _old_header(query: TransientQuery, query_id: str) -> dict[str, Any]:
    return {"header": {"queryId": query_id, "schema": describe(query)}}


_LINES = _Frame("", "\n", "\n", _DELIMITED, _header, lambda row: row)
_LIST = _Frame("[", ",", "]", "application/json", _header, lambda row: row)
_OLD_LIST = _Frame(
    "[", ",\n", "]", _OLD, _old_header, lambda row: {"row": {"columns": row}}, last=True
)


def _frame(accept: str, is_old: bool) -> _Frame:
    """What the Accept header asks for (tests/embedded/replies/queries.yml): without one, or for plain
    JSON, the two endpoints differ."""
    if _OLD in accept:
        return _OLD_LIST
    if "application/json" in accept or not accept:
        return _OLD_LIST if is_old else _LIST if accept else _LINES
    return _LINES


def _check_topic(statement: Statement, source: Source, topics: dict[str, TopicInfo]) -> None:
    """Whether the topic of a new source is there, or can be made; then it counts as made."""
    if needs := {source.value_format, source.key_format} & _REGISTRY:
        raise SqlError(
            f"Cannot create topic '{source.topic}' with format {needs.pop()} without configuring "
            "'ksql.schema.registry.url'",
            code=42801,
        )
    known = topics.setdefault(
        source.topic, TopicInfo(source.topic, source.partitions, source.replicas)
    ) if statement.starts_query or "PARTITIONS" in statement.properties else topics.get(source.topic)
    if known is None:
        kind = "TABLE" if source.is_table else "STREAM"
        columns = ", ".join(
            f"{c.name} {c.type}{f' {c.role}' if c.role else ''}" for c in source.columns
        )
        written = {**statement.properties, "KEY_FORMAT": source.key_format, "PARTITIONS": "2"}
        listed = ", ".join(
            f"{name}={value if name == 'PARTITIONS' else text(value)}"
            for name, value in sorted(written.items())
        )
        raise SqlError(
            f"Topic '{source.topic}' does not exist. If you want to create a new topic for the "
            "stream/table please re-run the statement providing the required 'PARTITIONS' configuration "
            "in the WITH clause (and optionally 'REPLICAS'). For example: "
            f"CREATE {kind} {source.name} ({columns}) WITH ({listed});",
            code=40000,
        )
    if known.partitions != source.partitions and "PARTITIONS" in statement.properties:
        raise SqlError(
            f"A Kafka topic with the name '{source.topic}' already exists, with different "
            "partition/replica/retention configuration than required. KSQL expects "
            f"{source.partitions} partitions (topic has {known.partitions}), {source.replicas} "
            f"replication factor (topic has {known.replicas}).",
            code=50000,
        )


def _check_properties(given: Mapping[str, str]) -> None:
    for name in given:
        if not properties.is_known(name):
            raise SqlError(
                f"Not recognizable as ksql, streams, consumer, or producer property: '{name}'",
                code=50000,
            )


def _texts(value: Any) -> dict[str, str]:
    """A field of a request that maps names to values."""
    if not isinstance(value or {}, dict):
        raise BadRequest("properties and variables are objects")
    return {str(key): str(item) for key, item in (value or {}).items()}


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _take(rows: Any) -> list[list[Any]]:
    return list(itertools.islice(rows, 1_000))


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.body() or b"{}")
    except orjson.JSONDecodeError as error:
        raise BadRequest(str(error)) from error
    if not isinstance(body, dict):
        raise BadRequest("an object is expected")
    return body


def _bad(error: BadRequest) -> Response:
    return _untyped(replies.generic_error(40000, f"Invalid JSON in request: {error}"), 400)


def _untyped(body: Any, status: int) -> Response:
    """JSON without a Content-Type: so are ksqlDB's errors of queries."""
    return Response(_dump(body), status)


def _json(body: Any, status: int = 200) -> Response:
    return Response(_dump(body), status, media_type="application/json")


def _dump(value: Any) -> bytes:
    return orjson.dumps(
        value, default=_plain, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATETIME
    )


def _plain(value: Any) -> Any:
    """What JSON has no word for, as ksqlDB writes it (tests/embedded/semantics)."""
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    return str(value)


def _finite(value: Any) -> Any:
    """A value with text for the numbers that JSON cannot write: orjson would write null."""
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return value
