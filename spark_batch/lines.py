"""The records of archive files as Arrow batches: text lines, read and unpacked ahead of who uses them.

DuckDB's own readers of compressed text take more than twice the CPU: unpacking is what most of
it goes into, and igzip does that faster than any zlib.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
from isal import igzip, isal_zlib

from spark_batch.source import ArchiveFile, Source, SourceError

_PIECE = 32 * 1024 * 1024
"""Bytes of text that are unpacked at a time."""
_STEP = 8 * 1024
_DAMAGED: Any = (gzip.BadGzipFile, EOFError, isal_zlib.error)
_ROWS = 8_192
"""Rows of an Arrow batch: what threads share out."""
AHEAD = 2
"""Pieces that are read ahead."""


@dataclass(frozen=True)
class Lines:
    """Consecutive lines of one file: ``lines`` without their ends, the first one's number in the file.

    ``damage`` says why the file cannot be read beyond them, None if it can.
    """

    file: ArchiveFile
    first: int
    lines: pa.LargeStringArray
    damage: str | None = None

    def batches(self, offset: int) -> list[pa.RecordBatch]:
        """The lines as ``line`` and ``_off``, their numbers from ``offset`` on, in batches."""
        count = len(self.lines)
        numbers = pa.array(np.arange(offset, offset + count, dtype=np.int64))
        return [
            pa.record_batch(
                [self.lines.slice(start, _ROWS), numbers.slice(start, _ROWS)], ["line", "_off"]
            )
            for start in range(0, count, _ROWS)
        ]


def read_lines(source: Source, files: Sequence[ArchiveFile]) -> Iterator[Lines]:
    """All lines of text files, in order, read ahead in threads. A damaged file ends where its damage
    begins. Raises SourceError for a file that cannot be opened."""
    return ahead(partial(_pieces, source, file) for file in files)


def ahead(makers: Iterator[Callable[[], Iterator[Any]]]) -> Iterator[Any]:
    """What iterators give, one after the other, each begun before its turn: the first piece of the next
    few is made while those before are used."""
    with ThreadPoolExecutor(AHEAD) as pool:
        waiting: list[Future[tuple[list[Any], Iterator[Any]]]] = []

        def begin() -> None:
            for make in islice(makers, 1):
                waiting.append(pool.submit(_begun, make))

        for _ in range(AHEAD):
            begin()
        while waiting:
            made, rest = waiting.pop(0).result()
            begin()
            yield from made
            yield from rest


def _begun(make: Callable[[], Iterator[Any]]) -> tuple[list[Any], Iterator[Any]]:
    pieces = make()
    return list(islice(pieces, 1)), pieces


def _pieces(source: Source, file: ArchiveFile) -> Iterator[Lines]:
    number = 0
    rest = b""
    for block, damage in _blocks(source, file):
        text = rest + block
        # Only whole lines; at the end, of a whole file, also one without its end.
        end = len(text) if not block and not damage else text.rfind(b"\n") + 1
        rest = text[end:]
        lines = _split(text[:end])
        if len(lines) or damage:
            yield Lines(file, number, lines, damage)
        number += len(lines)


def _blocks(source: Source, file: ArchiveFile) -> Iterator[tuple[bytes, str | None]]:
    """The text of a file in blocks, an empty one at the end, and what is wrong with it from there on."""
    given = 0
    try:
        with _opened(source, file) as text:
            while block := text.read(_PIECE):
                yield block, None
                given += len(block)
    except _DAMAGED as error:
        yield _before_damage(source, file, given), f"{error}"
    else:
        yield b"", None


def _before_damage(source: Source, file: ArchiveFile, given: int) -> bytes:
    """What can be read of a damaged file, beyond the first bytes: in small steps, as the step in which
    the damage is met gives nothing."""
    text = bytearray()
    with suppress(*_DAMAGED), _opened(source, file) as again:
        while block := again.read1(_STEP):
            text += block
    return bytes(text[given:])


def _opened(source: Source, file: ArchiveFile) -> Any:
    try:
        raw = source.fs.open(file.path, "rb", **({"cache_type": "readahead"} if source.s3 else {}))
    except OSError as error:
        raise SourceError(f"Cannot read {file.path}: {error}") from error
    return igzip.open(raw, "rb") if file.form == "json.gz" else raw


def _split(text: bytes) -> pa.LargeStringArray:
    """Whole lines as an array over the same memory, their ends included; blank lines are left out, and
    what is no UTF-8 becomes replacement characters."""
    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n")) + 1
    if text and not text.endswith(b"\n"):
        ends = np.append(ends, len(text))
    bounds = np.concatenate(([0], ends)).astype(np.int64)
    buffers = pa.py_buffer(bounds), pa.py_buffer(text)
    lines = pa.LargeStringArray.from_buffers(len(ends), *buffers)
    try:
        lines.validate(full=True)
    except pa.ArrowInvalid:
        return _split(text.decode("utf-8", "replace").encode())
    lengths = np.diff(bounds)
    if len(lengths) and lengths.min() == 1:
        lines = lines.filter(pa.array(lengths > 1))
    return lines
