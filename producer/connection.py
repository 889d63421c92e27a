"""Keeps a connection to OpenSea's stream: connects, and reconnects after each loss.

One socket carries all channels (``session.py``). Delays are those of OpenSea's own client, with
jitter. The key is in the URL, so the key is removed from every error and log line of a connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import structlog
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

from opensea_metrics.producer.metrics import Stats
from opensea_metrics.producer.session import (
    Delays,
    Insist,
    Session,
    StreamError,
    StreamOptions,
    Take,
)
from opensea_metrics.producer.text_connection import TextConnection

log = structlog.get_logger()

_PASSING = frozenset({408, 425, 429})
"""HTTP statuses below 500 for which a retry may succeed."""
_FRAME_LIMIT = 8 * 1024 * 1024
_QUEUE = (4096, 1024)
"""With more frames in its queue than the first number, the client stops reading the socket. With fewer than the
second, it starts again."""

T = TypeVar("T")


class Stream:
    """OpenSea's stream, from :meth:`run` to :meth:`stop`; see the module."""

    def __init__(self, options: StreamOptions, take: Take, insist: Insist, stats: Stats) -> None:
        self._options = options
        self._take = take
        self._insist = insist
        self._stats = stats
        self._stopping = False
        self._socket: TextConnection | None = None
        self._idle: asyncio.Future[Any] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Pass on items until :meth:`stop`. Raises StreamError, and the errors of ``take`` and ``insist``."""
        delays = Delays(self._options.reconnect_delays)
        while not self._stopping:
            with suppress(asyncio.CancelledError):  # stop() cancels the task that waits
                reason = await self._once(delays)
                if self._stopping:
                    return
                delay = next(delays)
                log.warning("connection lost", reason=reason, retry_in=f"{delay:.2f} s")
                await self._interruptible(asyncio.sleep(delay))
            if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise asyncio.CancelledError

    def stop(self) -> None:
        """Close the connection. Frames that the server sent before are still processed."""
        self._stopping = True
        if self._socket is not None:
            self._closing = asyncio.ensure_future(self._socket.close())
        elif self._idle is not None:
            self._idle.cancel()

    async def _once(self, delays: Delays) -> str:
        """Run one connection to its end, and return the reason for the end."""
        try:
            socket = await self._interruptible(self._connect())
        except InvalidStatus as error:
            return self._refused(error.response.status_code)
        except (OSError, WebSocketException) as error:
            return self._error_text(error)
        if self._stopping:
            await socket.close()
            return "stopped"
        self._socket = socket
        self._stats.connections += 1
        log.info("connected", url=self._options.url)
        session = Session(socket, self._options, self._stats, self._take, self._insist)
        try:
            return self._hidden(await session.run())
        finally:
            self._socket = None
            if session.heard:
                delays.reset()

    async def _connect(self) -> TextConnection:
        options = self._options
        query = urlencode({"token": options.key.get_secret_value(), "vsn": options.version})
        # At level DEBUG websockets logs the request, and with it the key.
        logger = logging.getLogger("opensea_metrics.producer.connection.websockets")
        logger.setLevel(logging.ERROR)
        connection = await connect(
            f"{options.url}?{query}",
            create_connection=TextConnection,
            compression=None,
            max_size=_FRAME_LIMIT,
            max_queue=_QUEUE,
            open_timeout=options.open_seconds,
            close_timeout=options.close_seconds,
            ping_interval=None,  # the protocol has its own heartbeat
            logger=logger,
        )
        assert isinstance(connection, TextConnection)
        return connection

    def _refused(self, status: int) -> str:
        """The reason to retry. Raises StreamError for a status that a retry cannot change."""
        host = urlsplit(self._options.url).netloc
        if status in (401, 403):
            raise StreamError(
                f"{host} refuses the API key (HTTP {status}). "
                "Check OPENSEA_API_KEY, in the environment or in .env."
            ) from None
        if 300 <= status < 500 and status not in _PASSING:
            raise StreamError(
                f"{host} has no stream at this address (HTTP {status}). Check --url or "
                "OPENSEA_STREAM_URL."
            ) from None
        return f"HTTP {status}"

    def _error_text(self, error: Exception) -> str:
        """An error's text without the key. Errors about a URL can hold it."""
        return self._hidden(f"{type(error).__name__}: {error}" if str(error) else repr(error))

    def _hidden(self, text: str) -> str:
        key = self._options.key.get_secret_value()
        for form in {key, quote(key), quote(key, safe=""), urlencode({"": key})[1:]} - {""}:
            text = text.replace(form, "***")
        return text

    async def _interruptible(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for the work, which stop() may cancel."""
        task = asyncio.ensure_future(work)
        self._idle = task
        try:
            return await task
        finally:
            task.cancel()
            self._idle = None
