"""Feeds without a server: what pages get, when a query fails, and when nobody looks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.dashboard import feeds
from opensea_metrics.deploy.dashboard.feeds import PulledFeed, PushFeed
from opensea_metrics.deploy.dashboard.stream import PagePart, Streams
from opensea_metrics.deploy.dashboard.tables import RowSelection, ServerTables, Values
from tests.dashboard.loop import in_loop


class StubTables(ServerTables):
    """``pulled`` is the answer to pull queries. ``pushed`` are the rows to push; an error ends the query."""

    def __init__(self) -> None:
        super().__init__(KsqlClient("http://127.0.0.1:1"))
        self.pulled: list[Values] = []
        self.pushed: asyncio.Queue[Values | OpenSeaMetricsError] = asyncio.Queue()

    async def rows(self, selection: RowSelection) -> list[Values]:
        return list(self.pulled)

    async def push(self, text: str, reset: str = "latest") -> AsyncGenerator[Values | None, None]:
        yield None
        while True:
            row = await self.pushed.get()
            if isinstance(row, OpenSeaMetricsError):
                raise row
            yield row


async def select() -> RowSelection:
    return RowSelection("T", ("WS", "SALES"))


async def until(feed: feeds.Feed, rows: list[Values], page: asyncio.Event) -> None:
    async with asyncio.timeout(10):
        while feed.rows.all() != rows:
            await page.wait()
            page.clear()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_AGAIN": 0.01, "_SOONEST": 0.01, "LINGER": 0.01, "_PULLED_AGAIN": (0.02,)}.items():
        monkeypatch.setattr(feeds, name, value)


def test_rows_are_pulled_then_pushed_and_pulled_anew_after_a_loss() -> None:
    async def scenario() -> None:
        tables, page = StubTables(), asyncio.Event()
        feed = PushFeed(tables, select, 10)
        tables.pulled = [[1, 5], [2, 6]]
        with feed.shown_on(page):
            await until(feed, [[1, 5], [2, 6]], page)
            tables.pulled = [[1, 5], [2, 7], [3, 1]]
            tables.pushed.put_nowait([2, 7])
            tables.pushed.put_nowait([3, 1])
            await until(feed, [[1, 5], [2, 7], [3, 1]], page)
            tables.pulled = [[2, 9]]  # a rollback, for instance
            tables.pushed.put_nowait(OpenSeaMetricsError("gone"))
            await until(feed, [[2, 9]], page)
            assert feed.error is None

    in_loop(scenario())


def test_a_change_that_the_push_query_missed_is_pulled() -> None:
    async def scenario() -> None:
        tables, page = StubTables(), asyncio.Event()
        feed = PushFeed(tables, select, 10)
        tables.pulled = [[1, 5]]
        with feed.shown_on(page):
            await until(feed, [[1, 5]], page)
            tables.pulled = [[1, 6]]
            await until(feed, [[1, 6]], page)

    in_loop(scenario())


def test_a_feed_ends_after_its_last_page_and_begins_again() -> None:
    async def scenario() -> None:
        tables, page = StubTables(), asyncio.Event()
        feed = PulledFeed(lambda _: tables.rows(RowSelection("T", ())), 10)
        over = asyncio.Event()
        feed.ended = over.set
        with feed.shown_on(page):
            await page.wait()
        async with asyncio.timeout(5):
            await over.wait()

    in_loop(scenario())


def test_a_page_that_falls_behind_gets_the_newest_state_once() -> None:
    async def scenario() -> None:
        tables, page = StubTables(), asyncio.Event()
        feed = PushFeed(tables, select, 10)
        tables.pulled = [[1, 0]]
        messages: list[int] = []

        def message(_: int) -> int:
            messages.append(feed.rows.all()[0][1])
            return messages[-1]

        events = Streams().events((PagePart("market", "", (feed,), message),), lambda: None)
        with feed.shown_on(page):
            await until(feed, [[1, 0]], page)
            assert b"data: 0" in await anext(events)
            for sales in range(1, 1000):
                tables.pushed.put_nowait([1, sales])
            tables.pulled = [[1, 999]]
            await until(feed, [[1, 999]], page)  # the page has not read anything meanwhile
            texts = [await anext(events) for _ in range(3)]
        assert messages == [0, 999]
        assert b"data: 999" in texts[1]
        await events.aclose()  # type: ignore[attr-defined]

    in_loop(scenario())
