"""The lines of an archive's files as Arrow arrays of text. Blank lines are no records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from opensea_metrics.producer.archive import text
from opensea_metrics.producer.archive.blocks import TOO_LONG, text_blocks
from opensea_metrics.producer.archive.errors import Damaged
from opensea_metrics.producer.archive.layout import ArchiveFile
from opensea_metrics.producer.archive.location import Archive
from opensea_metrics.producer.archive.text import LINE_LIMIT, TooLong
from opensea_metrics.sql.language.lowering.records import utf8
from opensea_metrics.sql.language.lowering.records.capitals import Capitals

_ROWS = 512
"""In a batch, about: DuckDB's threads share out batches, and the memory in which it reads the JSON of more rows
is cleared anew each time."""
SCHEMA = pa.schema([("line", pa.large_string()), ("_off", pa.int64()), ("_odd", pa.bool_())])


@dataclass(frozen=True)
class LineBlock:
    """Consecutive lines of one file, without their ends, from offset ``first`` on.

    ``is_last`` says that there are no more. ``damage`` then says why the file cannot be read to its end, or is None.
    """

    file: ArchiveFile
    first: int
    lines: pa.LargeStringArray
    is_last: bool = False
    damage: str | None = None

    def batches(self, names: Capitals) -> list[pa.RecordBatch]:
        """The lines in batches: ``line``, the offset ``_off``, and ``_odd``, which says whether ``names`` matches."""
        count = len(self.lines)
        numbers = np.arange(self.first, self.first + count, dtype=np.int64)
        odd = np.packbits(names.of(self.lines), bitorder="little")
        # Built from buffers, because pa.array would import pandas to check for a Series.
        offsets = pa.Int64Array.from_buffers(pa.int64(), count, [None, pa.py_buffer(numbers)])
        flags = pa.BooleanArray.from_buffers(pa.bool_(), count, [None, pa.py_buffer(odd)])
        whole = pa.record_batch([self.lines, offsets, flags], SCHEMA)
        # No batch is empty, because a reader may take that for the end, or much smaller than the others.
        step = -(-count // max(1, round(count / _ROWS))) or 1
        return [whole.slice(start, step) for start in range(0, count, step)]


def line_blocks(archive: Archive, file: ArchiveFile) -> Iterator[LineBlock]:
    """All lines of a text file. A damaged file ends where its damage begins.

    Raises ArchiveError for a file that has gone, or that a bucket does not give.
    """
    offset = file.start
    too_long: list[bytes] = []

    def skip(head: bytes) -> None:
        nonlocal offset
        offset += 1
        too_long.append(head)

    damage = None
    try:
        for block in text_blocks(archive, file, skip):
            lines = split(block)
            for first, run in short_lines(lines, too_long.append):
                yield LineBlock(file, offset + first, run)
            offset += len(lines)
    except Damaged as error:
        damage = str(error)
    if too_long:
        damage = "; ".join(filter(None, (TOO_LONG, damage)))
    yield LineBlock(file, offset, pa.array([], pa.large_string()), is_last=True, damage=damage)


def split(block: bytes) -> pa.LargeStringArray:
    """The lines of a block of whole lines, without their ends and without blank lines.

    What is not UTF-8 is written otherwise (``sql.language.lowering.records.utf8``).
    """
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n")
    if b"\0" in block:
        block = block.replace(b"\0", utf8.REFUSED.encode())
    try:
        whole = pa.array([block], pa.large_binary()).cast(pa.large_string())
    except pa.ArrowInvalid:
        whole = pa.array([utf8.decoded(block)], pa.large_string())
    lines = pc.split_pattern(whole, "\n").flatten()
    lines = lines[:-1] if block.endswith(b"\n") else lines
    lengths = pc.binary_length(lines)
    return lines if pc.min(lengths).as_py() else lines.filter(pc.greater(lengths, 0))


def short_lines(lines: pa.LargeStringArray, too_long: TooLong) -> Iterator[tuple[int, pa.LargeStringArray]]:
    """The lines in runs between those that are longer than the limit, each with the number of its first line.

    Each line that is longer is given to ``too_long``.
    """
    lengths = pc.binary_length(lines)
    if (pc.max(lengths).as_py() or 0) <= LINE_LIMIT:
        yield 0, lines
        return
    first = 0
    for at in np.flatnonzero(pc.greater(lengths, LINE_LIMIT).to_numpy(zero_copy_only=False)):
        if first < at:
            yield first, lines[first:at]
        too_long(lines[int(at)].as_buffer().slice(0, text.HEAD).to_pybytes())
        first = int(at) + 1
    if first < len(lines):
        yield first, lines[first:]
