"""Runs the producer: from the stream, without duplicates, to the sink, until a signal ends it in order."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable

import structlog

from opensea_metrics.producer.connection import Stream
from opensea_metrics.producer.dedup import Recent
from opensea_metrics.producer.envelope import Record
from opensea_metrics.producer.metrics import Stats
from opensea_metrics.producer.session import Item, StreamOptions
from opensea_metrics.producer.sinks import Sink

log = structlog.get_logger()

_TICK = 0.02
"""Seconds between two polls of the sink, which process acknowledgements."""


class Pipeline:
    """Passes items from the stream to the sink, and keeps none itself."""

    def __init__(self, sink: Sink, recent: Recent | None, stats: Stats) -> None:
        self._sink = sink
        self._recent = recent
        self._stats = stats
        self._deadline: float | None = None

    def take(self, item: Item) -> bool:
        """Write an item, or drop it as a duplicate. False if :meth:`insist` must write it."""
        stats = self._stats
        if isinstance(item, Record):
            if self._recent is not None and self._recent.seen(item.identity):
                stats.duplicates += 1
                return True
            stats.last_event_ms = item.timestamp_ms
            return self._sink.write(item)
        return self._sink.dead(item)

    async def insist(self, item: Item) -> None:
        """Write an item for which :meth:`take` had no room. After the deadline, the sink sets it aside."""
        write = self._sink.write if isinstance(item, Record) else self._sink.dead
        while not write(item):  # type: ignore[arg-type]
            if self._deadline is not None and time.monotonic() >= self._deadline:
                self._sink.give_up()
            await asyncio.sleep(_TICK)

    def end_by(self, deadline: float) -> None:
        """After this monotonic time, do not wait for room."""
        self._deadline = deadline


async def run(
    options: StreamOptions,
    sink: Sink,
    stats: Stats,
    *,
    dedup_seconds: float = 300.0,
    shutdown_seconds: float = 8.0,
    report: Callable[[], None] = lambda: None,
    report_seconds: float = 10.0,
) -> None:
    """Produce until SIGTERM or SIGINT, then deliver the received events within ``shutdown_seconds``.

    The sink is always closed. ``report`` is called every ``report_seconds``. Events that were seen in the
    last ``dedup_seconds`` are dropped; 0 keeps all. Raises StreamError and SinkError.
    """
    pipeline = Pipeline(sink, Recent(dedup_seconds) if dedup_seconds else None, stats)
    stream = Stream(options, pipeline.take, pipeline.insist, stats)
    deadline: float | None = None

    def stop() -> None:
        nonlocal deadline
        if deadline is None:
            deadline = time.monotonic() + shutdown_seconds
            pipeline.end_by(deadline)
            log.info("stopping", within=f"{shutdown_seconds:.0f} s")
            stream.stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    streaming = asyncio.create_task(stream.run())
    ticking = asyncio.create_task(_tick(sink, report, report_seconds))
    try:
        await asyncio.wait((streaming, ticking), return_when=asyncio.FIRST_COMPLETED)
        if ticking.done():  # only an error of the sink ends it
            sink.give_up()
            stop()
        await streaming
        if ticking.done():
            await ticking
    finally:
        for task in (streaming, ticking):
            task.cancel()
        await asyncio.gather(streaming, ticking, return_exceptions=True)
        left = shutdown_seconds if deadline is None else deadline - time.monotonic()
        sink.close(max(left, 0.0))


async def _tick(sink: Sink, report: Callable[[], None], report_seconds: float) -> None:
    due = time.monotonic() + report_seconds
    while True:
        await asyncio.sleep(_TICK)
        sink.poll()
        if time.monotonic() >= due:
            report()
            due += report_seconds
