"""All feeds of the dashboard, by the rows that they supply."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.dashboard import lineage, windows
from opensea_metrics.deploy.dashboard.feeds import Feed, LogFeed, PolledFeed, PulledFeed, PushFeed
from opensea_metrics.deploy.dashboard.options import DashboardOptions
from opensea_metrics.deploy.dashboard.tables import RowSelection, ServerTables, Tables, Values
from opensea_metrics.deploy.dashboard.windows import DeployedWindow

LOG_ROWS = 50
POINTS = 1500
"""The greatest number of windows in a chart."""
COLLECTIONS = 20_000
"""The greatest number of collections in a ranking."""
TOP_ASSETS = ("WS", "ASSETS_SOLD", "BY_USD_VOLUME", "BY_TRANSFERS")
_CHAIN_WINDOWS = 100
"""The chains of so many windows are offered."""

MARKET = ("WS", "SALES", "USD_VOLUME", "ETH_VOLUME", "TRANSFERS", "ITEMS_TRANSFERRED", "ITEMS_SOLD", "EVENTS")
TRADING = (
    "WS", "SALES", "USD_VOLUME", "TRADERS", "MEDIAN_USD", "ORGANIC_USD_VOLUME", "MINTS", "BURNS",
    "TRANSFERS_WITHOUT_SALE",
)  # fmt: skip
COLLECTION = (
    "WS", "SALES", "USD_VOLUME", "ETH_VOLUME", "FLOOR_USD", "AVG_USD", "TRANSFERS", "ITEMS_SOLD",
    "ITEMS_TRANSFERRED",
)  # fmt: skip

AnyFeed = TypeVar("AnyFeed", bound=Feed)


class Hub:
    """The feeds of one server or folder. Only one event loop may use a hub."""

    def __init__(self, options: DashboardOptions) -> None:
        self.options = options
        self.tables: Tables = options.tables
        self._feeds: dict[Hashable, Feed] = {}

    def feed(self, key: Hashable, make: Callable[[], AnyFeed]) -> AnyFeed:
        """The feed with this key. If there is none, ``make`` creates it."""
        if key not in self._feeds:
            feed = self._feeds[key] = make()
            feed.ended = lambda: self._feeds.pop(key, None)
        return self._feeds[key]  # type: ignore[return-value]

    def market(self, window: DeployedWindow) -> Feed:
        """The market's newest windows: rows of MARKET, and the time of the newest event."""
        columns = (*MARKET, "ROWTIME") if self.tables.is_live else MARKET
        return self._series(("market", window), window, RowSelection(window.table("GLOBAL"), columns))

    def trading(self, window: DeployedWindow, scope: str, name: str) -> Feed:
        """The newest windows of the market, a chain or a collection: rows of TRADING."""
        selection = RowSelection(window.table("TRADING"), TRADING, (("SCOPE", scope), ("NAME", name)))
        return self._series(("trading", window, scope, name), window, selection)

    def collection(self, window: DeployedWindow, slug: str) -> Feed:
        """The newest windows of a collection: rows of COLLECTION."""
        selection = RowSelection(window.table("COLLECTION"), COLLECTION, (("COLLECTION", slug),))
        return self._pulled(("collection", window, slug), window, selection)

    def _series(self, key: Hashable, window: DeployedWindow, selection: RowSelection) -> Feed:
        tables = self.tables
        if not isinstance(tables, ServerTables):
            return self._pulled(key, window, selection)

        async def select() -> RowSelection:
            return replace(selection, start=await self._first(window))

        return self.feed(key, lambda: PushFeed(tables, select, POINTS))

    def _pulled(self, key: Hashable, window: DeployedWindow, selection: RowSelection) -> Feed:
        async def load(all_rows: bool) -> Iterable[Values]:
            newest = feed.rows.newest()
            start = await self._first(window) if all_rows or newest is None else newest[0] - window.size
            return await self.tables.rows(replace(selection, start=start))

        feed = self.feed(key, lambda: PulledFeed(load, POINTS, self.signal(window)))
        return feed

    def period(self, selection: RowSelection, window: DeployedWindow) -> Feed:
        """The rows of a selection between two times."""

        async def load(_: bool) -> Iterable[Values]:
            return await self.tables.rows(selection)

        return self.feed(selection, lambda: PulledFeed(load, POINTS, self.signal(window), replaces=True))

    def names(self) -> Feed:
        """The names of all tables, one per row."""

        async def load() -> Iterable[Values]:
            return [(name,) for name in await self.tables.names()]

        return self.feed("names", lambda: PolledFeed(load, 5.0))

    def chains(self) -> Feed:
        """The chains of the newest windows, one per row."""

        async def load() -> Iterable[Values]:
            names = await self.tables.names()
            with_trading = [w for w in windows.deployed(names) if w.table("TRADING") in names]
            newest = await self._newest_start()
            if not with_trading or newest is None:
                return []
            longest = with_trading[-1]
            start = newest - _CHAIN_WINDOWS * longest.advance
            selection = RowSelection(longest.table("TRADING"), ("NAME",), (("SCOPE", "chain"),), start)
            return sorted({(row[0],) for row in await self.tables.rows(selection)})

        return self.feed("chains", lambda: PolledFeed(load, 10.0))

    def ranking(self, window: DeployedWindow, at: int | None) -> Feed:
        """For each collection: its name, its row in a window, and its row in the window before (rows of COLLECTION).

        The window starts ``at``; None is the market's newest window.
        """
        market = self.market(window)

        async def load(_: bool) -> Iterable[Values]:
            start = await self._start(at, market, window)
            if start is None:
                return []
            before = start - window.size
            columns = ("COLLECTION", *COLLECTION)
            table = window.table("COLLECTION")
            now, previous = [
                {row[0]: row[1:] for row in await self.tables.rows(RowSelection(table, columns, (), first, first + 1))}
                for first in (start, before)
            ]
            return [(name, now.get(name), previous.get(name), start) for name in now.keys() | previous.keys()]

        feed_key, signal = ("ranking", window, at), self.signal(window)
        return self.feed(feed_key, lambda: PulledFeed(load, COLLECTIONS, signal, replaces=True))

    def top_assets(self, window: DeployedWindow, slug: str, at: int | None) -> Feed:
        """The top assets of a collection: one row, with the window's start and the values of TOP_ASSETS."""

        async def load(_: bool) -> Iterable[Values]:
            first = at if at is not None else await self._first(window)
            end = None if at is None else at + 1
            equal = (("COLLECTION", slug),)
            rows = await self.tables.rows(RowSelection(window.table("TOP_ASSETS"), TOP_ASSETS, equal, first, end))
            return [max(rows, key=lambda row: row[0])] if rows else []

        feed_key, signal = ("top assets", window, slug, at), self.signal(window)
        return self.feed(feed_key, lambda: PulledFeed(load, 1, signal, replaces=True))

    def chain_names(self, window: DeployedWindow, at: int | None) -> Feed:
        """Collections and their chains. An asset's id begins with its chain."""
        market = self.market(window)

        async def load() -> Iterable[Values]:
            table = window.table("TOP_ASSETS")
            if table not in await self.tables.names():
                return []
            start = await self._start(at, market, window)
            if start is None:
                return []
            lists = ("BY_USD_VOLUME", "BY_TRANSFERS")
            selection = RowSelection(table, ("SLUG",), (), start - window.size, start + 1, lists)
            rows = await self.tables.rows(selection)
            return sorted({slug: (slug, str(s or m or "").partition("/")[0]) for slug, s, m in rows}.values())

        return self.feed(("chain names", window, at), lambda: PolledFeed(load, 5.0))

    def graph(self) -> Feed:
        """The lineage, the errors of its queries, and how many records the queries have not read: one row."""

        def load(client: KsqlClient) -> list[Values]:
            sources = lineage.descriptions(client)
            graph = lineage.graph(sources)
            return [(0, graph | {"errors": lineage.query_errors(client, graph["nodes"])}, lineage.behind(sources))]

        return self._of_server("graph", load, 3.0)

    def lag(self, window: DeployedWindow) -> Feed:
        """How many records the queries of a window have not read: one row."""
        names = ("EVENTS", window.table("GLOBAL"), window.table("COLLECTION"), window.table("TRADING"))

        def load(client: KsqlClient) -> list[Values]:
            return [(0, lineage.behind(client.describe_all(names, extended=True)))]

        return self._of_server(("lag", window), load, 10.0)

    def migrations(self) -> Feed:
        """The state of the migrations: one row."""

        def load(client: KsqlClient) -> list[Values]:
            # Loads the migration tool, which no other page needs.
            from opensea_metrics.deploy.dashboard.migration_state import migration_state

            return [(0, migration_state(client, self.options.root, self.options.variables))]

        return self._of_server("migrations", load, 60.0)

    def log(self) -> Feed:
        """The newest rows of the processing log: a number, and the values of ``lineage.log_entry``."""
        tables = _server(self.tables)
        return self.feed("log", lambda: LogFeed(tables, LOG_ROWS))

    def _of_server(self, key: Hashable, load: Callable[[KsqlClient], list[Values]], every: float) -> Feed:
        client = _server(self.tables).client

        async def in_thread() -> Iterable[Values]:
            return await run_in_threadpool(load, client)

        return self.feed(key, lambda: PolledFeed(in_thread, every))

    def signal(self, window: DeployedWindow) -> Feed | None:
        """The feed that changes whenever a table of this window may have changed."""
        return self.market(window) if self.tables.is_live else None

    async def _start(self, at: int | None, market: Feed, window: DeployedWindow) -> int | None:
        """The start of a window: ``at``, or if that is None the start of the market's newest window."""
        if at is not None:
            return at
        newest = market.rows.newest()
        return await self._newest_start_of(window) if newest is None else newest[0]

    async def _first(self, window: DeployedWindow) -> int | None:
        """The start of the oldest window that a chart shows. None if there is no window at all."""
        newest = await self._newest_start()
        return None if newest is None else newest - POINTS * window.advance

    async def _newest_start(self) -> int | None:
        """The start of the market's newest window, of the longest size, in epoch ms."""
        sizes = windows.deployed(await self.tables.names())
        return await self._newest_start_of(sizes[-1]) if sizes else None

    async def _newest_start_of(self, window: DeployedWindow) -> int | None:
        """The start of the market's newest window of one size, in epoch ms."""
        rows = await self.tables.rows(RowSelection(window.table("GLOBAL"), ("WS",)))
        return max((row[0] for row in rows), default=None)


def _server(tables: Tables) -> ServerTables:
    """The tables of a server. Only pages of a server ask for them."""
    assert isinstance(tables, ServerTables)
    return tables
