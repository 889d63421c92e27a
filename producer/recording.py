"""What can be replayed: a file with a frame a line, or an archive."""

from __future__ import annotations

import gzip
import hashlib
import heapq
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import msgspec

from opensea_metrics.core.errors import OpenSeaMetricsError, os_reason
from opensea_metrics.producer import archive
from opensea_metrics.producer.envelope import TOPIC, payload_time_ms


class SourceError(OpenSeaMetricsError):
    """A recording cannot be read; the message says which and why."""


class Recording:
    """Frames in the order in which they are to be replayed, and how far they are read.

    A file has a frame a line (blank lines are passed over), and is gzip if its name ends in ``.gz``.
    Of a folder with ``topics/OpenSeaRawEvents`` it is the archive's records: hour by hour, the
    partitions merged by event time, each of them in its own order. Raises SourceError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.is_dir():
            self._hours = list(archive.hours(path, TOPIC))
            if not self._hours:
                raise SourceError(f"There is no archive of {TOPIC} in {path}, only in DIR/topics/…")
        else:
            self._hours = [[[path]]]
        files = [file for hour in self._hours for partition in hour for file in partition]
        try:
            sizes = [file.stat().st_size for file in files]
        except OSError as error:
            raise SourceError(f"Cannot read {error.filename}: {os_reason(error)}") from error
        self.total_bytes = sum(sizes)
        self.read_bytes = 0
        seen = "\n".join(f"{file}\t{size}" for file, size in zip(files, sizes, strict=True))
        self.fingerprint = hashlib.sha256(seen.encode()).hexdigest()
        """Changes when a file is added, taken away, or of another size."""

    def frames(self) -> Iterator[bytes]:
        """The frames, from the first on."""
        self.read_bytes = 0
        for hour in self._hours:
            partitions = [chain.from_iterable(map(self._frames_of, files)) for files in hour]
            if len(partitions) == 1:
                yield from partitions[0]
            else:
                yield from heapq.merge(*partitions, key=_event_time)

    def _frames_of(self, path: Path) -> Iterator[bytes]:
        before = 0
        if path.suffix == ".parquet":
            yield from _compacted_frames(path)
            self.read_bytes += path.stat().st_size
            return
        try:
            with open(path, "rb") as raw:
                lines: BinaryIO = raw
                if path.suffix == ".gz":
                    lines = gzip.GzipFile(fileobj=raw)  # type: ignore[assignment]
                for line in lines:
                    position = raw.tell() if lines is not raw else before + len(line)
                    self.read_bytes += position - before
                    before = position
                    if frame := line.strip():
                        yield frame
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(f"Cannot read {path}: {error}") from error


def _compacted_frames(path: Path) -> Iterator[bytes]:
    try:
        yield from archive.lines_of(path)
    except archive.ArchiveError as error:
        raise SourceError(str(error)) from error


class _Time(msgspec.Struct):
    event_time: int | None = None


_decode_time = msgspec.json.Decoder(_Time).decode


def _event_time(line: bytes) -> int:
    try:
        time = _decode_time(line).event_time
    except (msgspec.DecodeError, RecursionError):
        return 0
    return time if time is not None else payload_time_ms(line) or 0


@dataclass(frozen=True)
class Span:
    """The earliest and latest event time (epoch ms) in a recording."""

    first_ms: int
    last_ms: int


class Position(msgspec.Struct, frozen=True):
    """Where a replay stopped: that many frames of a recording are safe in the sink."""

    source: str
    target: str
    fingerprint: str
    frames: int
    shift_ms: int


class Bookmark:
    """The position of the replay of one recording into one target, in a file in ``directory``."""

    def __init__(self, directory: Path, recording: Recording, target: str) -> None:
        self._recording = recording
        self._source, self._target = str(recording.path.resolve()), target
        name = hashlib.sha256(f"{self._source}\n{target}".encode()).hexdigest()[:16]
        self._path = directory / f"{recording.path.name}-{name}.json"

    def load(self) -> Position | None:
        """The position that was saved, if any. Raises SourceError if the recording has changed."""
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=Position)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise SourceError(f"{self._path} is damaged ({error}): delete it.") from error
        if found.fingerprint != self._recording.fingerprint:
            raise SourceError(
                f"{self._recording.path} has changed since its replay stopped, so it cannot go on: "
                "replay it from the start, without --resume."
            )
        return found

    def save(self, frames: int, shift_ms: int) -> None:
        """Remember a position, atomically."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        made = Position(self._source, self._target, self._recording.fingerprint, frames, shift_ms)
        temporary = self._path.with_suffix(".tmp")
        temporary.write_bytes(msgspec.json.encode(made))
        temporary.replace(self._path)

    def clear(self) -> None:
        """Forget the position."""
        self._path.unlink(missing_ok=True)
