"""ksqlDB's REST interface, as a web application over an engine."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from deploy.embedded import bodies, failures, origins, properties, replies, wire
from deploy.embedded.engine import Engine
from deploy.embedded.frames import frame as frame_for
from deploy.embedded.gate import Gate
from deploy.embedded.insert_stream import InsertStream
from deploy.embedded.policy import Policy
from deploy.embedded.queries import TransientQuery
from deploy.embedded.statements import Asked, Statements
from sql.errors import SqlError, Stage
from sql.parser import parse_script
from sql.statements import Kind

INSERTS = "/inserts-stream"
_POLL = 0.1
"""Seconds between two looks for rows of a push query."""
_FEW = 100
"""Rows of a push query that are sent in a frame each: some clients take a frame for a row."""


def create(engine: Engine, policy: Policy | None = None, listens_on: str = "127.0.0.1") -> ASGIApp:
    """The application; ``listens_on`` is the address that it is served on."""
    policy = policy or Policy()
    handlers = _Handlers(engine)
    app = Starlette(
        routes=[
            Route("/", lambda request: RedirectResponse("/info", 307)),
            Route("/info", handlers.info),
            Route("/healthcheck", handlers.healthcheck),
            Route("/is_valid_property/{name}", handlers.is_valid_property),
            Route("/v1/metadata", lambda request: wire.json(replies.METADATA)),
            Route("/v1/metadata/id", lambda request: wire.json(replies.METADATA["clusterId"])),
            Route("/ksql", handlers.ksql, methods=["POST"]),
            Route("/query", handlers.old_query, methods=["POST"]),
            Route("/query-stream", handlers.query_stream, methods=["POST"]),
            Route(
                INSERTS, InsertStream(engine, policy.limits.body), methods=["POST"]
            ),
            Route("/close-query", handlers.close_query, methods=["POST"]),
            Route("/status", handlers.all_status),
            Route("/status/{command:path}", handlers.status),
        ],
        exception_handlers={404: _not_found, 405: _not_allowed, Exception: _failed},
    )
    checks = (origins.check(policy.allowed_hosts, listens_on), bodies.check_kind)
    return Gate(app, checks, policy.limits, streaming=(INSERTS,))


async def _not_found(request: Request, _: Exception) -> Response:
    if request.url.path == "/clusterStatus":  # as on a server without heartbeats
        return Response(status_code=404, media_type="application/json")
    return HTMLResponse("<html><body><h1>Resource not found</h1></body></html>", 404)


async def _not_allowed(request: Request, error: Exception) -> Response:
    message = f"{request.url.path} does not take {request.method}"
    reply = wire.json(replies.generic_error(40500, message), 405)
    if isinstance(error, HTTPException) and error.headers:
        reply.headers.update(error.headers)
    return reply


async def _failed(request: Request, error: Exception) -> Response:
    message = failures.logged(error, f"{request.method} {request.url.path}")
    return wire.json(replies.generic_error(50000, message), 500)


class _Handlers:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._statements = Statements(engine)
        self._open: dict[str, asyncio.Event] = {}
        self._numbers = itertools.count(time.time_ns() // 1_000_000)

    async def info(self, request: Request) -> Response:
        return wire.json(replies.INFO)

    async def healthcheck(self, request: Request) -> Response:
        return wire.json(replies.healthcheck(self._engine))

    # -- statements ---------------------------------------------------------------------------

    async def is_valid_property(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name in properties.PROHIBITED:
            return wire.json(
                replies.generic_error(
                    40000,
                    "One or more properties overrides set locally are prohibited by the KSQL server "
                    f"(use UNSET to reset their default value): [{name}]",
                ),
                400,
            )
        return wire.json(True)

    async def ksql(self, request: Request) -> Response:
        try:
            body = await wire.body(request)
            asked = Asked(
                wire.text(body, "ksql"),
                wire.texts(body, "streamsProperties"),
                wire.texts(body, "sessionVariables"),
            )
            number = wire.whole_number(body, "commandSequenceNumber")
        except wire.BadRequest as error:
            return wire.bad(error)
        if number is not None and number > self._engine.last_command:
            # There is one server, so nothing that it waited for could come.
            return wire.json(replies.sequence_timeout(number), 503)
        reply, status = await run_in_threadpool(self._statements.run, asked)
        return wire.json(reply, status)

    async def all_status(self, request: Request) -> Response:
        statuses = {command: status["status"] for command, status in self._statements.statuses.items()}
        return wire.json({"commandStatuses": statuses})

    async def status(self, request: Request) -> Response:
        known = self._statements.statuses.get(request.path_params["command"])
        if known is None:
            return wire.json(replies.generic_error(40400, "Command not found"), 404)
        return wire.json(known)

    # -- queries ------------------------------------------------------------------------------

    async def query_stream(self, request: Request) -> Response:
        return await self._answer(request, "sql", "properties")

    async def old_query(self, request: Request) -> Response:
        return await self._answer(request, "ksql", "streamsProperties")

    async def close_query(self, request: Request) -> Response:
        try:
            name = wire.text(await wire.body(request), "queryId", required=True)
        except wire.BadRequest as error:
            return wire.bad(error)
        event = self._open.get(name)
        if event is None:
            message = f"No query with id {name}"
            return wire.untyped(replies.generic_error(40000, message), 400)
        event.set()
        return Response(status_code=200)

    async def _answer(self, request: Request, sql: str, properties_name: str) -> Response:
        is_old = sql == "ksql"
        text = ""
        try:
            body = await wire.body(request)
            text = wire.text(body, sql, required=not is_old)
            given = wire.texts(body, properties_name)
            query = await run_in_threadpool(self._query, text, given, is_old)
        except wire.BadRequest as error:
            return wire.bad(error)
        except SqlError as error:
            reply, status = replies.error(text, error)
            if error.stage is Stage.SYNTAX:
                reply["message"] += f"\nStatement: {text}"
            return wire.json(reply, status) if is_old else wire.untyped(reply, status)
        is_transient = query.is_push or not query.source.is_table
        prefix = f"transient_{query.source.name}" if is_transient else "query"
        query_id = f"{prefix}_{next(self._numbers)}"
        closed = self._open[query_id] = asyncio.Event()
        has_doubles = any("DOUBLE" in str(column.type) for column in query.columns)
        frame = frame_for(request.headers.get("accept", ""), is_old, is_transient)

        async def stream() -> AsyncIterator[bytes]:
            try:
                yield frame.opening(query, query_id)
                while True:
                    rows = query.rows()
                    while batch := await run_in_threadpool(_take, rows):
                        if has_doubles:
                            batch = [wire.finite(row) for row in batch]
                        if query.is_push and len(batch) <= _FEW:
                            for row in batch:
                                yield frame.rows([row])
                                await asyncio.sleep(0)  # lets the web server send it
                        else:
                            yield frame.rows(batch)
                    if not query.is_push or query.is_complete or closed.is_set():
                        break
                    await asyncio.sleep(_POLL)
                yield frame.ending("Limit Reached" if query.is_complete else "Query Completed")
            except Exception as error:
                message = failures.logged(error, f"query {query_id}")
                yield frame.failing(replies.generic_error(50000, message))
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


def _take(rows: Any) -> list[list[Any]]:
    return list(itertools.islice(rows, 1_000))


