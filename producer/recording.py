"""Recordings, which can be replayed: a file with one frame per line, or an archive."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path

import msgspec

from opensea_metrics.core.errors import OpenSeaMetricsError, os_reason
from opensea_metrics.producer.archive.damage import Damage
from opensea_metrics.producer.archive.errors import ArchiveError, Damaged
from opensea_metrics.producer.archive.layout import ArchiveFile
from opensea_metrics.producer.archive.location import open_archive
from opensea_metrics.producer.archive.records import records, topic_archive
from opensea_metrics.producer.envelope import TOPIC, payload_time_ms

_NONE = f"There is no archive of {TOPIC} in {{}}, only in DIR/topics/…"


class RecordingError(OpenSeaMetricsError):
    """A recording cannot be read. The message says which one and why."""


class Recording:
    """The frames of a recording in the order of replay, and the progress of reading them.

    A file has one frame per line; blank lines are skipped. It is gzip if its name ends in ``.gz``. For a folder with
    ``topics/OpenSeaRawEvents``, the frames are the archive's records, hour by hour. The partitions are
    merged by event time, and the records of a partition keep their order. Raises RecordingError.

    ``damaged`` are the files that could not be read to their end so far, by path. The records before the damage and
    those of the other files are replayed. ``refused`` are files of the folder that no reader accepts.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged: dict[str, Damage] = {}
        self.refused: dict[str, str] = {}
        if path.is_dir():
            self._archive = topic_archive(path, TOPIC)
            files = self._listed()
        else:
            self._archive = open_archive(path.parent)
            form = "json.gz" if path.suffix == ".gz" else "json"
            files = [ArchiveFile(-1, 0, 0, str(path.absolute()), 0, form, is_numbered=False)]
        by_folder = (list(group) for _, group in groupby(files, lambda file: file.folder))
        self._hours = [
            [list(group) for _, group in groupby(folder, lambda file: file.partition)] for folder in by_folder
        ]
        try:
            sizes = [Path(file.path).stat().st_size for file in files]
        except OSError as error:
            named = error.filename if path.is_dir() else path
            raise RecordingError(f"Cannot read {named}: {os_reason(error)}") from error
        self.total_bytes = sum(sizes)
        self.read_bytes = 0
        seen = "\n".join(f"{file.path}\t{size}" for file, size in zip(files, sizes, strict=True))
        self.fingerprint = hashlib.sha256(seen.encode()).hexdigest()
        """A hash that changes when a file is added, is deleted, or changes its size."""

    def frames(self) -> Iterator[Frame]:
        """The frames in the order of replay. Raises RecordingError."""
        self.read_bytes = 0
        self.damaged.clear()
        for hour in self._hours:
            partitions = [chain.from_iterable(map(self._frames_of, files)) for files in hour]
            if len(partitions) == 1:
                yield from partitions[0]
            else:
                yield from heapq.merge(*partitions, key=_event_time)

    def _listed(self) -> list[ArchiveFile]:
        try:
            listing = self._archive.listing()
        except ArchiveError as error:
            raise RecordingError(f"{_NONE.format(self.path)}: {error}") from error
        self.refused = listing.refused
        files = listing.newest
        if not files:
            raise RecordingError(_NONE.format(self.path))
        return files

    def _frames_of(self, file: ArchiveFile) -> Iterator[Frame]:
        count = before = 0

        def progress(position: int) -> None:
            nonlocal before
            self.read_bytes, before = self.read_bytes + position - before, position

        try:
            for record in records(self._archive, file, progress):
                if frame := record.value.strip():
                    count += 1
                    yield frame if record.key is None else KeyedFrame(frame, record.key)
        except Damaged as error:
            self.damaged[file.path] = Damage(str(error), count)
        except ArchiveError as error:
            raise RecordingError(str(error)) from error


@dataclass(frozen=True)
class KeyedFrame:
    """A frame, with the key that its record had in the archive."""

    frame: bytes
    key: str


Frame = bytes | KeyedFrame


class _Time(msgspec.Struct):
    event_time: int | None = None


_decode_time = msgspec.json.Decoder(_Time).decode


def _event_time(frame: Frame) -> int:
    line = frame.frame if isinstance(frame, KeyedFrame) else frame
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
    """Where a replay stopped. ``frames`` is the number of frames that are safe in the sink."""

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
        """The position that was saved, if any. Raises RecordingError if the recording has changed."""
        try:
            position = msgspec.json.decode(self._path.read_bytes(), type=Position)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise RecordingError(f"{self._path} is damaged ({error}). Delete it.") from error
        if position.fingerprint != self._recording.fingerprint:
            raise RecordingError(
                f"{self._recording.path} has changed since its replay stopped, so the replay cannot resume. "
                "Replay it from the start, without --resume."
            )
        return position

    def save(self, frames: int, shift_ms: int) -> None:
        """Write a position atomically."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        position = Position(self._source, self._target, self._recording.fingerprint, frames, shift_ms)
        temporary = self._path.with_suffix(".tmp")
        temporary.write_bytes(msgspec.json.encode(position))
        temporary.replace(self._path)

    def clear(self) -> None:
        """Delete the position."""
        self._path.unlink(missing_ok=True)
