"""Reads text files that users write."""

from __future__ import annotations

import codecs
from pathlib import Path

from opensea_metrics.core.errors import Place, SqlError, os_reason

_SAVE = "save the file as UTF-8"


def read_text(path: Path) -> str:
    """A file's text, with ``\\n`` as line ends and without the UTF-8 byte order mark.

    Raises SqlError if the file cannot be read, or at its first byte that is not UTF-8.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SqlError(f"cannot read {path}: {os_reason(error)}") from error
    start = Place(str(path), 1, 1)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data[:4]:
        raise SqlError("the file is UTF-16 or UTF-32, not UTF-8", start, _SAVE)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", errors="replace").splitlines(keepends=True)
        last = before[-1] if before else ""
        ended = last.endswith(("\n", "\r"))
        line, column = (len(before) + 1, 1) if ended or not before else (len(before), len(last) + 1)
        message = f"the byte 0x{data[error.start]:02X} is not UTF-8"
        raise SqlError(message, Place(str(path), line, column), _SAVE) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")
