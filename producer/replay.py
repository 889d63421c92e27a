"""Replays frames, recorded or generated, into a sink as records."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from opensea_metrics.producer import envelope
from opensea_metrics.producer.envelope import DeadLetter, Record
from opensea_metrics.producer.phoenix import Message
from opensea_metrics.producer.recording import (
    Frame,
    KeyedFrame,
)
from opensea_metrics.producer.sinks import Sink

PROGRESS_FRAMES = 1_000
"""The number of frames after which the progress is reported."""
_HOLE_MS = 600_000
"""A longer jump in event time, forward or back, is a hole in the recording. The replay does not wait for it."""
_STEP = 0.1
"""While the replay waits: seconds between checks for due work and for a stop."""


@dataclass(frozen=True)
class ReplayCounts:
    """The numbers of frames so far: read = written + dead + skipped (control frames).

    ``oldest_ms`` is the earliest event time written (epoch ms).
    """

    read: int = 0
    written: int = 0
    dead: int = 0
    skipped: int = 0
    oldest_ms: int | None = None


def replay(
    frames: Iterable[Frame],
    sink: Sink,
    *,
    speed: float | None = None,
    shift_ms: int = 0,
    flush_seconds: float | None = None,
    progress: Callable[[ReplayCounts], None] = lambda _: None,
    flushed: Callable[[ReplayCounts], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> ReplayCounts:
    """Pass frames on to a sink, in order, and flush it at the end. The sink stays open.

    ``speed`` is a factor on the original speed, which follows from the event times (2: twice as fast). None is as fast
    as possible. ``shift_ms`` is added to event times, and payloads do not change. The sink is flushed every
    ``flush_seconds``, so that readers see events soon. ``progress`` is called every thousand frames and at each
    flush. ``flushed`` is called when all counted frames are safe. If ``stop`` returns True, the replay ends
    early, and the sink may not be flushed. Duplicates are passed on too.

    Raises ValueError for a speed that is not positive.
    """
    run = _Replay(sink, shift_ms, flush_seconds, progress, flushed, stop, clock, sleep)
    pace = _Pace(speed) if speed is not None else None
    for frame in frames:
        if stop() or not run.take(frame, pace):
            break
    run.flush()
    return run.counts()


def decoded(frame: Frame) -> Record | DeadLetter | Message:
    """The record in a frame (``envelope.decode``), with the key that it had in the archive, if it had one."""
    if not isinstance(frame, KeyedFrame):
        return envelope.decode(frame)
    item = envelope.decode(frame.frame)
    return msgspec.structs.replace(item, key=frame.key, has_own_key=True) if isinstance(item, Record) else item


@dataclass
class _Replay:
    sink: Sink
    shift_ms: int
    flush_seconds: float | None
    progress: Callable[[ReplayCounts], None]
    flushed: Callable[[ReplayCounts], None]
    stop: Callable[[], bool]
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    written: int = 0
    dead: int = 0
    skipped: int = 0
    oldest_ms: int | None = None
    due: float = field(init=False)

    def __post_init__(self) -> None:
        self.due = self.clock() + (self.flush_seconds or 0.0)

    def counts(self) -> ReplayCounts:
        read = self.written + self.dead + self.skipped
        return ReplayCounts(read, self.written, self.dead, self.skipped, self.oldest_ms)

    def take(self, frame: Frame, pace: _Pace | None) -> bool:
        """Pass a frame on. False if the replay must stop, and the frame was not passed on."""
        item = decoded(frame)
        if isinstance(item, Record):
            if pace is not None and not self._until(pace.due(item.timestamp_ms, self.clock())):
                return False
            record = item.at(item.timestamp_ms + self.shift_ms) if self.shift_ms else item
            if not self._insist(self.sink.write, record):
                return False
            self.written += 1
            if self.oldest_ms is None or record.timestamp_ms < self.oldest_ms:
                self.oldest_ms = record.timestamp_ms
        elif isinstance(item, DeadLetter):
            if not self._insist(self.sink.dead, item):
                return False
            self.dead += 1
        else:
            self.skipped += 1
        if (self.written + self.dead + self.skipped) % PROGRESS_FRAMES == 0:
            self.sink.poll()
            self.progress(self.counts())
        self._flush_if_due()
        return True

    def flush(self) -> None:
        """Wait until all records are safe, or the replay must stop."""
        while not self.sink.flush(_STEP * 10):
            if self.stop():
                return
        self.flushed(self.counts())
        self.progress(self.counts())

    def _flush_if_due(self) -> None:
        if self.flush_seconds is not None and self.clock() >= self.due:
            self.flush()
            self.due = self.clock() + self.flush_seconds

    def _insist(self, write: Callable[[Any], bool], item: Record | DeadLetter) -> bool:
        while not write(item):
            if self.stop():
                return False
            self.sink.poll()
            self.sleep(_STEP / 10)
        return True

    def _until(self, due: float) -> bool:
        while (left := due - self.clock()) > 0:
            if self.stop():
                return False
            self.sink.poll()
            self._flush_if_due()
            self.sleep(min(left, _STEP))
        return True


@dataclass
class _Pace:
    """Computes when an event is due, so that event time passes ``speed`` times as fast as the clock."""

    speed: float
    _anchor: tuple[int, float] | None = field(default=None, init=False)
    _last_ms: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if not self.speed > 0:
            raise ValueError(f"speed must be positive, not {self.speed}")

    def due(self, timestamp_ms: int, now: float) -> float:
        if self._anchor is None or abs(timestamp_ms - self._last_ms) > _HOLE_MS:
            self._anchor = timestamp_ms, now
        self._last_ms = timestamp_ms
        first_ms, started = self._anchor
        return started + (timestamp_ms - first_ms) / 1000 / self.speed
