"""One connection to the stream: reading, heartbeat, joins and rejoins, and the check for silence.

If the sink has no room, the session does not read the socket, and TCP slows the sender down.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.producer import phoenix
from opensea_metrics.producer.envelope import DeadLetter, Record, decode
from opensea_metrics.producer.metrics import Stats
from opensea_metrics.producer.phoenix import Message, Version
from opensea_metrics.producer.text_connection import TextConnection

log = structlog.get_logger()

RECONNECT_DELAYS = (0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0)
REJOIN_DELAYS = (1.0, 2.0, 5.0, 10.0)
"""Seconds, as in OpenSea's own client."""


class StreamError(OpenSeaMetricsError):
    """The stream refuses the client, and a retry would not help. The message says what to fix."""


class _SessionOver(Exception):
    """The connection is no longer usable. The text says why."""


@dataclass(frozen=True)
class StreamOptions:
    """The address and the subscription. ``slugs`` are the slugs of collections; ``*`` means all collections."""

    url: str
    key: SecretStr
    slugs: tuple[str, ...] = ("*",)
    event_types: tuple[str, ...] = ()
    version: Version = "2.0.0"
    heartbeat_seconds: float = 30.0
    join_seconds: float = 10.0
    silence_seconds: float = 120.0
    open_seconds: float = 10.0
    close_seconds: float = 3.0
    reconnect_delays: tuple[float, ...] = RECONNECT_DELAYS
    rejoin_delays: tuple[float, ...] = REJOIN_DELAYS

    @property
    def topics(self) -> tuple[str, ...]:
        return tuple(f"collection:{slug}" for slug in self.slugs)


Item = Record | DeadLetter
Take = Callable[[Item], bool]
"""Takes an item at once, or returns False if there is no room."""
Insist = Callable[[Item], Awaitable[None]]
"""Takes an item for which there was no room, as soon as there is."""


class Session:
    """One connection: a reader, a heartbeat, a check for silence, and a task for each channel."""

    def __init__(
        self,
        socket: TextConnection,
        options: StreamOptions,
        stats: Stats,
        take: Take,
        insist: Insist,
    ) -> None:
        self._socket = socket
        self._options = options
        self._stats = stats
        self._take = take
        self._insist = insist
        self._refs = map(str, itertools.count(1))
        self._replies: dict[str, asyncio.Future[Message]] = {}
        self._channels: dict[str, tuple[str, asyncio.Future[str]]] = {}
        """By topic: the join_ref, and a future for the reason why the channel ends."""
        self._blocked = self._was_blocked = False
        """Whether the sink has no room now, and whether it had none at some time since the last heartbeat."""
        self._received_before = stats.received

    @property
    def heard(self) -> bool:
        """Whether an event arrived."""
        return self._stats.received > self._received_before

    async def run(self) -> str:
        """Run until the connection ends, and return why. Raises StreamError, and the errors of take and insist."""
        reader = asyncio.create_task(self._read())
        helpers = [asyncio.create_task(self._heartbeat()), asyncio.create_task(self._silence())]
        helpers += [asyncio.create_task(self._channel(topic)) for topic in self._options.topics]
        try:
            await asyncio.wait((reader, *helpers), return_when=asyncio.FIRST_COMPLETED)
            error = _first_error(helpers)
            if error is not None:
                self._socket.transport.abort()
            reason = await reader  # the reader first takes the frames that have already arrived
            if isinstance(error, _SessionOver):
                return str(error)
            if error is not None:
                raise error
            return reason
        finally:
            for task in (reader, *helpers):
                task.cancel()
            await asyncio.gather(reader, *helpers, return_exceptions=True)
            self._socket.transport.abort()
            self._stats.joined = 0

    async def _read(self) -> str:
        messages, take, stats = self._socket.messages, self._take, self._stats
        try:
            while True:
                for message in await messages():
                    item = decode(message)
                    if not isinstance(item, (Record, DeadLetter)):
                        self._control(item)
                        continue
                    stats.received += 1
                    if not take(item):
                        self._blocked = self._was_blocked = True
                        await self._insist(item)
                        self._blocked = False
        except ConnectionClosed as error:
            return str(error)

    def _control(self, message: Message) -> None:
        if message.event == "phx_reply":
            reply = self._replies.pop(message.ref, None) if isinstance(message.ref, str) else None
            if reply is not None and not reply.done():
                reply.set_result(message)
        elif message.event in ("phx_error", "phx_close") and message.topic in self._channels:
            join_ref, ended = self._channels[message.topic]
            # A message with another join_ref is about an earlier join of the channel, and is ignored.
            # Version 1 has no join_ref field. It sends the join_ref as ref with phx_close.
            ended_ref = message.join_ref if message.join_ref is not None else message.ref
            if ended_ref in (None, join_ref) and not ended.done():
                ended.set_result(message.event)

    async def _asked(self, ref: str, text: str, seconds: float) -> Message:
        """Send a message and wait for its reply. Raises TimeoutError."""
        reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._replies[ref] = reply
        try:
            await self._socket.send(text)
            async with asyncio.timeout(seconds):
                return await reply
        finally:
            self._replies.pop(ref, None)

    async def _heartbeat(self) -> None:
        seconds = pause = self._options.heartbeat_seconds
        while True:
            await asyncio.sleep(pause)
            ref = next(self._refs)
            self._was_blocked = self._blocked
            try:
                await self._asked(ref, phoenix.heartbeat(self._options.version, ref), seconds)
                pause = seconds
            except TimeoutError:
                if not self._was_blocked:
                    raise _SessionOver(f"no answer to the heartbeat in {seconds:.0f} s") from None
                pause = 0.0  # the reply may be among the frames that were not read yet

    async def _silence(self) -> None:
        seconds, loop = self._options.silence_seconds, asyncio.get_running_loop()
        received, since = self._stats.received, loop.time()
        while True:
            await asyncio.sleep(seconds / 4)
            if self._stats.received != received or self._blocked:
                received, since = self._stats.received, loop.time()
            elif loop.time() - since >= seconds:
                since = loop.time()
                self._stats.silences += 1
                log.warning(
                    "no event for a long time; check the slug and the event types",
                    seconds=seconds, topics=self._options.topics[:5],
                    event_types=self._options.event_types,
                )  # fmt: skip
                if "*" in self._options.slugs:  # with all collections, events never stop
                    raise _SessionOver(f"no event for {seconds:.0f} s")

    async def _channel(self, topic: str) -> None:
        """Join a channel, and rejoin it whenever it ends."""
        options = self._options
        delays = Delays(options.rejoin_delays)
        joined_once = False
        while True:
            ref = next(self._refs)
            ended = asyncio.get_running_loop().create_future()
            self._channels[topic] = ref, ended
            request = phoenix.join(options.version, ref, topic, options.event_types)
            try:
                reply = await self._asked(ref, request, options.join_seconds)
                reason = phoenix.refusal(reply)
                if reason is None:
                    self._stats.joined += 1
                    joined_once = True
                    delays.reset()
                    log.info("joined", topic=topic)
                    try:
                        reason = await ended
                    finally:
                        self._stats.joined -= 1
                elif not joined_once:
                    raise StreamError(
                        f"The stream refuses {topic}: {reason}. Check the slug (--collection)."
                    )
            except TimeoutError:
                reason = f"no answer in {options.join_seconds:.0f} s"
            delay = next(delays)
            log.warning("not joined", topic=topic, reason=reason, retry_in=f"{delay:.1f} s")
            await asyncio.sleep(delay)


def _first_error(tasks: list[asyncio.Task[None]]) -> BaseException | None:
    """The error of a task that failed, if any. The reader reports a closed connection better, so it does not count."""
    errors = [task.exception() for task in tasks if task.done()]
    return next((error for error in errors if not isinstance(error, ConnectionClosed | None)), None)


class Delays:
    """Seconds to wait before each retry. Delays grow up to a maximum, and vary at random by up to 50 %."""

    def __init__(self, delays: tuple[float, ...]) -> None:
        self._all = delays
        self._next = 0

    def __next__(self) -> float:
        delay = self._all[min(self._next, len(self._all) - 1)]
        self._next += 1
        return delay * random.uniform(0.5, 1.5)

    def reset(self) -> None:
        self._next = 0
