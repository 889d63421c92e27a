"""The dashboard as a web application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from opensea_metrics.deploy.dashboard import page_parts, ranking
from opensea_metrics.deploy.dashboard.feeds import Feed
from opensea_metrics.deploy.dashboard.hub import MARKET, Hub
from opensea_metrics.deploy.dashboard.options import DashboardOptions
from opensea_metrics.deploy.dashboard.query_box import QueryBox
from opensea_metrics.deploy.dashboard.stream import PagePart, Streams, event
from opensea_metrics.deploy.dashboard.view import BadView, PageView
from opensea_metrics.deploy.dashboard.windows import DeployedWindow, Problem, chosen_window
from opensea_metrics.deploy.embedded.rest import access, bodies, origins
from opensea_metrics.deploy.embedded.rest.policy import Policy
from opensea_metrics.deploy.embedded.rest.request_checks import RequestChecks

_FOLDER = Path(__file__).parent
_WAIT = 10.0
"""Seconds to wait for the list of tables before a page starts without the list."""

Parts = Callable[[Hub, PageView, DeployedWindow, frozenset[str]], tuple[PagePart, ...]]
PAGES = {"market": ("/", "Market"), "collection": ("/collection", "Collection")}
SERVER_PAGES = {"lineage": ("/lineage", "Lineage")}
ASK_PAGES = {"ask": ("/ask", "Ask")}
PARTS: dict[str, Parts] = {"market": page_parts.market_parts, "collection": page_parts.collection_parts}


def create(options: DashboardOptions, streams: Streams, policy: Policy, listens_on: str) -> ASGIApp:
    """The application. ``listens_on`` is the address of the server. ``streams`` ends when the application stops."""
    is_live, has_ask = options.tables.is_live, options.tables.is_live and options.has_ask
    shown = PAGES | (SERVER_PAGES if is_live else {}) | (ASK_PAGES if has_ask else {})
    pages = _Pages(options, streams, shown)
    app = Starlette(
        routes=[
            *(Route(path, pages.page(name, title)) for name, (path, title) in shown.items()),
            Route("/live/status", pages.status),
            *([Route("/live/lineage", pages.lineage)] if is_live else []),
            *([Route("/api/ask", QueryBox(options.tables).answer, methods=["POST"])] if has_ask else []),
            Route("/collections.csv", pages.collections_csv),
            *(Route(f"/live/{name}", pages.live(parts)) for name, parts in PARTS.items()),
            Mount("/static", StaticFiles(directory=_FOLDER / "static")),
        ]
    )
    checks = (
        origins.check(policy.allowed_hosts, listens_on, allow_links=True),
        access.check(policy.credentials),
        bodies.check_kind,
    )
    return _Headers(RequestChecks(app, checks, policy.limits, streaming=()), options.policy())


class _Headers:
    """Middleware that adds security headers to every response."""

    def __init__(self, app: ASGIApp, policy: str) -> None:
        self._app = app
        self._headers = [
            (b"content-security-policy", policy.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                message["headers"] = [*message["headers"], *self._headers]
                if not any(name == b"cache-control" for name, _ in message["headers"]):
                    message["headers"].append((b"cache-control", b"no-cache"))
            await send(message)

        await self._app(scope, receive, sending)


class _Pages:
    def __init__(self, options: DashboardOptions, streams: Streams, shown: dict[str, tuple[str, str]]) -> None:
        self._options = options
        self._streams = streams
        self._hub = Hub(options)
        templates = Environment(
            loader=PackageLoader("opensea_metrics.deploy.dashboard"), autoescape=True, undefined=StrictUndefined
        )
        templates.globals.update(
            version=version("opensea-metrics"), label=options.label,
            is_live=options.tables.is_live, pages=[(name, *shown[name]) for name in shown if name != "collection"],
        )  # fmt: skip
        self._templates = templates

    def page(self, name: str, title: str) -> Callable[[Request], Awaitable[Response]]:
        """A page of HTML. Its script asks for everything else."""
        text = self._templates.get_template(f"{name}.html").render(page=name, title=title)

        async def answer(_: Request) -> Response:
            return HTMLResponse(text)

        return answer

    def live(self, parts: Parts) -> Callable[[Request], Awaitable[Response]]:
        """The stream of events for a page."""

        async def answer(request: Request) -> Response:
            try:
                view = PageView.of(request.query_params)
            except BadView as error:
                problem = Problem("The address of this page has an invalid value", str(error))
                return _stream(_one(event("problem", problem.as_json())))
            return _stream(self._events(view, parts))

        return answer

    async def lineage(self, _: Request) -> Response:
        """The stream of events for the page of the lineage."""
        return _stream(self._status_events(page_parts.lineage_parts(self._hub)))

    async def status(self, _: Request) -> Response:
        """The stream of events for a page that shows only the state of the connection."""
        return _stream(self._status_events(()))

    async def collections_csv(self, request: Request) -> Response:
        """All rows of a ranking as CSV."""
        try:
            view = PageView.of(request.query_params)
        except BadView as error:
            return PlainTextResponse(str(error), 400)
        _, window = await self._window(view)
        if not isinstance(window, DeployedWindow):
            return PlainTextResponse(window.title if window else "The server does not answer.", 503)
        _, rows, chains = ranking.ranking_feeds(self._hub, view, window)
        await loaded(rows)
        await loaded(chains)
        if rows.error or not rows.is_loaded:
            return PlainTextResponse(rows.error or "The server does not answer.", 503)
        text = ranking.as_csv(ranking.ranked_rows(rows, chains, view))
        name = f"collections_{window.suffix.lower()}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(text, media_type="text/csv", headers=headers)

    async def _window(self, view: PageView) -> tuple[frozenset[str], DeployedWindow | Problem | None]:
        """The names of all tables, and the window of a view. None if the server does not answer."""
        feed = self._hub.names()
        await loaded(feed)
        names = frozenset(row[0] for row in feed.rows.all())
        return names, chosen_window(names, view.window, self._hub.tables.is_live) if feed.is_loaded else None

    async def _status_events(self, parts: tuple[PagePart, ...]) -> AsyncIterator[bytes]:
        _, window = await self._window(PageView())
        if isinstance(window, DeployedWindow):
            parts = (*parts, page_parts.newest_part(self._hub, window))
        async for message in self._streams.events(parts, self._newest(window)):
            yield message

    async def _events(self, view: PageView, parts: Parts) -> AsyncIterator[bytes]:
        hub = self._hub
        names, window = await self._window(view)
        chosen: tuple[PagePart, ...] = (page_parts.catalog_part(hub, view),)
        if isinstance(window, DeployedWindow):
            chosen = (*chosen, *parts(hub, view, window, names))
            if hub.tables.is_live:
                chosen = (*chosen, page_parts.lag_part(hub, window))
        yield event("hello", {"isComplete": len(chosen) > 1})
        async for message in self._streams.events(chosen, self._newest(window)):
            yield message

    def _newest(self, window: DeployedWindow | Problem | None) -> Callable[[], int | None] | None:
        """A function that returns the time of the newest event.

        None if there are no market tables, so the time is unknown.
        """
        if isinstance(window, Problem):
            return None
        if window is None:
            return lambda: None
        market = self._hub.market(window)

        def newest() -> int | None:
            row = market.rows.newest()
            return row[len(MARKET)] if row is not None and len(row) > len(MARKET) else None

        return newest


async def loaded(feed: Feed) -> None:
    """Return when a feed has rows or an error, or after some time."""
    page = asyncio.Event()
    with feed.shown_on(page):
        try:
            async with asyncio.timeout(_WAIT):
                while not feed.is_loaded and feed.error is None:
                    await page.wait()
                    page.clear()
        except TimeoutError:
            return


async def _one(message: bytes) -> AsyncIterator[bytes]:
    yield message


def _stream(events: AsyncIterator[bytes]) -> Response:
    return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
