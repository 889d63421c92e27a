"""The lines of archive files, as a stream of Arrow batches that never holds more than a few megabytes.

DuckDB does not read the files itself. It would treat names as patterns, miss some damage, and fail completely if
one file cannot be read. A file that cannot be read to its end stays *unread*. The query remembers how far it has
read, and reads the rest after the file has changed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from opensea_metrics.core.errors import os_reason
from opensea_metrics.deploy.embedded.archive import Read, Segment, tail
from opensea_metrics.deploy.embedded.compaction import CompactedTexts, covering
from opensea_metrics.deploy.embedded.companions import HEADERS, Companions
from opensea_metrics.deploy.embedded.processing_log import Report
from opensea_metrics.producer.archive import listing, paths, text
from opensea_metrics.producer.archive.errors import Damaged, NoNewline, NotGzip, TextChanged
from opensea_metrics.producer.archive.lines import short_lines, split
from opensea_metrics.producer.archive.text import LINE_LIMIT, DescriptorReader, TextPosition
from opensea_metrics.sql.language.lowering.records.capitals import Capitals

_ROWS = 2_048
"""Rows in a batch: as many as DuckDB processes at a time."""
_VIEW = "python_lines"
_SCHEMA = pa.schema(
    [
        ("line", pa.large_string()),
        ("path", pa.dictionary(pa.int16(), pa.string())),
        ("ROWPARTITION", pa.int32()),
        ("ROWOFFSET", pa.int64()),
        ("key", pa.string()),
        ("headers", HEADERS),
    ]
)
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

    The query has read the lines in the first ``taken`` bytes of the text, whose CRC is ``checksum``.
    ``tried`` was the file's :func:`state` at that time, and ``why`` is the reason.
    """

    seq: int
    taken: int
    checksum: int
    tried: int
    why: Why


class FileLines:
    """The lines of some segments of a topic. :meth:`relation` may be called several times.

    After a relation has been read to its end, ``unread`` has the segments that were not read to their end. ``read``
    has the compressed files that were read to their end for the first time. ``reports`` has the problems that users
    should know about.
    """

    def __init__(
        self, root: Path, topic: str, segments: Sequence[Segment], before: Iterable[Unread] = ()
    ) -> None:
        """``before``: how far a query has read these segments before. Their rest is read now."""
        self._root = root
        self._topic = topic
        self._segments = segments
        self._before = {item.seq: item for item in before}
        self._compacted = CompactedTexts()
        self._restart()

    def relation(self, cursor: duckdb.DuckDBPyConnection, names: Capitals) -> str:
        """A relation of the lines, which can be read once.

        Its columns are ``line``, ``path``, ROWPARTITION, ROWOFFSET, ``key`` (as JSON), ``headers``, and ``_odd``:
        whether ``names`` matches the line.
        """
        self._restart()
        batches = (_flagged(batch, names) for batch in self._batches())
        cursor.register(_VIEW, pa.RecordBatchReader.from_batches(_FLAGGED, batches))
        return f"SELECT line, path, ROWPARTITION, ROWOFFSET, key, headers, _odd FROM {_VIEW}"

    def sample(self, most: int) -> str:
        """The first ``most`` bytes of the first segment's text, as far as they can be read."""
        if not self._segments:
            return ""
        segment = self._segments[0]
        path = str(self._root / self._topic / segment.path)
        head = b""
        with suppress(OSError, Damaged, TextChanged), _opened(self._root, path, {}) as opened:
            for block in self._texts(segment, path, *opened):
                head += block
                if len(head) >= most:
                    break
        return head[:most].decode("utf-8", "replace")

    @property
    def paths(self) -> Iterator[str]:
        """The files of the segments, as reports name them."""
        return (str(self._root / self._topic / segment.path) for segment in self._segments)

    @property
    def outcome(self) -> Mapping[int, Unread | None]:
        """The segments that were unread before or are unread now. None for a segment that is read to its end now.

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
        partitions: list[pa.Array] = []
        offsets: list[pa.Array] = []
        keys: list[pa.Array] = []
        headers: list[pa.Array] = []
        rows = 0
        companions = Companions(self._root, self._topic, lambda reason, path: self.reports.append(Report(reason, path)))
        for segment in self._segments:
            path = str(self._root / self._topic / segment.path)
            for first, block in self._blocks(segment, path):
                for start, lines in short_lines(split(block), self._too_long(path)):
                    waiting.append(lines)
                    paths.append(_repeated(path, len(lines)))
                    partitions.append(pa.repeat(pa.scalar(segment.partition, pa.int32()), len(lines)))
                    offsets.append(pa.array(np.arange(first + start, first + start + len(lines)), pa.int64()))
                    key, header = companions.of(path, first + start, len(lines))
                    keys.append(key)
                    headers.append(header)
                    rows += len(lines)
                if rows >= _ROWS:
                    whole = _joined(waiting, paths, partitions, offsets, keys, headers)
                    full = rows - rows % _ROWS
                    for start in range(0, full, _ROWS):
                        yield whole.slice(start, _ROWS)
                    rest = whole.slice(full)
                    waiting, paths, partitions, offsets, keys, headers = ([column] for column in rest.columns)
                    rows = len(rest)
        if rows:
            yield _joined(waiting, paths, partitions, offsets, keys, headers)
        self._is_done = True

    def _blocks(self, segment: Segment, path: str) -> Iterator[tuple[int, bytes]]:
        """The complete lines of a segment, with the offset of the first line. Updates ``unread`` and ``read``."""
        before = self._before.get(segment.seq)
        at = TextPosition(before.taken, before.checksum) if before else TextPosition()
        tried = 0
        counted = _Counted(before.taken if before else 0)
        try:
            with _opened(self._root, path, self._folders) as (descriptor, is_original):
                status = os.fstat(descriptor)
                tried = _state(status)
                texts = self._texts(segment, path, descriptor, is_original)
                if before:
                    texts = text.skipped(counted.beginning(texts), before.taken, before.checksum)
                blocks = text.whole_lines(texts, segment.is_compressed, self._too_long(path), at)
                if segment.start == at.taken == 0:
                    blocks = text.without_mark(blocks)
                # Before the text is read, so that the tail differs if the file is overwritten meanwhile.
                last = None
                if is_original and segment.is_compressed and not segment.is_read:
                    with suppress(OSError):  # the lines before an unreadable place are still read
                        last = tail(descriptor, status.st_size)
                for block in blocks:
                    yield segment.first + counted.lines, block
                    counted.lines += block.count(b"\n") + (not block.endswith(b"\n"))
                if last is not None:
                    place = segment.partition, segment.first, segment.end
                    read = Read(segment.seq, segment.path, status.st_size, last, counted.lines, *place)
                    self.read.append(read)
        except OSError as error:
            tried = -(error.errno or errno.EIO)
            why, reason = Why.UNREADABLE, f"cannot read this file: {os_reason(error)}"
        except NotGzip:
            why, reason = Why.NOT_GZIP, "this file is not gzip, although its name ends with .gz"
        except (NoNewline, TextChanged):
            why, reason = Why.CHANGED, "this file has changed since a part of it was read"
        except Damaged as error:
            why, reason = Why.DAMAGED, f"this file is damaged: {error}"
        else:
            return
        if why in (Why.NOT_GZIP, Why.DAMAGED) and tried & 1:
            why = Why.GROWING
        self.unread[segment.seq] = Unread(segment.seq, at.taken, at.checksum, tried, why)
        if why is not Why.GROWING and (before is None or before.why is not why):
            reason += f"; {_WHEN[why]}"
            self.reports.append(Report(reason, path))

    def _texts(self, segment: Segment, path: str, descriptor: int, is_original: bool) -> Iterator[bytes]:
        if not is_original:
            return self._compacted.text(descriptor, os.path.basename(path), segment.start, segment.end)
        raw = DescriptorReader(descriptor)
        if segment.is_compressed:
            return text.unpacked(raw)
        return text.plain(raw, segment.start, segment.end)

    def _too_long(self, path: str) -> Callable[[bytes], None]:
        def report(head: bytes) -> None:
            reason = f"the line is longer than {LINE_LIMIT:,} bytes"
            self.reports.append(Report(reason, path, head[: text.HEAD]))

        return report


class _Counted:
    """Counts the lines of a segment that were read. ``taken`` bytes of the segment had been read before."""

    def __init__(self, taken: int) -> None:
        self.lines = 0
        self._taken = taken

    def beginning(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """The same blocks. Counts the lines in the bytes that had been read before."""
        rest = self._taken
        for block in blocks:
            self.lines += block[:rest].count(b"\n") if rest else 0
            rest = max(0, rest - len(block))
            yield block


_WHEN = {
    Why.UNREADABLE: "the server reads it as soon as this is possible",
    Why.DAMAGED: "the server has read the records before the damage, and reads the others once the file is repaired",
    Why.NOT_GZIP: "compress it, or rename it to .json",
    Why.CHANGED: "the server reads the rest if the file gets its old content back",
}


def state(root: Path, topic: str, segment: Segment) -> int:
    """A number for the state of a segment's file. If it has changed, reading the file again may succeed.

    It is negative if the file cannot be read.
    """
    try:
        with _opened(root, str(root / topic / segment.path), {}) as (descriptor, _):
            os.pread(descriptor, 1, 0)
            return _state(os.fstat(descriptor))
    except OSError as error:
        return -(error.errno or errno.EIO)


def _state(status: os.stat_result) -> int:
    """A number for the state of a file. It is odd as long as the file may be incomplete."""
    is_growing = not listing.is_settled(status.st_mtime)
    signs = hash((status.st_size, status.st_mtime_ns, status.st_ino))
    return (signs & 0x3FFF_FFFF_FFFF_FFFF) << 1 | is_growing


@contextmanager
def _opened(root: Path, path: str, folders: dict[str, str | None]) -> Iterator[tuple[int, bool]]:
    """Open a file that is within ``root`` after links are followed.

    Yields a descriptor, and whether it belongs to the file itself. If the file is gone, it belongs to the compacted
    file that has the file's records. ``folders`` remembers why a folder is refused. Raises OSError.
    """
    folder = os.path.dirname(path)
    if folder not in folders:
        folders[folder] = paths.outside(root, folder)
    if reason := folders[folder] or (paths.outside(root, path) if os.path.islink(path) else None):
        raise OSError(errno.EXDEV, reason)
    with ExitStack() as stack:
        try:
            opened = stack.enter_context(paths.opened(path)), True
        except FileNotFoundError:
            if (other := covering(path)) is None or os.path.islink(other):
                raise
            opened = stack.enter_context(paths.opened(other)), False
        yield opened


def _repeated(path: str, count: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int16()), count), pa.array([path]))


def _flagged(batch: pa.RecordBatch, names: Capitals) -> pa.RecordBatch:
    odd = pa.py_buffer(np.packbits(names.of(batch["line"]), bitorder="little"))
    flags = pa.BooleanArray.from_buffers(pa.bool_(), len(batch), [None, odd])
    return pa.record_batch([*batch.columns, flags], _FLAGGED)


def _joined(*columns: list[pa.Array]) -> pa.RecordBatch:
    return pa.record_batch([pa.concat_arrays(parts) for parts in columns], _SCHEMA)
