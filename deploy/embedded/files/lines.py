"""The lines of archive files, as a stream of Arrow batches that never holds more than a few megabytes.

DuckDB does not read the files itself. It would treat names as patterns, miss some damage, and fail completely if
one file cannot be read. A file that cannot be read to its end stays *unread*. The query remembers how far it has
read, and reads the rest after the file has changed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from opensea_metrics.core.errors import os_reason
from opensea_metrics.deploy.embedded.files.compaction import CompactedTexts
from opensea_metrics.deploy.embedded.files.companions import HEADERS, Companions
from opensea_metrics.deploy.embedded.files.file_look import tail
from opensea_metrics.deploy.embedded.files.line_runs import LineRun, last_lines, merged
from opensea_metrics.deploy.embedded.files.prefetch import prefetched
from opensea_metrics.deploy.embedded.files.segment_files import opened_within, state_of
from opensea_metrics.deploy.embedded.files.segments import Read, Segment
from opensea_metrics.deploy.embedded.files.unread import WHEN_IT_GOES_ON, Unread, Why
from opensea_metrics.deploy.embedded.topics.processing_log import Report
from opensea_metrics.producer.archive import text
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
        batches = prefetched(_flagged(batch, names) for batch in self._batches())
        cursor.register(_VIEW, pa.RecordBatchReader.from_batches(_FLAGGED, batches))
        return f"SELECT line, path, ROWPARTITION, ROWOFFSET, key, headers, _odd FROM {_VIEW}"

    def sample(self, most: int) -> str:
        """The first ``most`` bytes of the first segment's text, or fewer if the rest cannot be read."""
        if not self._segments:
            return ""
        segment = self._segments[0]
        path = str(self._root / self._topic / segment.path)
        head = b""
        with suppress(OSError, Damaged, TextChanged), opened_within(self._root, path, {}) as opened:
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
        """The segments that were unread before or are unread now.

        The value is None if a segment is now read to its end. Raises RuntimeError if the relation was not read to its
        end.
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
        self._companions = Companions(
            self._root, self._topic, lambda reason, path: self.reports.append(Report(reason, path))
        )

    def _batches(self) -> Iterator[pa.RecordBatch]:
        waiting: list[pa.Array] = []
        runs: list[LineRun] = []
        rows = 0
        for segment in self._segments:
            path = str(self._root / self._topic / segment.path)
            for first, block in self._blocks(segment, path):
                for start, lines in short_lines(split(block), self._too_long(path)):
                    waiting.append(lines)
                    runs.append(LineRun(path, segment.partition, first + start, len(lines)))
                    rows += len(lines)
                if rows >= _ROWS:
                    whole = self._joined(waiting, runs)
                    full = rows - rows % _ROWS
                    for start in range(0, full, _ROWS):
                        yield whole.slice(start, _ROWS)
                    rows -= full
                    waiting, runs = [whole["line"].slice(full)], last_lines(runs, rows)
        if rows:
            yield self._joined(waiting, runs)
        self._is_done = True

    def _joined(self, lines: list[pa.Array], runs: list[LineRun]) -> pa.RecordBatch:
        columns = list(zip(*(self._columns(run) for run in merged(runs)), strict=True))
        return pa.record_batch([pa.concat_arrays(parts) for parts in [lines, *columns]], _SCHEMA)

    def _columns(self, run: LineRun) -> list[pa.Array]:
        """The columns of a run of lines, except the text."""
        path = pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int16()), run.count), pa.array([run.path]))
        partition = pa.repeat(pa.scalar(run.partition, pa.int32()), run.count)
        offsets = pa.array(np.arange(run.first, run.first + run.count), pa.int64())
        return [path, partition, offsets, *self._companions.of(run.path, run.first, run.count)]

    def _blocks(self, segment: Segment, path: str) -> Iterator[tuple[int, bytes]]:
        """The complete lines of a segment, with the offset of the first line. Updates ``unread`` and ``read``."""
        before = self._before.get(segment.seq)
        at = TextPosition(before.taken, before.checksum) if before else TextPosition()
        tried = 0
        counted = _Counted(before.taken if before else 0)
        try:
            with opened_within(self._root, path, self._folders) as (descriptor, is_original):
                status = os.fstat(descriptor)
                tried = state_of(status)
                texts = self._texts(segment, path, descriptor, is_original)
                if before:
                    texts = text.skipped(counted.beginning(texts), before.taken, before.checksum)
                blocks = text.whole_lines(texts, segment.is_compressed, self._too_long(path), at)
                if segment.start == at.taken == 0:
                    blocks = text.without_mark(blocks)
                # Compute the tail before the text is read, so that it differs if the file is overwritten meanwhile.
                last = None
                if is_original and segment.is_compressed and not segment.is_read:
                    with suppress(OSError):  # the lines before an unreadable place are still read
                        last = tail(descriptor, status.st_size)
                for block in blocks:
                    yield segment.first + counted.lines, block
                    counted.lines += _newlines(block) + (not block.endswith(b"\n"))
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
            reason += f"; {WHEN_IT_GOES_ON[why]}"
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
        """Pass the blocks on, and count the lines in the bytes that had been read before."""
        rest = self._taken
        for block in blocks:
            self.lines += _newlines(block[:rest]) if rest else 0
            rest = max(0, rest - len(block))
            yield block


def _newlines(block: bytes) -> int:
    """The number of newlines. ``bytes.count`` takes ten times as long."""
    return int(np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n")))


def _flagged(batch: pa.RecordBatch, names: Capitals) -> pa.RecordBatch:
    odd = pa.py_buffer(np.packbits(names.of(batch["line"]), bitorder="little"))
    flags = pa.BooleanArray.from_buffers(pa.bool_(), len(batch), [None, odd])
    return pa.record_batch([*batch.columns, flags], _FLAGGED)
