"""The text of archive files in blocks of whole lines: unpacked, and told where it ends too early."""

from __future__ import annotations

import codecs
import os
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

from isal import isal_zlib

LINE_LIMIT = 2_000_000
"""Bytes of the longest line that is read. Longer ones are reported."""
HEAD = 1_000
"""Bytes of such a line that the report has."""
_STEP = 16 * 1024
"""Compressed bytes that are unpacked at a time: at most 1,032 times as many come out."""
_TEXT = 128 * 1024
"""Bytes of text in a block, if no line is longer: more do not stay in a processor's cache."""
_GZIP = 31
_MAGIC = b"\x1f\x8b"
"""The first bytes of a gzip file."""
_AFTER_ITS_END = "after its end come bytes that are not gzip"
_ISAL_ERROR: Any = isal_zlib.error


class Damaged(Exception):
    """The text ends here, though the file should have more."""


class NotGzip(Exception):
    """The file does not begin as a gzip file does."""


class Changed(Exception):
    """The file is not the one of which a part was read or registered."""


@dataclass
class Place:
    """A place in a segment's text between two lines: how many bytes come before it, and their CRC."""

    taken: int = 0
    checksum: int = 0


def plain(descriptor: int, start: int, end: int) -> Iterator[bytes]:
    """Bytes [start, end) of a file. Raises Damaged after all that there is."""
    position = start
    while position < end:
        text = os.pread(descriptor, min(_TEXT, end - position), position)
        if not text:
            raise Damaged(f"it ends {end - position:,} bytes too early")
        yield text
        position += len(text)


def unpacked(descriptor: int) -> Iterator[bytes]:
    """The text of a gzip file. Raises NotGzip, and Damaged after all that can be unpacked."""
    if not _MAGIC.startswith(os.pread(descriptor, len(_MAGIC), 0)):
        raise NotGzip
    given = 0
    unpacker = isal_zlib.decompressobj(wbits=_GZIP)
    try:
        for step in _steps(descriptor):
            text, unpacker = _fed(unpacker, step, isal_zlib.decompressobj)
            given += len(text)
            yield text
            if unpacker is None:
                raise Damaged(_AFTER_ITS_END)
    except _ISAL_ERROR:
        unpacker = yield from _before_damage(descriptor, given)
    if not unpacker.eof:
        raise Damaged("its end is missing")


def _before_damage(descriptor: int, given: int) -> Generator[bytes, None, Any]:
    """What can be unpacked of a damaged file beyond the first bytes: igzip keeps back the last step."""
    unpacker: Any = zlib.decompressobj(wbits=_GZIP)
    for step in _steps(descriptor):
        before = unpacker.copy()
        try:
            text, unpacker = _fed(unpacker, step, zlib.decompressobj)
            yield text[given:]
            given = max(0, given - len(text))
            if unpacker is None:
                raise Damaged(_AFTER_ITS_END)
        except zlib.error as error:
            for byte in step:  # what fails gives nothing
                try:
                    text, before = _fed(before, bytes((byte,)), zlib.decompressobj)
                except zlib.error:
                    break
                yield text[given:]
                given = max(0, given - len(text))
            raise Damaged(str(error)) from error
    return unpacker


def _steps(descriptor: int) -> Iterator[bytes]:
    position = 0
    while step := os.pread(descriptor, _STEP, position):
        position += len(step)
        yield step


def _fed(unpacker: Any, data: bytes, new: Callable[..., Any]) -> tuple[bytes, Any]:
    """The text of some compressed bytes, and what unpacks those that follow: None if they are not gzip."""
    text = b""
    while data:
        if unpacker.eof:
            data = data.lstrip(b"\0")  # a file may be filled up with zeros
            if not data:
                break
            if not _MAGIC.startswith(data[: len(_MAGIC)]):
                return text, None
            unpacker = new(wbits=_GZIP)
        text += unpacker.decompress(data)
        data = unpacker.unused_data
    return text, unpacker


def skipped(texts: Iterator[bytes], taken: int, expected: int) -> Iterator[bytes]:
    """The text after its first ``taken`` bytes. Raises Changed if their CRC is not the expected one."""
    rest, checksum = taken, 0
    for text in texts:
        if rest:
            known = text[:rest]
            checksum = isal_zlib.crc32(known, checksum)
            rest -= len(known)
            if rest == 0 and checksum != expected:
                raise Changed
            text = text[len(known) :]
        yield text
    if rest:
        raise Changed


def whole_lines(
    texts: Iterator[bytes], at: Place, ends_open: bool, too_long: Callable[[bytes], None]
) -> Iterator[bytes]:
    """A text in blocks of whole lines; ``at`` is moved behind each of them.

    With ``ends_open`` the last line needs no newline, else that raises Changed. ``too_long`` is given
    the beginning of a line that is longer than the limit.
    """
    rest, is_too_long = b"", False
    position, checksum = at.taken, at.checksum
    for text in _gathered(texts):
        end = text.rfind(b"\n") + 1
        if end:
            at.taken, at.checksum = position + end, isal_zlib.crc32(text[:end], checksum)
            if is_too_long:
                too_long(rest)
                yield text[text.find(b"\n") + 1 : end]
            else:
                yield rest + text[:end]
            rest, is_too_long, checksum = b"", False, at.checksum
        position += len(text)
        checksum = isal_zlib.crc32(text[end:], checksum)
        rest = rest if is_too_long else rest + text[end:]
        if len(rest) > LINE_LIMIT:
            rest, is_too_long = rest[:HEAD], True
    if rest and not ends_open:
        raise Changed
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
    """The same text in larger pieces; those before an exception come before it."""
    parts: list[bytes] = []
    size = 0
    try:
        for text in texts:
            parts.append(text)
            size += len(text)
            if size >= _TEXT:
                yield b"".join(parts)
                parts, size = [], 0
    except (OSError, NotGzip, Damaged, Changed):
        yield b"".join(parts)
        raise
    if parts:
        yield b"".join(parts)
