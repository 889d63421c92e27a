"""Sinks take the producer's records: the protocol, the archive as a sink, and a file for undelivered records."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.producer import envelope
from opensea_metrics.producer.archive.writer import ArchiveWriter
from opensea_metrics.producer.envelope import DeadLetter, Record


class SinkError(OpenSeaMetricsError):
    """A sink cannot continue. The message says what to do, and where the undelivered records are."""


class Sink(Protocol):
    """Takes records in order, stores them safely later, and counts the safe ones.

    Only one thread uses a sink. Every method may raise the sink's own error, which ends the run.
    """

    @property
    def delivered(self) -> int:
        """The number of records and dead letters that are safe: acknowledged or published."""

    @property
    def queued(self) -> int:
        """The number of records and dead letters that were taken and are not safe yet."""

    @property
    def dead_letters(self) -> int:
        """The number of dead letters that were taken, including records that the sink turned into dead letters."""

    def write(self, record: Record) -> bool:
        """Take a record. False if there is no room and the record was not taken: try again later."""

    def dead(self, letter: DeadLetter) -> bool:
        """Take a dead letter. Returns False under the same conditions as :meth:`write`."""

    def poll(self) -> None:
        """Do work that is due: process acknowledgements, publish a file. Called many times a second."""

    def flush(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds until all records are safe, and return whether they are."""

    def give_up(self) -> None:
        """Stop waiting. Set aside the records that are not delivered, and all that are written later."""

    def close(self, timeout: float = 30.0) -> None:
        """Flush for up to ``timeout`` seconds, give up on the rest, and close the sink."""


def now_ms() -> int:
    """The time in epoch milliseconds."""
    return time.time_ns() // 1_000_000


class ArchiveSink:
    """Writes records and dead letters into the archive under ``root``, as two topics.

    Files are published when they are large (see ArchiveWriter), every ``roll_seconds`` if given, and by
    :meth:`flush`. A dead letter has no event time, so its file's hour comes from ``clock`` (epoch ms), which
    by default is the time now. Raises ArchiveError.
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
        self._records.write(record.key, record.timestamp_ms, record.value, record.has_own_key)
        return True

    def dead(self, letter: DeadLetter) -> bool:
        self._dead.write(None, self._clock(), letter.value)
        return True

    def poll(self) -> None:
        seconds = self._roll_seconds
        if seconds is not None and time.monotonic() - self._flushed >= seconds:
            self.flush()

    def flush(self, timeout: float = 0.0) -> bool:
        """Publish all records. A disk needs no waiting, so ``timeout`` has no effect."""
        self._flushed = time.monotonic()
        self._records.flush()
        self._dead.flush()
        return True

    def give_up(self) -> None:
        """Do nothing, because a write that fails raises at once."""

    def close(self, timeout: float = 30.0) -> None:
        try:
            self._records.close()
        finally:
            self._dead.close()


class Undelivered:
    """A file for records that a sink could not deliver, one per line. It can be replayed.

    The first record creates it.
    """

    def __init__(self, directory: Path) -> None:
        name = f"undelivered-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.ndjson.gz"
        self.path = directory / name
        self.count = 0
        self.reason: str | None = None
        self._file: gzip.GzipFile | None = None

    def add(self, value: bytes) -> None:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = gzip.open(self.path, "wb", 1)  # noqa: SIM115 - open until close()
        self._file.write(value + b"\n")
        self.count += 1

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
