"""Writes records into an archive. Files appear complete, and a topic has one writer.

A file gets its offsets when it is published: a partition's next offset is its newest file's start plus
that file's lines.
"""

from __future__ import annotations

import errno
import gzip
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from opensea_metrics.producer.archive.errors import ArchiveError, Damaged
from opensea_metrics.producer.archive.hidden_file import (
    HiddenFile,
    errors_at,
    locked,
    sync_directory,
)
from opensea_metrics.producer.archive.layout import HOUR_MS, ArchiveFile, companion_names
from opensea_metrics.producer.archive.location import Archive
from opensea_metrics.producer.archive.records import records, topic_archive, topic_files

_HOURS = "year=*/month=*/day=*/hour=*"
"""A pattern for the folders of a topic that have files."""
_CHUNK = 256 * 1024
"""Bytes of lines that are compressed at a time."""


def partition_of(key: str | None, partitions: int) -> int:
    """The partition of a key, which is the same on every machine and run. It is 0 for None."""
    return zlib.crc32(key.encode()) % partitions if key is not None else 0


class ArchiveWriter:
    """Writes one topic into an archive.

    A file is published, by a rename, when it has ``roll`` records or ``roll_bytes`` (before compression).
    :meth:`flush` and :meth:`close` publish all files. When more than ``max_open`` files are open, the one
    opened first is published. Records that were not published when the process dies are lost, and the next
    writer deletes their hidden files. A topic has one writer at a time, which holds a lock. ``level`` is
    gzip's (1 is fast, 9 is small).

    All methods raise ArchiveError if the directory or disk cannot be written.
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
        self._open: dict[tuple[int, int], HiddenFile] = {}
        self._directory = root / "topics" / topic
        with errors_at(self._directory):
            self._directory.mkdir(parents=True, exist_ok=True)
            self._lock = locked(self._directory)
            for leftover in self._directory.glob(f"{_HOURS}/.*.tmp"):
                leftover.unlink()
        self._offsets = _next_offsets(root, topic)
        self._published = 0

    @property
    def published(self) -> int:
        """The number of records in the files that this writer published."""
        return self._published

    @property
    def waiting(self) -> int:
        """The number of records in files that are not published yet."""
        return sum(file.count for file in self._open.values())

    def write(self, key: str | None, timestamp_ms: int, value: bytes, keeps_key: bool = False) -> None:
        """Add a record. ``value`` is one line without line end, and the time is in the years 1970 to 9999.

        ``keeps_key`` says that the key does not follow from the value. If a file has such a record, the keys of all
        its records are written into a file of keys, as the S3 sink does.
        """
        place = timestamp_ms // HOUR_MS, partition_of(key, self._partitions)
        file = self._open.get(place) or self._start(*place)
        file.lines.append(value)
        if keeps_key and not file.keeps_keys:
            file.keeps_keys = True
            file.keys = [None] * file.count
        if file.keeps_keys:
            file.keys.append(key)
        file.count += 1
        file.size += len(value)
        file.waiting += len(value)
        if file.count >= self._roll or file.size >= self._roll_bytes:
            self._publish(place)
        elif file.waiting >= _CHUNK:
            with self._or_abandoned(place):
                file.drain()

    def flush(self) -> None:
        """Publish all records."""
        for place in sorted(self._open):
            self._publish(place)

    def close(self) -> None:
        """Publish all records, and release the topic's lock."""
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

    def _start(self, hour: int, partition: int) -> HiddenFile:
        if len(self._open) >= self._max_open:
            self._publish(next(iter(self._open)))
        moment = datetime.fromtimestamp(hour * HOUR_MS / 1000, UTC)
        directory = self._directory / moment.strftime("year=%Y/month=%m/day=%d/hour=%H")
        path = directory / f".{self._topic}+{partition}.tmp"
        with errors_at(path):
            directory.mkdir(parents=True, exist_ok=True)
            raw = open(path, "wb")  # noqa: SIM115 - open until it is published
        # The header has no name and no time, so the same records give the same bytes.
        zipped = gzip.GzipFile("", "wb", self._level, raw, mtime=0)
        file = self._open[hour, partition] = HiddenFile(path, raw, zipped)
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
            if file.keeps_keys:
                self._write_keys(final, file.keys)
            if final.exists():
                raise FileExistsError(errno.EEXIST, "File exists", str(final))
            file.path.rename(final)
            sync_directory(final.parent)
        self._offsets[partition] = offset + file.count
        self._published += file.count
        del self._open[place]

    def _write_keys(self, values: Path, keys: list[str | None]) -> None:
        """Write the file of keys, before the file of values beside it appears."""
        name, _ = companion_names(values.name, "keys")
        hidden = values.with_name(f".{name}.tmp")
        with open(hidden, "wb") as raw:
            with gzip.GzipFile("", "wb", self._level, raw, mtime=0) as zipped:
                zipped.writelines(json.dumps(key, ensure_ascii=False).encode() + b"\n" for key in keys)
            raw.flush()
            os.fsync(raw.fileno())
        hidden.rename(values.with_name(name))

    @contextmanager
    def _or_abandoned(self, place: tuple[int, int]) -> Iterator[None]:
        """Abandon the file after an error: its content is unknown then, so it must not be published."""
        file = self._open[place]
        try:
            with errors_at(file.path):
                yield
        except ArchiveError:
            del self._open[place]
            file.abandon()
            raise


def _next_offsets(root: Path, topic: str) -> dict[int, int]:
    """Each partition's next offset. Only the newest file of a partition has to be counted."""
    newest: dict[int, ArchiveFile] = {}
    for file in topic_files(root, topic):
        if not file.is_numbered:
            continue
        known = newest.get(file.partition, file)
        newest[file.partition] = max(known, file, key=lambda candidate: (candidate.start, candidate.path))
    archive = topic_archive(root, topic)
    return {partition: _end(archive, file) for partition, file in newest.items()}


def _end(archive: Archive, file: ArchiveFile) -> int:
    """The offset after a file's last record. Raises ArchiveError for a damaged file, whose end is unknown."""
    try:
        return file.end or file.start + sum(1 for _ in records(archive, file))
    except Damaged as error:
        raise ArchiveError(
            f"{file.path} is damaged ({error}), so the next offset is unknown. Restore the file, or move it elsewhere."
        ) from error
