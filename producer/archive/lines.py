"""The lines of an archive's files as Arrow arrays of text. Blank lines are no records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from opensea_metrics.producer.archive import text
from opensea_metrics.producer.archive.blocks import TOO_LONG, text_blocks
from opensea_metrics.producer.archive.buffers import Buffers
from opensea_metrics.producer.archive.errors import Damaged
from opensea_metrics.producer.archive.layout import ArchiveFile
from opensea_metrics.producer.archive.location import Archive
from opensea_metrics.producer.archive.text import LINE_LIMIT, TooLong
from opensea_metrics.sql.language.lowering.records import utf8
from opensea_metrics.sql.language.lowering.records.capitals import Capitals

_ROWS = 512
"""In a batch, about: DuckDB's threads share out batches, and the memory in which it reads the JSON of more rows
is cleared anew each time."""
_SIZE = 2 * 1024 * 1024
"""Bytes of text in a LineBlock, if no line is longer: fewer make batches that are too small for DuckDB."""
_BUFFERS = Buffers(_SIZE)
_NEWLINE = b"\n"
_EVENT_TIME = b'"event_time"'
_BEGINNING = 4096
"""The bytes of a block in which our producer's lines have the name at least once."""
SCHEMA = pa.schema([("line", pa.large_string()), ("_off", pa.int64()), ("_odd", pa.bool_()), ("_timed", pa.bool_())])


@dataclass(frozen=True)
class LineBlock:
    """Consecutive lines of one file from offset ``first`` on, with or without their ends.

    ``is_last`` says that there are no more. ``damage`` then says why the file cannot be read to its end, or is None.
    ``is_timed`` is false if no line has the name "event_time".
    """

    file: ArchiveFile
    first: int
    lines: pa.LargeStringArray
    is_timed: bool = True
    is_last: bool = False
    damage: str | None = None

    def batches(self, names: Capitals) -> list[pa.RecordBatch]:
        """The lines in batches: ``line``, the offset ``_off``, ``_odd``, which says whether ``names`` matches, and
        ``_timed``, which is false for lines without the name "event_time" and true for most others."""
        count = len(self.lines)
        numbers = np.arange(self.first, self.first + count, dtype=np.int64)
        # Built from buffers, because pa.array would import pandas to check for a Series.
        offsets = pa.Int64Array.from_buffers(pa.int64(), count, [None, pa.py_buffer(numbers)])
        flags = _flags(names.of(self.lines))
        timed = _flags(np.full(count, self.is_timed))
        whole = pa.record_batch([self.lines, offsets, flags, timed], SCHEMA)
        # No batch is empty, because a reader may take that for the end, or much smaller than the others.
        step = -(-count // max(1, round(count / _ROWS))) or 1
        return [whole.slice(start, step) for start in range(0, count, step)]


def line_blocks(archive: Archive, file: ArchiveFile) -> Iterator[LineBlock]:
    """All lines of a text file, with their ends. A damaged file ends where its damage begins.

    Raises ArchiveError for a file that has gone, or that a bucket does not give.
    """
    skipped: list[bytes] = []
    too_long: list[bytes] = []
    reasons: list[str] = []
    first = file.start
    for block in _large_blocks(text_blocks(archive, file, skipped.append), skipped, reasons):
        lines = block.lines()
        for at, run in short_lines(lines, too_long.append, LINE_LIMIT + len(_NEWLINE)):
            yield LineBlock(file, first + block.skipped + at, run, block.is_timed)
        first += len(lines)
    if skipped or too_long:
        reasons.insert(0, TOO_LONG)
    nothing = pa.nulls(0, pa.large_string())
    yield LineBlock(file, first + len(skipped), nothing, is_last=True, damage="; ".join(reasons) or None)


@dataclass(frozen=True)
class _LargeBlock:
    """Whole lines in the first ``size`` bytes of a buffer, after ``skipped`` lines of the file that are too long.

    ``is_timed`` is false if no line has the name "event_time".
    """

    buffer: memoryview
    size: int
    skipped: int
    is_timed: bool

    def lines(self) -> pa.LargeStringArray:
        """The lines as an array over the same memory, without blank lines."""
        bounds = np.concatenate([[0], self._ends()]).astype(np.int64)
        lines = pa.LargeStringArray.from_buffers(len(bounds) - 1, pa.py_buffer(bounds), pa.py_buffer(self.buffer))
        try:
            lines.validate(full=True)
        except pa.ArrowInvalid:
            text = utf8.decoded(bytes(self.buffer[: self.size])).encode()
            return _LargeBlock(memoryview(text), len(text), self.skipped, self.is_timed).lines()
        return _longer(lines, len(_NEWLINE))

    def _ends(self) -> npt.NDArray[np.intp]:
        """The places after the newlines. Few words of eight bytes have one, so this searches whole words first."""
        is_newline = np.zeros(-(-self.size // 8) * 8, np.bool_)
        np.equal(np.frombuffer(self.buffer, np.uint8, self.size), ord(_NEWLINE), out=is_newline[: self.size])
        words = np.flatnonzero(is_newline.view(np.uint64) != 0)
        rows, columns = is_newline.reshape(-1, 8)[words].nonzero()
        return 8 * words[rows] + columns + 1


def _large_blocks(blocks: Iterator[bytes], skipped: list[bytes], reasons: list[str]) -> Iterator[_LargeBlock]:
    """The text of blocks together in buffers, which are used again. ``skipped`` grows while the blocks are read.

    Gives the text before damage, and adds the damage to ``reasons``.
    """
    buffer, size, before, is_timed = _BUFFERS.take(_SIZE), 0, 0, False
    try:
        for block in map(_cleaned, blocks):
            if size + len(block) > len(buffer) or len(skipped) > before:
                yield _LargeBlock(buffer, size, before, is_timed)
                buffer, size, before, is_timed = _BUFFERS.take(max(_SIZE, len(block))), 0, len(skipped), False
            is_timed = is_timed or _has_event_time(block)
            buffer[size : size + len(block)] = block
            size += len(block)
    except Damaged as error:
        reasons.append(str(error))
    yield _LargeBlock(buffer, size, before, is_timed)


def _has_event_time(block: bytes) -> bool:
    """Whether a block has the name "event_time".

    A search for the name takes long in lines with "event_timestamp". So numpy looks for three of its last characters
    first, in a third of the time and without Python's lock.
    """
    if block.find(_EVENT_TIME, 0, _BEGINNING) >= 0:
        return True
    text = np.frombuffer(block, np.uint8)
    if len(text) < len(_EVENT_TIME):
        return False
    differs = text[:-5] ^ ord("_")
    differs |= text[3:-2] ^ ord("m")
    differs |= text[5:] ^ ord('"')
    return not differs.min() and _EVENT_TIME in block


def split(block: bytes) -> pa.LargeStringArray:
    """The lines of a block of whole lines, without their ends and without blank lines.

    What is not UTF-8 is written otherwise (``sql.language.lowering.records.utf8``).
    """
    block = _cleaned(block)
    try:
        whole = pa.array([block], pa.large_binary()).cast(pa.large_string())
    except pa.ArrowInvalid:
        whole = pa.array([utf8.decoded(block)], pa.large_string())
    import pyarrow.compute as pc  # takes as long to import as DuckDB, and recompute does not need it

    return _longer(pc.split_pattern(whole, "\n").flatten()[:-1], 0)


def _cleaned(block: bytes) -> bytes:
    """A block of whole lines that all end with a newline alone, and without NUL, which DuckDB does not read."""
    if b"\r" in block:
        block = block.replace(b"\r\n", _NEWLINE)
    if b"\0" in block:
        block = block.replace(b"\0", utf8.REFUSED.encode())
    return block if block.endswith(_NEWLINE) else block + _NEWLINE


def _longer(lines: pa.LargeStringArray, length: int) -> pa.LargeStringArray:
    """The lines that are longer than a length, in bytes."""
    is_longer = _lengths(lines) > length
    return lines if is_longer.all() else lines.filter(_flags(is_longer))


def _flags(values: npt.NDArray[np.bool_]) -> pa.BooleanArray:
    """Values as an Arrow array."""
    bits = pa.py_buffer(np.packbits(values, bitorder="little"))
    return pa.BooleanArray.from_buffers(pa.bool_(), len(values), [None, bits])


def _lengths(lines: pa.LargeStringArray) -> npt.NDArray[np.int64]:
    """The lengths of lines, in bytes."""
    if not len(lines):
        return np.zeros(0, np.int64)
    bounds = np.frombuffer(lines.buffers()[1], np.int64)
    return np.diff(bounds[lines.offset : lines.offset + len(lines) + 1])


def short_lines(
    lines: pa.LargeStringArray, too_long: TooLong, limit: int = LINE_LIMIT
) -> Iterator[tuple[int, pa.LargeStringArray]]:
    """The lines in runs between those that are longer than ``limit``, each with the number of its first line.

    Calls ``too_long`` for each line that is longer.
    """
    is_longer = _lengths(lines) > limit
    if not is_longer.any():
        yield 0, lines
        return
    first = 0
    for at in np.flatnonzero(is_longer):
        if first < at:
            yield first, lines[first:at]
        too_long(lines[int(at)].as_buffer().slice(0, text.HEAD).to_pybytes())
        first = int(at) + 1
    if first < len(lines):
        yield first, lines[first:]
