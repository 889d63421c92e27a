"""The lines of archive files, as bytes, a piece at a time."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import msgspec

from producer.layout import ArchiveFile
from spark_batch.source import Source, SourceError

_PIECE = 4 * 1024 * 1024
_AT_ONCE = 8 * 1024 * 1024
"""Files up to that size are fetched with one request."""


class Unreadable(Exception):
    """A file is damaged; the text says how. What stands before the damage has been given."""


def pieces(source: Source, file: ArchiveFile) -> Iterator[list[bytes]]:
    """The lines of a json or json.gz file in order, without their ends.

    Raises Unreadable for a damaged file, and SourceError if it cannot be had at all.
    """
    try:
        with _opened(source, file) as raw:
            yield from _pieces(raw, file.form == "json.gz")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise Unreadable(str(error) or type(error).__name__) from error
    except OSError as error:
        reason = error.strerror or str(error).partition("\n")[0]
        raise SourceError(f"Cannot read {file.path}: {reason}") from error


def _opened(source: Source, file: ArchiveFile) -> BinaryIO:
    if file.size <= _AT_ONCE and source.s3 is not None:
        return io.BytesIO(source.fs.cat_file(file.path))
    return cast(BinaryIO, source.fs.open(file.path, "rb", block_size=_AT_ONCE))


def _pieces(raw: BinaryIO, compressed: bool) -> Iterator[list[bytes]]:
    opened: Any = gzip.GzipFile(fileobj=raw) if compressed else raw
    lines = io.BufferedReader(opened, 1 << 20)
    last = b"\n"
    while found := lines.readlines(_PIECE):
        last = found[-1]
        yield [line[:-1] if line.endswith(b"\n") else line for line in found]
    if not last.endswith(b"\n") and not _is_json(last):
        raise Unreadable("the last line is cut short")


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
