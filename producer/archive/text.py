"""The text of archive files in blocks of whole lines: unpacked, and with an error where it ends too early."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from isal import igzip, isal_zlib

from opensea_metrics.producer.archive.errors import EMPTY, Damaged, NoNewline, NotGzip, TextChanged

LINE_LIMIT = 2_000_000
"""Bytes of the longest line that is read. Readers report longer lines."""
HEAD = 1_000
"""Bytes of such a line that the report shows."""
_TEXT = 128 * 1024
"""Bytes of text in a block, if no line is longer. Larger blocks do not stay in a processor's cache."""
_STEP = 16 * 1024
"""Compressed bytes of a damaged file that are unpacked at a time. The text is at most 1,032 times as long."""
_GZIP = 31
_MAGIC = b"\x1f\x8b"
"""The first bytes of a gzip file."""
_AFTER_ITS_END = "after its end come bytes that are not gzip"
_FAILURES: Any = (EOFError, gzip.BadGzipFile, isal_zlib.error, OSError)
TooLong = Callable[[bytes], None]
"""Called with the beginning of a line that is longer than the limit."""


class Raw(Protocol):
    """The bytes of a file, on a disk or in a bucket."""

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def read(self, size: int = -1, /) -> bytes: ...

    def tell(self) -> int: ...


class DescriptorReader(io.RawIOBase):
    """The bytes of an open file on a disk. Each reader has its own position."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._position = 0

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to an offset from the beginning. Raises OSError for other kinds of offsets."""
        if whence != os.SEEK_SET:
            raise io.UnsupportedOperation("only offsets from the beginning")
        self._position = offset
        return offset

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer, and return the number of bytes, 0 at the end of the file. Raises OSError."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int = -1, /) -> bytes:
        """At most ``size`` bytes, none at the end of the file. Raises OSError."""
        data = os.pread(self._descriptor, size, self._position)
        self._position += len(data)
        return data

    def tell(self) -> int:
        """The offset of the next byte to be read."""
        return self._position


@dataclass
class TextPosition:
    """A place between two lines of a text: how many bytes come before it, and their CRC."""

    taken: int = 0
    checksum: int = 0


def plain(raw: Raw, start: int = 0, end: int | None = None, size: int = _TEXT) -> Iterator[bytes]:
    """Bytes [start, end) of a file. Raises Damaged after the last byte if the file ends before ``end``."""
    raw.seek(start)
    position = start
    while end is None or position < end:
        text = raw.read(size if end is None else min(size, end - position))
        if not text:
            break
        yield text
        position += len(text)
    if end is not None and position < end:
        raise Damaged(f"it ends {end - position:,} bytes too early")


def unpacked(raw: Raw, size: int = _TEXT) -> Iterator[bytes]:
    """The text of a gzip file. Raises NotGzip, and Damaged after the last byte that can be unpacked."""
    raw.seek(0)
    magic = raw.read(len(_MAGIC))
    if not magic:
        raise Damaged(EMPTY)
    if not _MAGIC.startswith(magic):
        raise NotGzip
    raw.seek(0)
    given = 0
    try:
        with igzip.IGzipFile(fileobj=raw, mode="rb") as text:
            while piece := text.read(size):
                given += len(piece)
                yield piece
            return
    except _FAILURES:
        pass
    yield from _before_damage(raw, given)


def _before_damage(raw: Raw, given: int) -> Iterator[bytes]:
    """The text of a damaged file after the first ``given`` bytes. igzip does not return its last step."""
    unpacker = yield from _by_zlib(raw, given)
    if not unpacker.eof:
        raise Damaged("its end is missing")


def _by_zlib(raw: Raw, given: int) -> Generator[bytes, None, Any]:
    unpacker: Any = zlib.decompressobj(wbits=_GZIP)
    raw.seek(0)
    while step := raw.read(_STEP):
        before = unpacker.copy()
        try:
            text, unpacker = _fed(unpacker, step)
            yield text[given:]
            given = max(0, given - len(text))
            if unpacker is None:
                raise Damaged(_AFTER_ITS_END)
        except zlib.error as error:
            for byte in step:  # a call that fails returns nothing, so go byte by byte
                try:
                    text, before = _fed(before, bytes((byte,)))
                except zlib.error:
                    break
                yield text[given:]
                given = max(0, given - len(text))
            raise Damaged(str(error)) from error
    return unpacker


def _fed(unpacker: Any, data: bytes) -> tuple[bytes, Any]:
    """The text of some compressed bytes, and the unpacker for the next bytes: None if these are not gzip."""
    text = b""
    while data:
        if unpacker.eof:
            data = data.lstrip(b"\0")  # a file may be filled up with zeros
            if not data:
                break
            if not _MAGIC.startswith(data[: len(_MAGIC)]):
                return text, None
            unpacker = zlib.decompressobj(wbits=_GZIP)
        text += unpacker.decompress(data)
        data = unpacker.unused_data
    return text, unpacker


def skipped(texts: Iterator[bytes], taken: int, expected: int) -> Iterator[bytes]:
    """The text after its first ``taken`` bytes. Raises TextChanged if their CRC is not the expected one."""
    rest, checksum = taken, 0
    for text in texts:
        if rest:
            known = text[:rest]
            checksum = isal_zlib.crc32(known, checksum)
            rest -= len(known)
            if rest == 0 and checksum != expected:
                raise TextChanged
            text = text[len(known) :]
        yield text
    if rest:
        raise TextChanged


def whole_lines(
    texts: Iterator[bytes], ends_open: bool, too_long: TooLong, at: TextPosition | None = None
) -> Iterator[bytes]:
    """A text in blocks of whole lines. After each block, ``at`` is the position after it.

    With ``ends_open`` the last line needs no newline, because a gzip file shows whether it is complete. Otherwise a
    missing newline raises NoNewline. Lines over the limit are left out and given to ``too_long``.
    """
    rest, is_too_long = b"", False
    position, checksum = (at.taken, at.checksum) if at else (0, 0)
    for text in _gathered(texts):
        end = text.rfind(b"\n") + 1
        if end:
            if at:
                at.taken, at.checksum = position + end, isal_zlib.crc32(text[:end], checksum)
            if is_too_long:
                too_long(rest)
                yield text[text.find(b"\n") + 1 : end]
            else:
                yield rest + text[:end]
            rest, is_too_long, checksum = b"", False, at.checksum if at else 0
        position += len(text)
        if at:
            checksum = isal_zlib.crc32(text[end:], checksum)
        rest = rest if is_too_long else rest + text[end:]
        if len(rest) > LINE_LIMIT:
            rest, is_too_long = rest[:HEAD], True
    if rest and not ends_open:
        raise NoNewline
    if at:
        at.taken, at.checksum = position, checksum
    if is_too_long:
        too_long(rest)
    elif rest:
        yield rest


def without_mark(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Blocks without the byte order mark that editors put at the beginning of a file."""
    for block in blocks:
        yield block.removeprefix(codecs.BOM_UTF8)
        yield from blocks


def _gathered(texts: Iterator[bytes]) -> Iterator[bytes]:
    """The same text in larger pieces. If ``texts`` raises, yields the text so far first."""
    pieces: list[bytes] = []
    size = 0
    try:
        for text in texts:
            pieces.append(text)
            size += len(text)
            if size >= _TEXT:
                yield b"".join(pieces)
                pieces, size = [], 0
    except (OSError, Damaged, TextChanged):
        yield b"".join(pieces)
        raise
    if pieces:
        yield b"".join(pieces)
