"""The lines of archive files, as bytes, a piece at a time."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, cast

import msgspec
from isal import igzip, isal_zlib

from opensea_metrics.core.errors import os_reason
from opensea_metrics.producer.layout import ArchiveFile
from opensea_metrics.spark_batch.lines import before_damage
from opensea_metrics.spark_batch.source import Source, SourceError

_PIECE = 4 * 1024 * 1024
_AT_ONCE = 8 * 1024 * 1024
"""Files up to that size are fetched with one request."""


_DAMAGED: Any = (EOFError, gzip.BadGzipFile, isal_zlib.error)


class Unreadable(Exception):
    """A file is damaged; the text says how. What stands before the damage has been given."""


def fetched(source: Source, files: Sequence[ArchiveFile]) -> dict[str, bytes]:
    """The contents of small files by their paths, fetched from a bucket many at a time; empty for a
    disk. Raises SourceError."""
    small = [file.path for file in files if file.size <= _AT_ONCE and file.form != "parquet"]
    if source.s3 is None or not small:
        return {}
    try:
        return dict(zip(small, source.fs.cat(small).values(), strict=True))
    except OSError as error:
        raise _not_had(small[0] if len(small) == 1 else files[0].folder, error) from error


def pieces(
    source: Source, file: ArchiveFile, content: bytes | None = None
) -> Iterator[list[bytes]]:
    """The lines of a json or json.gz file in order, without their ends; ``content`` if it is at hand.

    Raises Unreadable for a damaged file, and SourceError if it cannot be had at all.
    """
    given = 0
    try:
        with _opened(source, file) if content is None else io.BytesIO(content) as raw:
            for piece in _pieces(raw, file.form == "json.gz"):
                yield piece
                given += sum(map(len, piece)) + len(piece)
    except _DAMAGED as error:
        rest = before_damage(source, file, given)
        if lines := rest.split(b"\n")[:-1]:
            yield lines
        raise Unreadable(str(error) or type(error).__name__) from error
    except OSError as error:
        raise _not_had(file.path, error) from error


def _not_had(path: str, error: OSError) -> SourceError:
    return SourceError(f"Cannot read {path}: {os_reason(error)}")


def _opened(source: Source, file: ArchiveFile) -> BinaryIO:
    if source.s3 is None:
        return open(file.path, "rb")
    return cast(BinaryIO, source.fs.open(file.path, "rb", cache_type="readahead"))


def _pieces(raw: BinaryIO, compressed: bool) -> Iterator[list[bytes]]:
    opened: Any = igzip.IGzipFile(fileobj=raw) if compressed else raw
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
