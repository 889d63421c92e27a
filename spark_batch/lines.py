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
from typing import Any

import numpy as np
import pyarrow as pa
from isal import igzip, isal_zlib

from producer.layout import ArchiveFile
from spark_batch.source import Source, SourceError, reason

_PIECE = 2 * 1024 * 1024
"""Bytes of text that are unpacked at a time: more do not stay in a processor's cache."""
_STEP = 8 * 1024
_GZIP = 31
"""zlib's name for gzip with the largest window."""
_DAMAGED: Any = (gzip.BadGzipFile, EOFError, isal_zlib.error)
_ROWS = 8_192
SCHEMA = pa.schema([("line", pa.large_string()), ("_off", pa.int64())])


@dataclass(frozen=True)
class Lines:
    """Consecutive lines of one file, with their ends, from offset ``first`` on. ``damage`` says why the
    file cannot be read beyond them, None if it can; ``is_last``: there are no more."""

    file: ArchiveFile
    first: int
    lines: pa.LargeStringArray
    is_last: bool
    damage: str | None = None

    @property
    def nbytes(self) -> int:
        return int(self.lines.nbytes)

    def batches(self) -> list[pa.RecordBatch]:
        """The lines as ``line`` and ``_off``, their offsets, in batches."""
        count = len(self.lines)
        numbers = np.arange(self.first, self.first + count, dtype=np.int64)
        # Of buffers, as pa.array would load pandas to ask whether it is given a Series.
        offsets = pa.Int64Array.from_buffers(pa.int64(), count, [None, pa.py_buffer(numbers)])
        whole = pa.record_batch([self.lines, offsets], SCHEMA)
        # DuckDB's threads share out batches.
        return [whole.slice(start, _ROWS) for start in range(0, max(1, count), _ROWS)]


def pieces(source: Source, file: ArchiveFile) -> Iterator[Lines]:
    """All lines of a text file. A damaged file ends where its damage begins.

    Raises SourceError for a file that cannot be had.
    """
    rest, offset = b"", file.start
    for block, is_last, damage in _blocks(source, file):
        # The line that a block begins in is put together by itself, so that the others need no copy.
        first = block.find(b"\n") + 1 if rest else 0
        end = block.rfind(b"\n") + 1
        parts = [(rest + block[:first], 0, len(rest) + first)] if first else []
        parts.append((block, first, end))
        rest = block[end:] if end or not rest else rest + block
        if is_last and not damage:  # which may lack its end
            parts.append((rest, 0, len(rest)))
        for number, part in enumerate(parts, 1):
            lines = _split(*part)
            ended = is_last and number == len(parts)
            yield Lines(file, offset, lines, ended, damage if ended else None)
            offset += len(lines)


def _blocks(source: Source, file: ArchiveFile) -> Iterator[tuple[bytes, bool, str | None]]:
    """The text of a file in blocks, whether it is the last one, and what is wrong with it after it."""
    given = 0
    last = b""
    try:
        with _opened(source, file) as text:
            while block := text.read(_PIECE):
                if last:
                    yield last, False, None
                    given += len(last)
                last = block
                if len(block) < _PIECE:
                    break
            text.read(1)  # which checks the sum at the end
    except _DAMAGED as error:
        yield before_damage(source, file, given), True, f"{error}"
    except OSError as error:
        raise SourceError(f"Cannot read {file.path}: {reason(error)}") from error
    else:
        yield last, True, None


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


def _split(text: bytes, first: int, end: int) -> pa.LargeStringArray:
    """Whole lines between two places of a text as an array over the same memory, their ends included;
    blank lines are left out, and what is no UTF-8 becomes replacement characters."""
    found = np.frombuffer(text, np.uint8, end - first, first) == ord("\n")
    bounds = np.concatenate(([0], np.flatnonzero(found) + 1)).astype(np.int64) + first
    if bounds[-1] < end:
        bounds = np.append(bounds, end)
    buffers = pa.py_buffer(bounds), pa.py_buffer(text)
    lines = pa.LargeStringArray.from_buffers(len(bounds) - 1, *buffers)
    if not text.isascii():
        try:
            lines.validate(full=True)
        except pa.ArrowInvalid:
            whole = text[first:end].decode("utf-8", "replace").encode()
            return _split(whole, 0, len(whole))
    lengths = np.diff(bounds)
    if len(lengths) and lengths.min() == 1:
        lines = lines.filter(pa.array(lengths > 1))
    return lines
