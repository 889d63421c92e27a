"""Records into an archive: files that appear whole, one writer a topic.

Offsets are given when a file is published: a partition's next offset is its newest file's start plus
that file's lines.
"""

from __future__ import annotations

import errno
import fcntl
import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from opensea_metrics.core.errors import os_reason
from opensea_metrics.producer.archive import HOURS, ArchiveError, lines_of, published
from opensea_metrics.producer.layout import HOUR_MS, ArchiveFile

_CHUNK = 256 * 1024
"""Bytes of lines that are compressed at a time."""


def partition_of(key: str | None, partitions: int) -> int:
    """The partition of a key: the same on every machine and run; 0 for None."""
    return zlib.crc32(key.encode()) % partitions if key is not None else 0


@dataclass
class _OpenFile:
    """A file in the making; ``lines`` wait until there are enough to compress."""

    path: Path
    raw: BinaryIO
    zipped: gzip.GzipFile
    count: int = 0
    size: int = 0
    waiting: int = 0
    lines: list[bytes] = field(default_factory=list)

    def drain(self) -> None:
        self.lines.append(b"")
        self.zipped.write(b"\n".join(self.lines))
        self.lines.clear()
        self.waiting = 0

    def abandon(self) -> None:
        """Close and remove the file, whatever state it is in."""
        with suppress(OSError):
            self.zipped.close()
        with suppress(OSError):
            self.raw.close()
        with suppress(OSError):
            self.path.unlink()


class ArchiveWriter:
    """Writes one topic into an archive.

    A file becomes visible whole, by a rename: when it has ``roll`` records or ``roll_bytes`` (before
    compression), when more than ``max_open`` are open (the one opened first goes), at :meth:`flush`
    and at :meth:`close`. What
    was not published when the process dies is lost, and its hidden files are removed by the next
    writer. A topic has one writer at a time, which holds a lock. ``level`` is gzip's (1 is fast, 9
    small).

    All methods raise ArchiveError if the directory or disk does not allow it.
    """

    def __init__(
        self,
        root: Path,
        topic: str,
        partitions: int = 1,
        roll: int = 50_000,
        level: int = 1,
        max_open: int = 64,
        roll_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self._topic = topic
        self._partitions = partitions
        self._roll = roll
        self._roll_bytes = roll_bytes
        self._level = level
        self._max_open = max_open
        self._open: dict[tuple[int, int], _OpenFile] = {}
        self._directory = root / "topics" / topic
        with _errors_at(self._directory):
            self._directory.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self._directory)
            for leftover in self._directory.glob(f"{HOURS}/.*.tmp"):
                leftover.unlink()
        self._offsets = _next_offsets(root, topic)
        self._published = 0

    @property
    def published(self) -> int:
        """Records that are in published files, of those that this writer was given."""
        return self._published

    @property
    def waiting(self) -> int:
        """Records in files that are not published yet."""
        return sum(file.count for file in self._open.values())

    def write(self, key: str | None, timestamp_ms: int, value: bytes) -> None:
        """Add a record: ``value`` is one line without its end, the time in years 1970 to 9999."""
        place = timestamp_ms // HOUR_MS, partition_of(key, self._partitions)
        file = self._open.get(place) or self._start(*place)
        file.lines.append(value)
        file.count += 1
        file.size += len(value)
        file.waiting += len(value)
        if file.count >= self._roll or file.size >= self._roll_bytes:
            self._publish(place)
        elif file.waiting >= _CHUNK:
            with self._or_abandoned(place):
                file.drain()

    def flush(self) -> None:
        """Publish all that was written."""
        for place in sorted(self._open):
            self._publish(place)

    def close(self) -> None:
        """Publish all that was written, and let the topic go to another writer."""
        try:
            self.flush()
        finally:
            for file in self._open.values():  # those that could not be published
                file.abandon()
            self._open.clear()
            self._lock.close()

    def __enter__(self) -> ArchiveWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, hour: int, partition: int) -> _OpenFile:
        if len(self._open) >= self._max_open:
            self._publish(next(iter(self._open)))
        moment = datetime.fromtimestamp(hour * HOUR_MS / 1000, UTC)
        directory = self._directory / moment.strftime("year=%Y/month=%m/day=%d/hour=%H")
        path = directory / f".{self._topic}+{partition}.tmp"
        with _errors_at(path):
            directory.mkdir(parents=True, exist_ok=True)
            raw = open(path, "wb")  # noqa: SIM115 - open until it is published
        # Neither a name nor a time in the header: the same records give the same bytes.
        zipped = gzip.GzipFile("", "wb", self._level, raw, mtime=0)
        file = self._open[hour, partition] = _OpenFile(path, raw, zipped)
        return file

    def _publish(self, place: tuple[int, int]) -> None:
        file = self._open[place]
        partition = place[1]
        offset = self._offsets.get(partition, 0)
        final = file.path.with_name(f"{self._topic}+{partition}+{offset:010d}.json.gz")
        with self._or_abandoned(place):
            file.drain()
            file.zipped.close()
            file.raw.flush()
            os.fsync(file.raw.fileno())
            file.raw.close()
            if final.exists():
                raise FileExistsError(errno.EEXIST, "File exists", str(final))
            file.path.rename(final)
            _sync_directory(final.parent)
        self._offsets[partition] = offset + file.count
        self._published += file.count
        del self._open[place]

    @contextmanager
    def _or_abandoned(self, place: tuple[int, int]) -> Iterator[None]:
        """After an error nobody knows what is in a file: it must not be published later."""
        file = self._open[place]
        try:
            with _errors_at(file.path):
                yield
        except ArchiveError:
            del self._open[place]
            file.abandon()
            raise


def _next_offsets(root: Path, topic: str) -> dict[int, int]:
    """Each partition's records so far: only its newest file has to be counted."""
    newest: dict[int, ArchiveFile] = {}
    for file in published(root, topic):
        known = newest.get(file.partition, file)
        newest[file.partition] = max(known, file, key=lambda each: (each.start, each.path))
    return {partition: _end(file) for partition, file in newest.items()}


def _end(file: ArchiveFile) -> int:
    """The offset after a file's last record."""
    return file.end or file.start + sum(1 for _ in lines_of(Path(file.path)))


def _locked(directory: Path) -> BinaryIO:
    """The lock of a topic's directory: held until it is closed, or the process dies."""
    lock = open(directory / ".lock", "wb")  # noqa: SIM115 - open until the writer is closed
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise ArchiveError(
            f"Another process writes into {directory}. Stop it, or choose another directory."
        ) from error
    return lock


def _sync_directory(directory: Path) -> None:
    """Make a rename last through a power cut."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _errors_at(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArchiveError(
            f"Cannot write {error.filename or path}: {os_reason(error)}. "
            "Choose a directory that can be written, with room on its disk."
        ) from error
