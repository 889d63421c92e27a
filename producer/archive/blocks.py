"""The text of an archive's files in blocks of whole lines, and its lines as bytes. Blank lines are no records.

Every reader of an archive gets its text here. DuckDB's own readers of compressed text take more than twice the CPU
time. Most of the work is unpacking, and igzip unpacks faster than any zlib.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import nullcontext

from opensea_metrics.producer.archive import text
from opensea_metrics.producer.archive.errors import ArchiveError, Damaged, reason
from opensea_metrics.producer.archive.layout import ArchiveFile
from opensea_metrics.producer.archive.location import Archive
from opensea_metrics.producer.archive.text import LINE_LIMIT, TooLong

TOO_LONG = f"a line is longer than {LINE_LIMIT:,} bytes"


def raw_lines(
    archive: Archive,
    file: ArchiveFile,
    content: bytes | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Iterator[list[bytes]]:
    """The exact lines of a text file in order, without line ends. Give ``content`` if the file was read already.

    Raises Damaged after the lines before the damage, and ArchiveError as :func:`line_blocks` does.
    """
    too_long: list[bytes] = []
    for block in text_blocks(archive, file, too_long.append, content, progress):
        lines = [line for line in block.split(b"\n") if line and line != b"\r"]
        if len(block) > LINE_LIMIT:
            too_long += [line[: text.HEAD] for line in lines if len(line) > LINE_LIMIT]
            lines = [line for line in lines if len(line) <= LINE_LIMIT]
        yield lines
    if too_long:
        raise Damaged(TOO_LONG)


def text_blocks(
    archive: Archive,
    file: ArchiveFile,
    too_long: TooLong,
    content: bytes | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Iterator[bytes]:
    """The text of a file in blocks of whole lines. Calls ``progress`` with the number of bytes read so far.

    Raises Damaged and ArchiveError.
    """
    try:
        with nullcontext(io.BytesIO(content)) if content is not None else archive.opened(file) as raw:
            for block in _blocks(raw, file, too_long):
                progress(raw.tell())
                yield block
    except FileNotFoundError as error:
        raise ArchiveError(
            f"Cannot read {file.path}: it has gone since it was listed. Did archive compact run meanwhile? Start again."
        ) from error
    except OSError as error:
        if archive.s3 is not None:
            raise ArchiveError(f"Cannot read {file.path}: {reason(error)}") from error
        raise Damaged(f"cannot read this file: {reason(error)}") from error


def _blocks(raw: text.Raw, file: ArchiveFile, too_long: TooLong) -> Iterator[bytes]:
    is_gzip = file.form == "json.gz"
    texts = text.unpacked(raw) if is_gzip else text.plain(raw)
    yield from text.without_mark(text.whole_lines(texts, is_gzip, too_long))
