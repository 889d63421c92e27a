"""The lines of archive files, as a stream of Arrow batches that never holds more than a few megabytes.

DuckDB does not read the files itself: it takes names for patterns, does not notice some damage, and fails
as a whole where one file cannot be read. A file that cannot be read to its end stays *unread*: the query keeps
how far it came, and reads the rest when the file has changed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from opensea_metrics.core.errors import os_reason
from opensea_metrics.deploy.embedded import texts, walk
from opensea_metrics.deploy.embedded.archive import Read, Segment, tail
from opensea_metrics.deploy.embedded.processing_log import Report
from opensea_metrics.deploy.embedded.texts import LINE_LIMIT
from opensea_metrics.sql.language.lowering.records import utf8
from opensea_metrics.sql.language.lowering.records.capitals import Capitals

_ROWS = 2_048
"""In a batch: as many as DuckDB works on at a time."""
_VIEW = "python_lines"
_SCHEMA = pa.schema([("line", pa.large_string()), ("path", pa.dictionary(pa.int16(), pa.string()))])
_FLAGGED = _SCHEMA.append(pa.field("_odd", pa.bool_()))


class Why(StrEnum):
    """Why a file was not read to its end."""

    GROWING = "growing"
    UNREADABLE = "unreadable"
    DAMAGED = "damaged"
    NOT_GZIP = "not gzip"
    CHANGED = "changed"


@dataclass(frozen=True)
class Unread:
    """A segment that a query has not read to its end.

    The query has read the lines in the first ``taken`` bytes of its text, whose CRC is ``checksum``.
    ``tried`` is the file's :func:`state` then, ``why`` the reason.
    """

    seq: int
    taken: int
    checksum: int
    tried: int
    why: Why


class FileLines:
    """The lines of some segments of a topic. :meth:`relation` may be called several times.

    When a relation has been read to its end, ``unread`` has the segments that were not read to theirs,
    ``read`` the compressed files that were for the first time, ``reports`` what users should know.
    """

    def __init__(
        self, root: Path, topic: str, segments: Sequence[Segment], before: Iterable[Unread] = ()
    ) -> None:
        """``before`` is what a query has left of these segments, whose rest is read now."""
        self._root = root
        self._topic = topic
        self._segments = segments
        self._before = {item.seq: item for item in before}
        self._restart()

    def relation(self, cursor: duckdb.DuckDBPyConnection, names: Capitals) -> str:
        """A relation of ``line``, ``path``, and ``_odd``, whether ``names`` finds the line, that can be read
        once."""
        self._restart()
        batches = (_flagged(batch, names) for batch in self._batches())
        cursor.register(_VIEW, pa.RecordBatchReader.from_batches(_FLAGGED, batches))
        return f"SELECT line, path, _odd FROM {_VIEW}"

    @property
    def paths(self) -> Iterator[str]:
        """The files of the segments, as reports name them."""
        return (str(self._root / self._topic / segment.path) for segment in self._segments)

    @property
    def outcome(self) -> Mapping[int, Unread | None]:
        """What has become of the segments that were left or are left now: None if read to the end.

        Raises RuntimeError if the relation was not read to its end.
        """
        if not self._is_done:
            raise RuntimeError("the lines of files have not all been read")
        return {**dict.fromkeys(self._before), **self.unread}

    def _restart(self) -> None:
        self.unread: dict[int, Unread] = {}
        self.read: list[Read] = []
        self.reports: list[Report] = []
        self._is_done = False
        self._folders: dict[str, str | None] = {}

    def _batches(self) -> Iterator[pa.RecordBatch]:
        waiting: list[pa.Array] = []
        paths: list[pa.Array] = []
        rows = 0
        for segment in self._segments:
            path = str(self._root / self._topic / segment.path)
            for block in self._blocks(segment, path):
                lines = self._short_enough(_split(block), path)
                waiting.append(lines)
                paths.append(_repeated(path, len(lines)))
                rows += len(lines)
                if rows >= _ROWS:
                    whole = _joined(waiting, paths)
                    full = rows - rows % _ROWS
                    for start in range(0, full, _ROWS):
                        yield whole.slice(start, _ROWS)
                    rest = whole.slice(full)
                    waiting, paths, rows = [rest["line"]], [rest["path"]], len(rest)
        if rows:
            yield _joined(waiting, paths)
        self._is_done = True

    def _blocks(self, segment: Segment, path: str) -> Iterator[bytes]:
        """The whole lines of a segment; notes what has become of it."""
        before = self._before.get(segment.seq)
        at = texts.Place(before.taken, before.checksum) if before else texts.Place()
        tried = 0
        try:
            with _opened(self._root, path, self._folders) as descriptor:
                status = os.fstat(descriptor)
                tried = _state(status)
                found = (
                    texts.unpacked(descriptor)
                    if segment.is_compressed
                    else texts.plain(descriptor, segment.start, segment.end)
                )
                if before:
                    found = texts.skipped(found, before.taken, before.checksum)
                blocks = texts.whole_lines(found, at, segment.is_compressed, self._too_long(path))
                if segment.start == at.taken == 0:
                    blocks = texts.without_mark(blocks)
                # Before its text is read: what is written over the file meanwhile has another tail.
                last = None
                if segment.is_compressed and not segment.is_read:
                    with suppress(OSError):  # what comes before a place that cannot be read is read
                        last = tail(descriptor, status.st_size)
                yield from blocks
                if last is not None:
                    self.read.append(Read(segment.seq, segment.path, status.st_size, last))
        except OSError as error:
            tried = -(error.errno or errno.EIO)
            why, reason = Why.UNREADABLE, f"cannot read this file: {os_reason(error)}"
        except texts.NotGzip:
            why, reason = Why.NOT_GZIP, "this file is not gzip, although its name ends with .gz"
        except texts.Damaged as error:
            why, reason = Why.DAMAGED, f"this file is damaged: {error}"
        except texts.Changed:
            why, reason = Why.CHANGED, "this file has changed since a part of it was read"
        else:
            return
        if why in (Why.NOT_GZIP, Why.DAMAGED) and tried & 1:
            why = Why.GROWING
        self.unread[segment.seq] = Unread(segment.seq, at.taken, at.checksum, tried, why)
        if why is not Why.GROWING and (before is None or before.why is not why):
            reason += f"; {_WHEN[why]}"
            self.reports.append(Report(reason, path))

    def _too_long(self, path: str) -> Callable[[bytes], None]:
        def report(head: bytes) -> None:
            reason = f"the line is longer than {LINE_LIMIT:,} bytes"
            self.reports.append(Report(reason, path, head[:texts.HEAD]))

        return report

    def _short_enough(self, lines: pa.Array, path: str) -> pa.Array:
        lengths = pc.binary_length(lines)
        if (pc.max(lengths).as_py() or 0) <= LINE_LIMIT:
            return lines
        is_long = pc.greater(lengths, LINE_LIMIT)
        for line in lines.filter(is_long):
            self._too_long(path)(line.as_buffer().slice(0, texts.HEAD).to_pybytes())
        return lines.filter(pc.invert(is_long))


_WHEN = {
    Why.UNREADABLE: "the server reads it when it can be read",
    Why.DAMAGED: "the server has read the records before the damage, and reads the others when the file is whole",
    Why.NOT_GZIP: "compress it, or rename it to .json",
    Why.CHANGED: "the server reads the rest if the file gets its old content back",
}


def state(root: Path, topic: str, segment: Segment) -> int:
    """A number for the state of a segment's file: reading it again may go better if that has changed.

    It is negative if the file cannot be read.
    """
    try:
        with _opened(root, str(root / topic / segment.path), {}) as descriptor:
            os.pread(descriptor, 1, 0)
            return _state(os.fstat(descriptor))
    except OSError as error:
        return -(error.errno or errno.EIO)


def _state(status: os.stat_result) -> int:
    """An odd number as long as the file may be half written."""
    is_growing = not walk.is_settled(status.st_mtime)
    signs = hash((status.st_size, status.st_mtime_ns, status.st_ino))
    return (signs & 0x3FFF_FFFF_FFFF_FFFF) << 1 | is_growing


@contextmanager
def _opened(root: Path, path: str, folders: dict[str, str | None]) -> Iterator[int]:
    """A descriptor of a file that is within ``root``, also when links are followed.

    ``folders`` remembers why a folder is refused. Raises OSError.
    """
    folder = os.path.dirname(path)
    if folder not in folders:
        folders[folder] = walk.outside(root, folder)
    if reason := folders[folder] or (walk.outside(root, path) if os.path.islink(path) else None):
        raise OSError(errno.EXDEV, reason)
    with walk.opened(path) as descriptor:
        yield descriptor


def _split(block: bytes) -> pa.LargeStringArray:
    """The lines of a block without their ends. Blank lines are left out. What is not UTF-8 is written otherwise
    (``sql.language.lowering.records.utf8``)."""
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n")
    if b"\0" in block:
        block = block.replace(b"\0", utf8.REFUSED.encode())
    try:
        text = pa.array([block], pa.large_binary()).cast(pa.large_string())
    except pa.ArrowInvalid:
        text = pa.array([utf8.decoded(block)], pa.large_string())
    lines = pc.split_pattern(text, "\n").flatten()
    lines = lines[:-1] if block.endswith(b"\n") else lines
    lengths = pc.binary_length(lines)
    return lines if pc.min(lengths).as_py() else lines.filter(pc.greater(lengths, 0))


def _repeated(path: str, count: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int16()), count), pa.array([path]))


def _flagged(batch: pa.RecordBatch, names: Capitals) -> pa.RecordBatch:
    odd = pa.py_buffer(np.packbits(names.of(batch["line"]), bitorder="little"))
    flags = pa.BooleanArray.from_buffers(pa.bool_(), len(batch), [None, odd])
    return pa.record_batch([*batch.columns, flags], _FLAGGED)


def _joined(lines: list[pa.Array], paths: list[pa.Array]) -> pa.RecordBatch:
    return pa.record_batch([pa.concat_arrays(lines), pa.concat_arrays(paths)], _SCHEMA)
