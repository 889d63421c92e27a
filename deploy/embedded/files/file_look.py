"""Inspects a file of a topic: which lines are new since the last look, and what is wrong with the file."""

from __future__ import annotations

import os
import zlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from opensea_metrics.producer.archive import compacted, paths
from opensea_metrics.producer.archive.errors import Damaged
from opensea_metrics.producer.archive.listing import File
from opensea_metrics.producer.archive.paths import opened

PIECE = 64 * 1024 * 1024
"""The most bytes of a growing file in one segment, if these bytes contain a newline."""
_BLOCK = 1024 * 1024
_TAIL = 4096
CHANGED = "has changed since it was read; its new content is not read: put new records into a new file"
NO_NEWLINE = (
    "has a last line without a newline at its end, which is not read because it may be part of a record;"
    " add the newline to have it read"
)
SHORTENED = "has become shorter before any query had read it; the server reads its present content"
SHORTER = "is shorter than the part that was read; the server reads on if the file gets its old content back"


@dataclass(frozen=True, slots=True)
class KnownFile:
    """The registered part of a file: the bytes before ``end``, whose :func:`tail` is ``tail``.

    A compressed file has no ``tail`` until a query has read all of it. ``stamp`` is the file's stamp when the
    server last looked at it. ``scanned`` is the position up to which it was searched for a newline. ``problem``
    says what is wrong with the file.
    """

    end: int = 0
    tail: int | None = None
    stamp: int | None = None
    scanned: int = 0
    problem: str | None = None

    def has_rest(self, file: File) -> bool:
        """Whether an uncompressed file has bytes after its last newline."""
        return self.end < file.size and not file.path.endswith(".gz")


class FilePiece(NamedTuple):
    """A piece of a file that becomes a segment. ``records`` is None for a compressed file."""

    path: str
    start: int
    end: int
    tail: int | None = None
    records: int | None = None


def tail(descriptor: int, end: int) -> int:
    """A checksum of the bytes of a file before a position. A different checksum means that the file was rewritten."""
    start = max(0, end - _TAIL)
    return zlib.crc32(os.pread(descriptor, end - start, start))


def originals_of(folder: Path, file: File, registered: Collection[str]) -> list[FilePiece] | str:
    """The originals of a compacted file that are not registered.

    Returns a reason instead if the compacted file cannot be used.
    """
    try:
        with opened(folder / file.path) as descriptor, open(descriptor, "rb", closefd=False) as raw:
            originals = compacted.originals(raw)
    except OSError as error:
        return paths.cannot("read this file", error)
    except Damaged as error:
        return f"this file is damaged: {error}; restore it, or its originals"
    if not originals:
        return (
            "an earlier version of archive compact wrote this file without a list of its originals; compact a copy"
            " of the originals again"
        )
    prefix = file.path[: file.path.rfind("/") + 1]
    pieces = [FilePiece(f"{prefix}{original.name}", 0, original.size, None, original.records) for original in originals]
    return [piece for piece in pieces if piece.path not in registered]


def look(
    path: Path, file: File, before: KnownFile
) -> tuple[KnownFile, list[FilePiece]]:
    """Inspect a file. Returns its new state and its new pieces.

    Raises OSError if the file cannot be read.
    """
    after = replace(before, stamp=file.stamp, problem=None)
    if path.suffix == ".gz":
        if before.end == 0 and file.size > 0:
            return replace(after, end=file.size), [FilePiece(file.path, 0, file.size)]
        if before.tail is not None:
            with opened(path) as descriptor:
                is_same = file.size == before.end and tail(descriptor, before.end) == before.tail
            return replace(after, problem=None if is_same else CHANGED), []
        return after, []
    if file.size < before.end:
        return replace(after, problem=SHORTER), []
    with opened(path) as descriptor:
        if before.tail is not None and tail(descriptor, before.end) != before.tail:
            return replace(after, problem=CHANGED), []
        start = max(before.end, before.scanned)
        end = _end_of_line(descriptor, start, file.size)
        if end == start:
            return replace(after, scanned=file.size), []
        pieces: list[FilePiece] = []
        start = before.end
        while start < end:
            piece = _end_of_line(descriptor, start, min(end, start + PIECE))
            piece = piece if piece > start else end
            count = _lines(descriptor, start, piece)
            pieces.append(FilePiece(file.path, start, piece, tail(descriptor, piece), count))
            start = piece
    return replace(after, end=end, tail=pieces[-1].tail, scanned=end), pieces


def _lines(descriptor: int, start: int, end: int) -> int:
    """The number of lines in bytes [start, end) of a file."""
    count = 0
    while start < end and (text := os.pread(descriptor, min(_BLOCK, end - start), start)):
        count += text.count(b"\n")
        start += len(text)
    return count


def _end_of_line(descriptor: int, start: int, end: int) -> int:
    """The position after the last newline in bytes [start, end) of a file, or ``start``."""
    step = 65_536
    position = end
    while position > start:
        low = max(start, position - step)
        newline = os.pread(descriptor, position - low, low).rfind(b"\n")
        if newline >= 0:
            return low + newline + 1
        position = low
    return start
