"""Where records go: the protocol of a sink, and the archive as one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.producer import envelope
from opensea_metrics.producer.archive_writer import ArchiveWriter
from opensea_metrics.producer.envelope import DeadLetter, Record


class SinkError(OpenSeaMetricsError):
    """A sink cannot go on; the message says what to do, and where what it held is."""


class Sink(Protocol):
    """Takes records in order, makes them safe in its own time, and says how many are.

    One thread uses a sink. Every method may raise the sink's own error, which ends the run.
    """

    @property
    def delivered(self) -> int:
        """Records and dead letters that are safe: acknowledged, or published."""

    @property
    def queued(self) -> int:
        """Records and dead letters that were taken and are not safe yet."""

    @property
    def dead_letters(self) -> int:
        """Dead letters that were taken, those among them that the sink made of records itself."""

    def write(self, record: Record) -> bool:
        """Take a record; False if there is no room: it was not taken, try again after a while."""

    def dead(self, letter: DeadLetter) -> bool:
        """Take a dead letter; False as for :meth:`write`."""

    def poll(self) -> None:
        """Do what is due: take in acknowledgements, publish a file. Called many times a second."""

    def flush(self, timeout: float) -> bool:
        """Wait, up to ``timeout`` seconds, until all that was taken is safe; whether it is."""

    def give_up(self) -> None:
        """Wait no longer: put aside what cannot be delivered, and whatever is written from now on."""

    def close(self, timeout: float = 30.0) -> None:
        """Flush within a time in seconds, give up on the rest, and let go."""


def now_ms() -> int:
    """The time in epoch milliseconds."""
    return time.time_ns() // 1_000_000


class ArchiveSink:
    """Records and dead letters into the archive under ``root``, as two topics.

    Files are published when they are large (see ArchiveWriter), every ``roll_seconds`` if given, and
    by :meth:`flush`. Dead letters, whose event time is not known, are filed under ``clock`` (epoch
    ms), by default the time at which they are set aside. Raises ArchiveError.
    """

    def __init__(
        self,
        root: Path,
        partitions: int = 2,
        clock: Callable[[], int] = now_ms,
        roll_seconds: float | None = None,
    ) -> None:
        self._clock = clock
        self._roll_seconds = roll_seconds
        self._flushed = time.monotonic()
        self._records = ArchiveWriter(root, envelope.TOPIC, partitions)
        try:
            self._dead = ArchiveWriter(root, envelope.DEAD_LETTER_TOPIC)
        except BaseException:
            self._records.close()
            raise

    @property
    def delivered(self) -> int:
        return self._records.published + self._dead.published

    @property
    def queued(self) -> int:
        return self._records.waiting + self._dead.waiting

    @property
    def dead_letters(self) -> int:
        return self._dead.published + self._dead.waiting

    def write(self, record: Record) -> bool:
        self._records.write(record.key, record.timestamp_ms, record.value)
        return True

    def dead(self, letter: DeadLetter) -> bool:
        self._dead.write(None, self._clock(), letter.value)
        return True

    def poll(self) -> None:
        seconds = self._roll_seconds
        if seconds is not None and time.monotonic() - self._flushed >= seconds:
            self.flush()

    def flush(self, timeout: float = 0.0) -> bool:
        """Publish everything; a disk is not waited for, so the time does not matter."""
        self._flushed = time.monotonic()
        self._records.flush()
        self._dead.flush()
        return True

    def give_up(self) -> None:
        """Nothing to do: an archive that cannot be written raises at once."""

    def close(self, timeout: float = 30.0) -> None:
        try:
            self._records.close()
        finally:
            self._dead.close()
