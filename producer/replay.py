"""Frames, as recorded from the socket or made, → records in a sink."""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from producer import envelope
from producer.archive import ArchiveWriter
from producer.envelope import DeadLetter, Record
from sql.errors import OpenSeaMetricsError

_PROGRESS_FRAMES = 10_000
_HOLE_MS = 600_000
"""A longer jump in event time, forth or back, is a hole in the recording: it is not waited for."""


class Sink(Protocol):
    """Where records go. Every method may raise the sink's own error, which ends the replay."""

    def write(self, record: Record) -> None: ...

    def dead(self, letter: DeadLetter) -> None: ...

    def flush(self) -> None:
        """Make everything so far visible to readers."""

    def close(self) -> None:
        """Flush and let go."""


@dataclass(frozen=True)
class Counts:
    """Frames so far: read = written + dead + skipped (control frames)."""

    read: int = 0
    written: int = 0
    dead: int = 0
    skipped: int = 0


class SourceError(OpenSeaMetricsError):
    """A recording cannot be read; the message says which and why."""


class ArchiveSink:
    """Records and dead letters into the archive under ``root``, as two topics.

    Dead letters, whose event time is not known, are filed under ``clock`` (epoch ms), by default
    the time at which they are set aside. Raises ArchiveError.
    """

    def __init__(
        self,
        root: Path,
        partitions: int = 2,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._clock = clock
        self._records = ArchiveWriter(root, envelope.TOPIC, partitions)
        try:
            self._dead = ArchiveWriter(root, envelope.DEAD_LETTER_TOPIC)
        except BaseException:
            self._records.close()
            raise

    def write(self, record: Record) -> None:
        self._records.write(record.key, record.timestamp_ms, record.value)

    def dead(self, letter: DeadLetter) -> None:
        self._dead.write(None, self._clock(), letter.value)

    def flush(self) -> None:
        self._records.flush()
        self._dead.flush()

    def close(self) -> None:
        try:
            self._records.close()
        finally:
            self._dead.close()


def replay(
    frames: Iterable[bytes],
    sink: Sink,
    *,
    speed: float | None = None,
    flush_seconds: float | None = None,
    progress: Callable[[Counts], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Counts:
    """Pass frames on to a sink, in order, and flush it at the end; the sink stays open.

    ``speed`` is a factor on the original speed, told by event times (2: twice as fast); None is as
    fast as possible. ``flush_seconds``: flush that often while frames come, so that readers see them
    soon. ``progress`` is called every few thousand frames, and at each flush. Duplicates are passed
    on as they are. Raises ValueError for a speed that is not positive.
    """
    pace = _Pace(speed, clock, sleep) if speed is not None else None
    written = dead = skipped = read = 0
    flushed = clock()
    for read, frame in enumerate(frames, 1):
        match envelope.decode(frame):
            case Record() as record:
                if pace is not None:
                    pace.wait(record.timestamp_ms)
                sink.write(record)
                written += 1
            case DeadLetter() as letter:
                sink.dead(letter)
                dead += 1
            case None:
                skipped += 1
        due = flush_seconds is not None and clock() - flushed >= flush_seconds
        if due:
            sink.flush()
            flushed = clock()
        if due or read % _PROGRESS_FRAMES == 0:
            progress(Counts(read, written, dead, skipped))
    sink.flush()
    counts = Counts(read, written, dead, skipped)
    progress(counts)
    return counts


@dataclass
class _Pace:
    """Waits so that event time passes ``speed`` times as fast as the clock."""

    speed: float
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    _anchor: tuple[int, float] | None = field(default=None, init=False)
    _last_ms: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if not self.speed > 0:
            raise ValueError(f"speed must be positive, not {self.speed}")

    def wait(self, timestamp_ms: int) -> None:
        now = self.clock()
        if self._anchor is None or abs(timestamp_ms - self._last_ms) > _HOLE_MS:
            self._anchor = timestamp_ms, now
        self._last_ms = timestamp_ms
        first_ms, started = self._anchor
        due = started + (timestamp_ms - first_ms) / 1000 / self.speed
        if due > now:
            self.sleep(due - now)


def frames_of(path: Path) -> Iterator[bytes]:
    """The frames of a recording, one a line; gzip if its name ends in ``.gz``. Skips blank lines.

    Raises SourceError for a file that is missing, unreadable or damaged.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
            for line in file:
                if frame := line.strip():
                    yield frame
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"Cannot read {path}: {error}") from error
