"""Originals of compacted files. When an original is gone, the server reads its text from the compacted file.

The register of a topic knows only original files. An hour may be compacted before the server sees it, while the
server runs, or never. In each case a record counts once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pyarrow as pa

from opensea_metrics.producer.archive import compacted
from opensea_metrics.producer.archive.compacted import Original
from opensea_metrics.producer.archive.errors import Damaged
from opensea_metrics.producer.archive.layout import archive_file, covers

_ROWS = 1_000
"""Records whose text is returned in one piece."""


def covering(path: str) -> str | None:
    """The path of the compacted file that has the records of a file, or None. Raises OSError."""
    file = archive_file(path)
    if file is None or not file.is_numbered:
        return None
    with os.scandir(file.folder) as entries:
        beside = [archive_file(f"{file.folder}/{entry.name}") for entry in entries]
    same = (other for other in beside if other is not None and other.partition == file.partition)
    return next((other.path for other in same if covers(other, file)), None)


class CompactedTexts:
    """The texts of compacted files. Caches the last file, because its originals are read one after the other."""

    def __init__(self) -> None:
        self._key: tuple[int, int, int] | None = None
        self._originals: dict[str, Original] = {}
        self._first = 0
        self._lines: pa.LargeStringArray = pa.array([], pa.large_string())

    def text(self, descriptor: int, name: str, start: int, end: int) -> Iterator[bytes]:
        """The text of the original file called ``name``. For an uncompressed file: only its bytes [start, end).

        ``descriptor`` belongs to the compacted file. Raises Damaged if this file is damaged or lacks the original.
        """
        self._open(descriptor)
        original = self._originals.get(name)
        if original is None:
            raise Damaged("the compacted file that replaces it does not say which of its records these are")
        position = 0
        low = original.start - self._first
        for at in range(low, low + original.records, _ROWS):
            lines = self._lines[at : min(at + _ROWS, low + original.records)].to_pylist()
            text = "\n".join([*lines, ""]).encode()
            if not name.endswith(".gz"):
                position, text = position + len(text), text[max(0, start - position) : max(0, end - position)]
            yield text

    def _open(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        key = status.st_dev, status.st_ino, status.st_mtime_ns
        if key == self._key:
            return
        self._key = None
        with open(descriptor, "rb", closefd=False) as raw:
            originals = compacted.originals(raw)
            raw.seek(0)
            self._lines = compacted.sorted_lines(raw)
        self._originals = {original.name: original for original in originals}
        self._first = min((original.start for original in originals), default=0)
        self._key = key
