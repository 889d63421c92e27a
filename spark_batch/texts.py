"""The records of text files as streams of Arrow batches, which can be read again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain

import pyarrow as pa

from opensea_metrics.producer.layout import ArchiveFile
from opensea_metrics.spark_batch import compacted, lines
from opensea_metrics.spark_batch.ahead import ahead
from opensea_metrics.spark_batch.damage import Damage
from opensea_metrics.spark_batch.lines import Lines
from opensea_metrics.spark_batch.source import Source, SourceError
from opensea_metrics.sql.language.lowering.records.capitals import Capitals

_SAMPLE = 100
"""Lines from which the usual spelling of names is taken."""


class Texts:
    """The lines of files in order. Compacted files give the texts that they were made of. ``finished`` is
    told of each file that was read.

    Text is unpacked when it is asked for, in the thread that decodes it: it is in its processor's cache then.
    """

    def __init__(
        self,
        source: Source,
        files: Sequence[ArchiveFile],
        finished: Callable[[ArchiveFile], None],
    ) -> None:
        self._source = source
        self._finished = finished
        self._unread = ahead(partial(self.of, file) for file in files)
        self._waiting: deque[Lines] = deque()

    def of(self, file: ArchiveFile) -> Iterator[Lines]:
        """The lines of one file, from its beginning."""
        read = compacted.texts if file.form == "parquet" else lines.pieces
        return read(self._source, file)

    def sample(self) -> str:
        """Some of the lines that are still to come."""
        for piece in chain(self._waiting, iter(self._take, None)):
            if len(piece.lines):
                return "\n".join(piece.lines[:_SAMPLE].to_pylist())
        return ""

    def is_read(self) -> bool:
        """Whether nothing is still to come, not even a file without lines."""
        return not self._waiting and self._take() is None

    def rest(self) -> Iterator[Lines]:
        """What is still to come; of whoever stops, the next one goes on."""
        while not self.is_read():
            piece = self._waiting.popleft()
            if piece.is_last:
                self._finished(piece.file)
            yield piece

    def _take(self) -> Lines | None:
        """The next piece, which waits from then on; None if there are no more."""
        if (piece := next(self._unread, None)) is not None:
            self._waiting.append(piece)
        return piece


class TextStream:
    """The next ``most`` records of some texts, about: ``line``, its end included, ``_off`` and ``_odd``."""

    def __init__(self, texts: Texts, most: int) -> None:
        self.sample = texts.sample()
        """Some of the records."""
        self.error: SourceError | None = None
        """What a reader has failed of, which wraps it."""
        self.damaged: dict[str, Damage] = {}
        """Files that could be read up to their damage only, of those that were read."""
        self._texts = texts
        self._most = most
        self._taken: dict[ArchiveFile, tuple[int, int]] = {}

    def reader(self, names: Capitals) -> pa.RecordBatchReader:
        """All the records, each time that it is called; the second time they are read again from their
        files."""
        return pa.RecordBatchReader.from_batches(lines.SCHEMA, self._batches(names))

    def _batches(self, names: Capitals) -> Iterator[pa.RecordBatch]:
        try:
            for piece in chain(self._again(), self._next()):
                yield from piece.batches(names)
        except SourceError as error:
            self.error = error
            raise

    def _again(self) -> Iterator[Lines]:
        """What was taken already."""
        for file, (first, end) in list(self._taken.items()):
            for piece in self._texts.of(file):
                if piece.first >= end:
                    break
                if piece.first >= first:
                    yield piece

    def _next(self) -> Iterator[Lines]:
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
