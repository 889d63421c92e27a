"""The records of text files of an archive as Arrow batches of lines.

DuckDB's own readers of compressed text take more than twice the CPU: unpacking is what most of
it goes into, and igzip does that faster than any zlib.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
from isal import igzip, isal_zlib

from opensea_metrics.producer.layout import ArchiveFile
from opensea_metrics.spark_batch.buffers import Buffers
from opensea_metrics.spark_batch.damage import EMPTY
from opensea_metrics.spark_batch.source import Source, SourceError, reason
from opensea_metrics.sql.language.lowering.records import utf8
from opensea_metrics.sql.language.lowering.records.capitals import Capitals

_PIECE = 2 * 1024 * 1024
"""Bytes of text that are unpacked at a time: more do not stay in a processor's cache."""
_BUFFERS = Buffers(_PIECE)
_NEWLINE = ord("\n")
_STEP = 8 * 1024
_GZIP = 31
"""zlib's name for gzip with the largest window."""
_DAMAGED: Any = (gzip.BadGzipFile, EOFError, isal_zlib.error)
_ROWS = 512
"""In a batch: DuckDB's threads share out batches, and the memory in which it reads the JSON of more rows
is cleared anew each time."""
_Text = bytes | memoryview
SCHEMA = pa.schema([("line", pa.large_string()), ("_off", pa.int64()), ("_odd", pa.bool_())])


@dataclass(frozen=True)
class Lines:
    """Consecutive lines of one file, with their ends, from offset ``first`` on. ``damage`` says why the
    file cannot be read beyond them, None if it can; ``is_last``: there are no more."""

    file: ArchiveFile
    first: int
    lines: pa.LargeStringArray
    is_last: bool
    damage: str | None = None

    def batches(self, names: Capitals) -> list[pa.RecordBatch]:
        """The lines as ``line``, ``_off``, their offsets, and ``_odd``, whether ``names`` finds them, in
        batches."""
        count = len(self.lines)
        numbers = np.arange(self.first, self.first + count, dtype=np.int64)
        odd = np.packbits(names.of(self.lines), bitorder="little")
        # Of buffers, as pa.array would load pandas to ask whether it is given a Series.
        offsets = pa.Int64Array.from_buffers(pa.int64(), count, [None, pa.py_buffer(numbers)])
        flags = pa.BooleanArray.from_buffers(pa.bool_(), count, [None, pa.py_buffer(odd)])
        whole = pa.record_batch([self.lines, offsets, flags], SCHEMA)
        # No empty ones, which a reader may take for the end.
        return [whole.slice(start, _ROWS) for start in range(0, count, _ROWS)]


def pieces(source: Source, file: ArchiveFile) -> Iterator[Lines]:
    """All lines of a text file. A damaged file ends where its damage begins; gzip of 0 bytes is damaged.

    Raises SourceError for a file that cannot be had.
    """
    offset = file.start
    for block, end, is_last, damage in _blocks(source, file):
        lines = _split(block, end)
        yield Lines(file, offset, lines, is_last, damage)
        offset += len(lines)


def _blocks(source: Source, file: ArchiveFile) -> Iterator[tuple[_Text, int, bool, str | None]]:
    """The text of a file in blocks, where the whole lines of each end, whether it is the last one, and
    what is wrong with the text after it."""
    given = 0
    rest = b""
    try:
        if file.form == "json.gz" and _is_empty(source, file):
            yield b"", 0, True, EMPTY
            return
        with _opened(source, file) as text:
            is_last = False
            while not is_last:
                block = _BUFFERS.take(max(_PIECE, 2 * len(rest)))
                block[: len(rest)] = rest
                filled = len(rest)
                while filled < len(block) and (count := text.readinto(block[filled:])):
                    filled += count
                is_last = filled < len(block)
                end = filled if is_last else _searchable(block).rfind(b"\n", 0, filled) + 1
                rest = bytes(block[end:filled])
                given += end
                yield block, end, is_last, None
    except _DAMAGED as error:
        left = before_damage(source, file, given)
        yield left, left.rfind(b"\n") + 1, True, f"{error}"
    except OSError as error:
        raise SourceError(f"Cannot read {file.path}: {reason(error)}") from error


def before_damage(source: Source, file: ArchiveFile, given: int) -> bytes:
    """What can be unpacked of a damaged file, beyond the first bytes."""
    text = bytearray()
    unpacker = zlib.decompressobj(wbits=_GZIP)
    with _raw(source, file) as raw, suppress(zlib.error):
        while step := raw.read(_STEP):
            before = unpacker.copy()
            try:
                made, unpacker = _unpacked(unpacker, step)
            except zlib.error:  # byte by byte: what fails gives nothing
                for byte in step:
                    made, before = _unpacked(before, bytes((byte,)))
                    text += made
                break
            text += made
    return bytes(text[given:])


def _unpacked(unpacker: Any, data: bytes) -> tuple[bytes, Any]:
    """The text of some packed bytes, and what unpacks those that follow."""
    text = b""
    while data:
        text += unpacker.decompress(data)
        data = unpacker.unused_data
        if unpacker.eof:
            unpacker = zlib.decompressobj(wbits=_GZIP)
    return text, unpacker


def _opened(source: Source, file: ArchiveFile) -> Any:
    raw = _raw(source, file)
    return igzip.open(raw, "rb") if file.form == "json.gz" else raw


def _raw(source: Source, file: ArchiveFile) -> Any:
    return source.fs.open(file.path, "rb", **({"cache_type": "readahead"} if source.s3 else {}))


def _is_empty(source: Source, file: ArchiveFile) -> bool:
    if file.size:  # as it was listed
        return False
    with _raw(source, file) as raw:
        return not raw.read(1)


def _searchable(text: _Text) -> bytes | bytearray:
    """What a text is of: a view cannot be searched."""
    return cast(bytearray, text.obj) if isinstance(text, memoryview) else text


def _line_ends(text: _Text, end: int) -> Any:
    """The places after the newlines of a text up to a place."""
    words = -(-end // 8)
    room = _BUFFERS.take(8 * words)
    is_end = np.frombuffer(room, np.bool_, 8 * words)
    np.equal(np.frombuffer(text, np.uint8, end), _NEWLINE, out=is_end[:end])
    is_end[end:] = False
    # Few words of eight bytes have one: to look at each byte takes twice as long.
    found = np.flatnonzero(is_end.view(np.uint64) != 0)
    ends = is_end.reshape(-1, 8)[found]
    if np.count_nonzero(ends) > len(found):
        return np.flatnonzero(is_end) + 1
    return 8 * found + ends.argmax(axis=1) + 1


def _split(text: _Text, end: int) -> pa.LargeStringArray:
    """The lines of a text up to a place as an array over the same memory, their ends included; blank
    lines are left out, and what is no UTF-8 is written otherwise (``sql.language.lowering.records.utf8``)."""
    ends = _line_ends(text, end)
    last = [end] if end and (not len(ends) or ends[-1] < end) else []
    bounds = np.concatenate([[0], ends, last]).astype(np.int64)
    buffers = pa.py_buffer(bounds), pa.py_buffer(text)
    lines = pa.LargeStringArray.from_buffers(len(bounds) - 1, *buffers)
    try:
        lines.validate(full=True)
    except pa.ArrowInvalid:
        replaced = utf8.decoded(bytes(text[:end])).encode()
        return _split(replaced, len(replaced))
    lengths = np.diff(bounds)
    if len(lengths) and lengths.min() == 1:
        lines = lines.filter(pa.array(lengths > 1))
    return lines
