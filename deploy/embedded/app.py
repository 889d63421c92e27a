"""ksqlDB's REST interface, as a web application over an engine."""

from __future__ import annotations

import asyncio
import base64
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import nullcontext
from decimal import Decimal
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from deploy.embedded import replies
from deploy.embedded.engine import Engine, check_topic
from deploy.embedded.queries import TransientQuery, describe
from sql.catalog import applied
from sql.errors import SqlError
from sql.parser import parse_script
from sql.statements import Kind, Statement

_DELIMITED = "application/vnd.ksqlapi.delimited.v1"
_OLD = "application/vnd.ksql.v1+json"
_COMMANDS = {
    Kind.CREATE_STREAM, Kind.CREATE_TABLE, Kind.CREATE_STREAM_AS, Kind.CREATE_TABLE_AS,
    Kind.INSERT_SELECT, Kind.ALTER, Kind.DROP_STREAM, Kind.DROP_TABLE, Kind.TERMINATE, Kind.PAUSE,
    Kind.RESUME,
}  # fmt: skip
_DECLARATIONS = (Kind.CREATE_STREAM, Kind.CREATE_TABLE)
_POLL = 0.1
"""Seconds between two looks for rows of a push query."""


class BadRequest(Exception):
    """The body of a request cannot be used; the message says why."""


def create(engine: Engine) -> Starlette:
    """The application."""
    handlers = _Handlers(engine)
    return Starlette(
        routes=[
            Route("/", lambda request: RedirectResponse("/info", 307)),
            Route("/info", handlers.info),
            Route("/healthcheck", handlers.healthcheck),
            Route("/v1/metadata", lambda request: _json(replies.METADATA)),
            Route("/v1/metadata/id", lambda request: _json(replies.METADATA["clusterId"])),
            Route("/ksql", handlers.ksql, methods=["POST"]),
            Route("/query", handlers.old_query, methods=["POST"]),
            Route("/query-stream", handlers.query_stream, methods=["POST"]),
            Route("/close-query", handlers.close_query, methods=["POST"]),
            Route("/status", handlers.all_status),
            Route("/status/{command:path}", handlers.status),
        ]
    )


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

    async def ksql(self, request: Request) -> Response:
        try:
            body = await _body(request)
        except BadRequest as error:
            return _json(replies.generic_error(40000, str(error)), 400)
        properties = {str(k): str(v) for k, v in (body.get("streamsProperties") or {}).items()}
        text = str(body.get("ksql") or "")
        awaited = body.get("commandSequenceNumber")
        if isinstance(awaited, int) and awaited > self._engine.last_command:
            # There is one server, so nothing that it waited for could come.
            return _json(replies.sequence_timeout(awaited), 503)
        return await run_in_threadpool(self._statements, text, properties)

    def _statements(self, text: str, properties: dict[str, str]) -> Response:
        current = text
        entities = []
        try:
            statements = parse_script(text, "statement")
            changing = any(
                each.kind in _COMMANDS or each.kind is Kind.INSERT_VALUES for each in statements
            )
            # In one turn, so that what was checked still holds when it is carried out.
            with self._engine.turn() if changing else nullcontext():
                for statement in self._checking(statements):
                    current = statement.text
                for statement in statements:
                    current = statement.text
                    if entity := self._statement(statement, properties):
                        entities.append(entity)
        except SqlError as error:
            code = 40002 if "'/query'" in error.message else 40001
            return _json(replies.statement_error(current, error, code), 400)
        return _json(entities)

    def _checking(self, statements: tuple[Statement, ...]) -> Iterator[Statement]:
        """All are checked before any is carried out, as ksqlDB does; gives each, then checks it."""
        catalog = self._engine.catalog
        declares = any(each.kind in _DECLARATIONS for each in statements)
        topics = self._engine.topic_names() if declares else set()
        for number, statement in enumerate(statements):
            yield statement
            if statement.kind in (Kind.ASSERT, Kind.CONNECTOR):
                what = statement.kind.name
                raise SqlError(f"{what} is not supported by the embedded server", statement.place)
            if statement.kind is Kind.SELECT:
                raise SqlError(
                    "The following statement types should be issued to the websocket endpoint "
                    "'/query':\n\t* PRINT\n\t* SELECT"
                )
            if statement.kind is Kind.DESCRIBE and not statement.ast.args["function"]:
                if statement.name not in catalog.sources:
                    raise replies.unknown_source(statement.name or "")
            elif statement.kind is not Kind.PAUSE and statement.kind is not Kind.RESUME:
                # The ids that queries get here are not theirs in the end, so they must not clash.
                before, catalog = catalog, applied(catalog, statement, 10**12 + number)
                made = catalog.sources.get(statement.name or "")
                if catalog is not before and made is not None:
                    if statement.kind in _DECLARATIONS:
                        check_topic(statement, made.topic, topics)
                    topics.add(made.topic)

    def _statement(
        self, statement: Statement, properties: dict[str, str]
    ) -> dict[str, Any] | None:
        if statement.kind in (Kind.SET, Kind.UNSET):
            name = str(statement.ast.this.this)
            properties.pop(name, None)
            if statement.kind is Kind.SET:
                properties[name] = str(statement.ast.args["value"].this)
            return None
        if statement.kind is Kind.INSERT_VALUES:
            self._engine.execute(statement, properties)
            return None
        if statement.kind in _COMMANDS:
            outcome = self._engine.execute(statement, properties)
            if statement.ast.args.get("if_not_exists") and "already exists" in outcome.message:
                return replies.warning(statement, outcome.message)
            entity = replies.current_status(statement, outcome)
            self._statuses[entity["commandId"]] = entity["commandStatus"]
            return entity
        cursor = self._engine.cursor()
        try:
            match statement.kind:
                case Kind.SHOW:
                    return replies.listing(self._engine, cursor, statement)
                case Kind.DESCRIBE:
                    return replies.description(self._engine, cursor, statement)
                case _:
                    return replies.explanation(self._engine, statement)
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
        as_list = "application/json" in request.headers.get("accept", "")

        def header(query: TransientQuery, query_id: str) -> dict[str, Any]:
            return {
                "queryId": query_id,
                "columnNames": [column.name for column in query.columns],
                "columnTypes": [str(column.type) for column in query.columns],
            }

        frame = _Frame("[", ",", "]", "application/json") if as_list else _Frame(
            "", "\n", "\n", _DELIMITED
        )
        return await self._answer(request, ("sql", "properties"), frame, header, lambda row: row, None)

    async def old_query(self, request: Request) -> Response:
        def header(query: TransientQuery, query_id: str) -> dict[str, Any]:
            return {
                "header": {"queryId": query_id, "schema": describe(query.columns, query.source)}
            }

        return await self._answer(
            request,
            ("ksql", "streamsProperties"),
            _Frame("[", ",\n", "]", _OLD),
            header,
            lambda row: {"row": {"columns": row}},
            {"finalMessage": "Limit Reached"},
        )

    async def close_query(self, request: Request) -> Response:
        body = await _body(request)
        event = self._open.get(str(body.get("queryId")))
        if event is None:
            return _json(replies.generic_error(40000, "No query with id"), 400)
        event.set()
        return Response(status_code=200)

    async def _answer(
        self,
        request: Request,
        names: tuple[str, str],
        frame: _Frame,
        header: Callable[[TransientQuery, str], Any],
        row_of: Callable[[list[Any]], Any],
        at_limit: Any,
    ) -> Response:
        text = ""
        try:
            body = await _body(request)
            text = str(body.get(names[0]) or "")
            properties = {str(k): str(v) for k, v in (body.get(names[1]) or {}).items()}
            query = await run_in_threadpool(self._query, text, properties)
        except BadRequest as error:
            return _json(replies.generic_error(40000, str(error)), 400)
        except SqlError as error:
            return _json(replies.statement_error(text, error), 400)
        prefix = f"transient_{query.source.name}" if query.is_push else "query"
        query_id = f"{prefix}_{next(self._numbers)}"
        closed = self._open[query_id] = asyncio.Event()

        async def stream() -> AsyncIterator[bytes]:
            try:
                yield frame.start.encode() + _dump(header(query, query_id))
                while True:
                    rows = query.rows()
                    while batch := await run_in_threadpool(_take, rows):
                        yield b"".join(frame.between.encode() + _dump(row_of(r)) for r in batch)
                    if not query.is_push or query.is_complete or closed.is_set():
                        break
                    await asyncio.sleep(_POLL)
                if query.is_push and query.is_complete and at_limit is not None:
                    yield frame.between.encode() + _dump(at_limit)
                yield frame.end.encode()
            finally:
                self._open.pop(query_id, None)
                query.close()

        return StreamingResponse(stream(), media_type=frame.media_type)

    def _query(self, text: str, properties: dict[str, str]) -> TransientQuery:
        statements = parse_script(text, "statement")
        if len(statements) != 1:
            raise SqlError(f"Expected exactly one KSQL statement; found {len(statements)} instead")
        if statements[0].kind is not Kind.SELECT:
            raise SqlError(f"Neither a query nor a print statement\nStatement: {text}")
        return TransientQuery(self._engine, statements[0], properties)


class _Frame:
    """What stands around and between the parts of an answer."""

    def __init__(self, start: str, between: str, end: str, media_type: str) -> None:
        self.start = start
        self.between = between
        self.end = end
        self.media_type = media_type


def _take(rows: Any) -> list[list[Any]]:
    return list(itertools.islice(rows, 1_000))


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.body() or b"{}")
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"Invalid JSON in request: {error}") from error
    if not isinstance(body, dict):
        raise BadRequest("Invalid JSON in request: an object is expected")
    return body


def _json(body: Any, status: int = 200) -> Response:
    return Response(_dump(body), status, media_type="application/json")


def _dump(value: Any) -> bytes:
    return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)
