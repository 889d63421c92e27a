"""ksqlDB's REST interface, as a web application over an engine."""

from __future__ import annotations

from dataclasses import asdict

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from opensea_metrics.deploy.embedded import failures, wire
from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.rest import access, bodies, endpoints, origins
from opensea_metrics.deploy.embedded.rest.answers import Answers
from opensea_metrics.deploy.embedded.rest.insert_stream import InsertStream
from opensea_metrics.deploy.embedded.rest.open_queries import OpenQueries
from opensea_metrics.deploy.embedded.rest.open_requests import OpenRequests
from opensea_metrics.deploy.embedded.rest.policy import Policy
from opensea_metrics.deploy.embedded.rest.request_checks import RequestChecks
from opensea_metrics.deploy.embedded.rest.websocket_queries import WebsocketQueries
from opensea_metrics.deploy.embedded.statements import properties, replies
from opensea_metrics.deploy.embedded.statements.statement_runner import (
    Statements,
    StatementsRequest,
)


def create(engine: Engine, open_requests: OpenRequests, policy: Policy, listens_on: str, port: int = 8088) -> ASGIApp:
    """The application. ``open_requests`` counts its queries. The server listens on an address and a port."""
    app = Starlette(
        routes=routes(engine, open_requests, policy, listens_on, port),
        exception_handlers={405: _not_allowed, Exception: _failed},
    )
    app.router.redirect_slashes = False
    app.router.default = _not_found
    checks = (
        origins.check(policy.allowed_hosts, listens_on),
        access.check(policy.credentials),
        bodies.check_kind,
        endpoints.check_accept,
    )
    return RequestChecks(app, checks, policy.limits, streaming=(endpoints.INSERTS,))


def routes(
    engine: Engine, open_requests: OpenRequests, policy: Policy, listens_on: str, port: int
) -> list[BaseRoute]:
    """The paths of the interface. The arguments are those of :func:`create`."""
    # Clients split this at its only colon.
    handlers = _Handlers(engine, f"{'localhost' if ':' in listens_on else listens_on}:{port}")
    queries = OpenQueries(engine)
    answers = Answers(engine, queries, open_requests)
    inserts = InsertStream(engine, open_requests, policy.limits)
    return [
        Route("/", lambda request: RedirectResponse("/info", 307)),
        Route("/info", handlers.info),
        Route("/healthcheck", handlers.healthcheck),
        *(Route(path, handlers.is_up, methods=["GET"]) for path in ("/chc/ready", "/chc/live")),
        Route("/is_valid_property/{name}", handlers.is_valid_property),
        Route("/disk", handlers.disk),
        Route("/v1/metadata", lambda request: wire.json(replies.METADATA)),
        Route("/v1/metadata/id", lambda request: wire.json(replies.METADATA["clusterId"])),
        Route("/ksql", handlers.ksql, methods=["POST"]),
        Route("/query", answers.old_query, methods=["POST"]),
        Route("/query-stream", answers.query_stream, methods=["POST"]),
        Route(endpoints.INSERTS, inserts, methods=["POST"]),
        Route("/close-query", answers.close_query, methods=["POST"]),
        Route("/status", handlers.all_status),
        Route("/status/{kind}/{name:path}/{action}", handlers.status),
        Route("/clusterStatus", _cluster_status),
        Route(endpoints.WEBSOCKET, _no_websocket),
        WebSocketRoute(endpoints.WEBSOCKET, WebsocketQueries(queries, open_requests).answer),
    ]


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request or a websocket to an unknown path. Starlette itself answers websockets with a 403."""
    reply = HTMLResponse("<html><body><h1>Resource not found</h1></body></html>", 404)
    if scope["type"] == "websocket":
        await WebSocket(scope, receive, send).send_denial_response(reply)
    else:
        await reply(scope, receive, send)


async def _not_allowed(request: Request, error: Exception) -> Response:
    headers = error.headers if isinstance(error, HTTPException) else None
    return Response(status_code=405, headers=headers)


async def _cluster_status(request: Request) -> Response:
    """The reply of a server without heartbeats, which is ksqlDB's default."""
    return Response(status_code=404, media_type="application/json")


async def _no_websocket(request: Request) -> Response:
    return Response('"Connection" header must be "Upgrade".', 400)


async def _failed(request: Request, error: Exception) -> Response:
    message = failures.logged(error, f"{request.method} {request.url.path}")
    return wire.json(replies.generic_error(50000, message), 500)


class _Handlers:
    def __init__(self, engine: Engine, host: str) -> None:
        self._engine = engine
        self._statements = Statements(engine, host)

    async def info(self, request: Request) -> Response:
        return wire.json(replies.INFO)

    async def healthcheck(self, request: Request) -> Response:
        return wire.json(replies.healthcheck(self._engine))

    async def is_up(self, request: Request) -> Response:
        """/chc/ready and /chc/live. Once it listens, a real server always gives this answer."""
        return wire.json({})

    async def disk(self, request: Request) -> Response:
        """Disk use by topic and query. ksqlDB has no such path."""
        return wire.json(asdict(await run_in_threadpool(self._engine.disk_use)))

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
            statements = StatementsRequest(
                wire.sql(body, "ksql"),
                wire.texts(body, "streamsProperties"),
                wire.texts(body, "sessionVariables"),
            )
            number = wire.whole_number(body, "commandSequenceNumber")
        except wire.BadRequest as error:
            return wire.bad(error)
        if number is not None and number > self._engine.last_command:
            # The cluster has one server. So a command that this server does not have yet can never arrive.
            return wire.json(replies.sequence_timeout(number), 503)
        reply, status = await run_in_threadpool(self._statements.run, statements)
        return wire.json(reply, status)

    async def all_status(self, request: Request) -> Response:
        statuses = {command: status["status"] for command, status in self._statements.statuses.items()}
        return wire.json({"commandStatuses": statuses})

    async def status(self, request: Request) -> Response:
        known = self._statements.statuses.get("/".join(request.path_params.values()))
        if known is None:
            return wire.json(replies.generic_error(40400, "Command not found"), 404)
        return wire.json(known)
