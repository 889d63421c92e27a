"""Feeds of rows: one feed for all pages that show the same rows.

A feed starts when its first page opens, and stops some time after its last page closes. A page waits for an event and
then takes the newest rows. So a page that falls behind misses intermediate rows, and no rows queue up for it.
"""

from __future__ import annotations

import asyncio
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing, contextmanager, suppress
from itertools import chain, count, repeat

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.deploy.client import KsqlError
from opensea_metrics.deploy.dashboard import lineage
from opensea_metrics.deploy.dashboard.recent_rows import RecentRows
from opensea_metrics.deploy.dashboard.tables import RowSelection, ServerTables, Values

LINGER = 30.0
"""How many seconds a feed without pages continues, because pages are reloaded."""
_AGAIN = 1.0
"""Seconds after an error until the next attempt."""
_SHARE = 0.2
"""The share of the time that the pulls of one feed may take. An expensive pull is repeated less often."""
_SOONEST = 0.3
"""Seconds between two pulls of one feed, at least."""
_LONGEST = 5.0
"""Seconds between two pulls of one feed, at most, unless the feed itself asks for more."""
_PULLED_AGAIN = (5.0, 10.0, 60.0)
"""Seconds between the pulls of a feed that a push query keeps up to date. The last one repeats."""
_FULL = 30.0
"""Seconds after which all rows are pulled again, because late events change old windows."""
_MOST_POLLED = 100_000
"""The greatest number of rows of a feed that is pulled at a fixed interval."""

_LOG = "SELECT ROWTIME, LOGGER, LEVEL, MESSAGE FROM KSQL_PROCESSING_LOG EMIT CHANGES;"

Load = Callable[[bool], Awaitable[Iterable[Values]]]
"""Pulls the rows of a feed. The argument is True for all rows, and False for those that may have changed."""


class Feed(ABC):
    """Rows that pages share. ``error`` says why there are no new rows; ``is_loaded`` is True after the first pull."""

    def __init__(self, most: int) -> None:
        self.rows = RecentRows(most)
        self.error: str | None = None
        self.is_loaded = False
        self.ended: Callable[[], object] = lambda: None
        self._pages: set[asyncio.Event] = set()
        self._task: asyncio.Task[None] | None = None
        self._end: asyncio.TimerHandle | None = None

    @property
    def state(self) -> tuple[int, str | None, bool]:
        """A value that changes whenever pages should read the feed again."""
        return self.rows.version, self.error, self.is_loaded

    @contextmanager
    def shown_on(self, page: asyncio.Event) -> Iterator[None]:
        """Within this context, the event ``page`` is set when the rows change."""
        if self._end is not None:
            self._end.cancel()
        if self._task is None:
            self._task = asyncio.create_task(self._repeat())
        self._pages.add(page)
        try:
            yield
        finally:
            self._pages.discard(page)
            if not self._pages:
                self._end = asyncio.get_running_loop().call_later(LINGER, self._stop)

    async def _repeat(self) -> None:
        while True:
            try:
                await self.run()
            except OpenSeaMetricsError as error:
                self.error = str(error)
                self.changed()
            await asyncio.sleep(_AGAIN)

    @abstractmethod
    async def run(self) -> None:
        """Keep the rows up to date. Raises OpenSeaMetricsError; the caller then calls ``run`` again."""

    def changed(self) -> None:
        """Tell all pages that the rows have changed."""
        for page in self._pages:
            page.set()

    def loaded(self, rows: Iterable[Values] | None = None) -> None:
        """Mark the feed as loaded and free of errors. ``rows`` replace all rows, unless they are None."""
        self.error, self.is_loaded = None, True
        if rows is not None:
            self.rows.replace(rows)
        self.changed()

    def _take(self, rows: list[Values], are_all: bool) -> None:
        """Take pulled rows, sorted by key, and tell the pages if anything has changed."""
        if are_all and (not self.is_loaded or rows != self.rows.all()):
            self.loaded(rows)
        elif (not are_all and self.rows.update(rows)) or self.error is not None:
            self.loaded()

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self.ended()


class PushFeed(Feed):
    """Rows that a push query sends, after a pull query for those that exist.

    The push query starts first, so that no change is lost between the two. After an error both queries start again, and
    the pulled rows replace all others.
    """

    def __init__(
        self, tables: ServerTables, select: Callable[[], Awaitable[RowSelection]], most: int
    ) -> None:
        super().__init__(most)
        self._tables = tables
        self._select = select

    async def run(self) -> None:
        """Read the push query until it fails."""
        selection = await self._select()
        rows = self._tables.push(self._tables.serving(selection).push())
        pulling = asyncio.create_task(self._pull_again(selection))
        try:
            async with aclosing(rows):
                async for row in rows:
                    if row is None:
                        self.loaded(await self._tables.rows(selection))
                    elif self.rows.update([row]):
                        self.changed()
        finally:
            pulling.cancel()

    async def _pull_again(self, selection: RowSelection) -> None:
        """Pull from time to time. ksqlDB answers a push query some seconds before the query sees changes."""
        for pause in chain(_PULLED_AGAIN, repeat(_PULLED_AGAIN[-1])):
            await asyncio.sleep(pause)
            with suppress(OpenSeaMetricsError):  # the push query fails too, and says why
                if self.rows.update(await self._tables.rows(selection)):
                    self.changed()


class PulledFeed(Feed):
    """Rows of a pull query, which runs again after each change of ``signal`` (None: it runs once).

    ``replaces``: each pull has all rows.
    """

    def __init__(self, load: Load, most: int, signal: Feed | None = None, replaces: bool = False) -> None:
        super().__init__(most)
        self._load = load
        self._signal = signal
        self._replaces = replaces

    async def run(self) -> None:
        """Pull now, and again after each change.

        Pauses between pulls keep the load on the server and this process low.
        """
        if self._signal is None:
            self.loaded(await self._load(True))
            await asyncio.Event().wait()
            return
        changes = asyncio.Event()
        with self._signal.shown_on(changes):
            full_at = -math.inf
            while True:
                changes.clear()
                if self._signal.error is None and self._signal.is_loaded:
                    begun = time.monotonic()
                    is_full = begun - full_at > _FULL
                    full_at = begun if is_full else full_at
                    rows = sorted(await self._load(is_full), key=lambda row: row[0])
                    self._take(rows, is_full or self._replaces)
                    await asyncio.sleep(_pause(begun, _SOONEST))
                await changes.wait()


class PolledFeed(Feed):
    """Rows of a pull query that runs at a fixed interval."""

    def __init__(self, load: Callable[[], Awaitable[Iterable[Values]]], every: float) -> None:
        super().__init__(_MOST_POLLED)
        self._load = load
        self._every = every

    async def run(self) -> None:
        """Pull at the interval until an error."""
        while True:
            begun = time.monotonic()
            self._take(sorted(await self._load(), key=lambda row: row[0]), True)
            await asyncio.sleep(_pause(begun, self._every))


class LogFeed(Feed):
    """The newest rows of the processing log, numbered. Without this log, a row says why."""

    def __init__(self, tables: ServerTables, most: int) -> None:
        super().__init__(most)
        self._tables = tables

    async def run(self) -> None:
        """Read the log from its beginning until the connection fails."""
        numbers = count()
        try:
            async with aclosing(self._tables.push(_LOG, "earliest")) as rows:
                async for row in rows:
                    if row is None:
                        self.loaded([])
                    elif self.rows.update([[next(numbers), *lineage.log_entry(row)]]):
                        self.changed()
        except KsqlError as error:
            self.loaded([[0, None, "", "", f"This server has no processing log: {error.message}"]])
            await asyncio.sleep(_LONGEST)


def _pause(begun: float, least: float) -> float:
    """How many seconds to wait after a pull that began at a monotonic time."""
    return max(least, min((time.monotonic() - begun) / _SHARE, _LONGEST))
