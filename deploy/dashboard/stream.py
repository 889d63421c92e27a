"""A page's stream of server-sent events: the newest state of each of its parts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import orjson

from opensea_metrics.deploy.dashboard.feeds import Feed

_BEAT = 5.0
"""Seconds without a change after which a page hears that the connection is alive."""
_PAUSE = 0.25
"""Seconds between two messages to one page, so that a page has at most four in a second."""


@dataclass(frozen=True)
class PagePart:
    """A part of a page. Pages with an equal ``key`` get the same messages.

    ``message`` gives the part's data from its feeds. Its argument is the version of the first feed's rows that the page
    has, or -1.
    """

    name: str
    key: Hashable
    feeds: tuple[Feed, ...]
    message: Callable[[int], Any]


@dataclass
class Streams:
    """The streams of all open pages. Only one event loop may use it."""

    is_stopping: bool = False
    _pages: set[asyncio.Event] = field(default_factory=set)
    _messages: dict[Hashable, bytes] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._pages)

    def stop(self) -> None:
        """End all streams, because the server stops."""
        self.is_stopping = True
        for page in self._pages:
            page.set()

    async def events(
        self, parts: tuple[PagePart, ...], newest: Callable[[], int | None] | None
    ) -> AsyncIterator[bytes]:
        """The server-sent events of a page.

        ``newest``: the time of OpenSea's newest event (epoch ms), if there are market tables.
        """
        page = asyncio.Event()
        self._pages.add(page)
        states: dict[str, Any] = {}
        try:
            with ExitStack() as stack:
                for feed in {feed for part in parts for feed in part.feeds}:
                    stack.enter_context(feed.shown_on(page))
                while not self.is_stopping:
                    page.clear()
                    for part in parts:
                        state = tuple(feed.state for feed in part.feeds)
                        seen = states.get(part.name)
                        if state != seen and all(feed.is_loaded for feed in part.feeds):
                            states[part.name] = state
                            yield self._message(part, state, seen[0][0] if seen else -1)
                    errors = (feed.error for part in parts for feed in part.feeds)
                    status = {
                        "now": time.time_ns() // 1_000_000,
                        "newest": newest() if newest else None,
                        "hasMarket": newest is not None,
                        "error": next((error for error in errors if error), None),
                    }
                    yield event("status", status)
                    await asyncio.sleep(_PAUSE)
                    try:
                        async with asyncio.timeout(_BEAT):
                            await page.wait()
                    except TimeoutError:
                        continue
        finally:
            self._pages.discard(page)

    def _message(self, part: PagePart, state: Hashable, seen: int) -> bytes:
        key = (part.name, part.key, state, seen)
        if key not in self._messages:
            if len(self._messages) > 100:
                self._messages.clear()
            self._messages[key] = event(part.name, part.message(seen))
        return self._messages[key]


def event(name: str, data: Any) -> bytes:
    """A server-sent event. The JSON is on one line, so no value can contain a line break that ends the event."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), orjson.dumps(data))
