"""The records of text files as streams of Arrow batches, which can be read again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain

import pyarrow as pa

from opensea_metrics.producer.archive import compacted, lines
from opensea_metrics.producer.archive.damage import Damage
from opensea_metrics.producer.archive.errors import ArchiveError
from opensea_metrics.producer.archive.layout import ArchiveFile
from opensea_metrics.producer.archive.lines import LineBlock, line_blocks
from opensea_metrics.producer.archive.location import Archive
from opensea_metrics.spark_batch.event_times import STAMP
from opensea_metrics.spark_batch.prefetch import ahead
from opensea_metrics.sql.language.lowering.records.capitals import Capitals

_SAMPLE = 25
"""The number of lines from which the usual spelling of names is taken."""


class FileLineSource:
    """The lines of files in order. For compacted files, they are the texts of the original files.

    Calls ``finished`` with each file after it was read. Text is unpacked when it is needed, in the thread that decodes
    it, so it is still in the processor's cache.
    """

    def __init__(
        self,
        source: Archive,
        files: Sequence[ArchiveFile],
        finished: Callable[[ArchiveFile], None],
    ) -> None:
        self._source = source
        self._finished = finished
        self._unread = ahead(partial(self.of, file) for file in files)
        self._waiting: deque[LineBlock] = deque()

    def of(self, file: ArchiveFile) -> Iterator[LineBlock]:
        """The lines of one file, from its beginning."""
        read = compacted.texts if file.form == "parquet" else line_blocks
        return read(self._source, file)

    def sample(self) -> str:
        """Some of the lines that follow."""
        for piece in chain(self._waiting, iter(self._take, None)):
            if len(piece.lines):
                return "\n".join(piece.lines[:_SAMPLE].to_pylist())
        return ""

    def is_read(self) -> bool:
        """Whether everything is read, including files without lines."""
        return not self._waiting and self._take() is None

    def rest(self) -> Iterator[LineBlock]:
        """The blocks that follow. If a reader stops early, the next reader continues."""
        while not self.is_read():
            piece = self._waiting.popleft()
            if piece.is_last:
                self._finished(piece.file)
            yield piece

    def _take(self) -> LineBlock | None:
        """The next piece, which is added to those that wait. None if there are no more."""
        if (piece := next(self._unread, None)) is not None:
            self._waiting.append(piece)
        return piece


class LineStream:
    """About the next ``most`` records of some texts: ``line``, with its line end, ``_off`` and ``_odd``."""

    def __init__(self, texts: FileLineSource, most: int) -> None:
        self.sample = texts.sample()
        """Some of the records."""
        self.error: ArchiveError | None = None
        """The error of the archive that failed a reader."""
        self.damaged: dict[str, Damage] = {}
        """Files that could only be read up to their damage, among the files read so far."""
        self._texts = texts
        self._most = most
        self._taken: dict[ArchiveFile, tuple[int, int]] = {}

    @property
    def is_stamped(self) -> bool:
        """Whether all lines of the sample have their event time in front."""
        return all(line.startswith(STAMP) for line in self.sample.split("\n") if line)

    def reader(self, names: Capitals) -> pa.RecordBatchReader:
        """A reader of all the records. A second call reads them again from their files."""
        return pa.RecordBatchReader.from_batches(lines.SCHEMA, self._batches(names))

    def _batches(self, names: Capitals) -> Iterator[pa.RecordBatch]:
        try:
            for piece in chain(self._again(), self._next()):
                yield from piece.batches(names)
        except ArchiveError as error:
            self.error = error
            raise

    def _again(self) -> Iterator[LineBlock]:
        """The blocks that were taken already."""
        for file, (first, end) in list(self._taken.items()):
            for piece in self._texts.of(file):
                if piece.first >= end:
                    break
                if piece.first >= first:
                    yield piece

    def _next(self) -> Iterator[LineBlock]:
        count = sum(end - first for first, end in self._taken.values())
        if count >= self._most:
            return
        for piece in self._texts.rest():
            first, _ = self._taken.get(piece.file, (piece.first, 0))
            self._taken[piece.file] = (first, piece.first + len(piece.lines))
            count += len(piece.lines)
            if piece.damage:
                read = piece.first + len(piece.lines) - piece.file.start
                self.damaged[piece.file.path] = Damage(piece.damage, read)
            yield piece
            if count >= self._most:
                return
