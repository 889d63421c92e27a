"""The keys and headers of records in files. The S3 sink writes them to separate files, beside the files of values."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from opensea_metrics.deploy.embedded.files.walk import first_offset
from opensea_metrics.producer.archive.layout import archive_file, companion_names, is_companion
from opensea_metrics.producer.archive.location import open_archive
from opensea_metrics.producer.archive.paths import outside
from opensea_metrics.producer.archive.records import companion_lines, headers_of

HEADERS = pa.list_(pa.struct([("KEY", pa.string()), ("VALUE", pa.binary())]))
KINDS = ("keys", "headers")
Value = TypeVar("Value")


class Companions:
    """The keys (as JSON) and headers of the lines of a topic's files. A line without a key or headers has None."""

    def __init__(self, root: Path, topic: str, problem: Callable[[str, str], None]) -> None:
        """``problem`` is called if a companion has too few lines, with the reason and the path of the values' file."""
        self._root = root
        self._topic = topic
        self._problem = problem
        self._names: dict[str, frozenset[str]] = {}
        self._path = ""
        self._lines: dict[str, list[bytes | None] | None] = {}
        self._short: set[tuple[str, str]] = set()

    def of(self, path: str, first: int, count: int) -> tuple[pa.Array, pa.Array]:
        """The keys and the headers of the records of a file from offset ``first`` on."""
        if path != self._path:
            self._path, self._lines = path, {kind: self._read(path, kind) for kind in KINDS}
        start = first - (first_offset(self._topic, os.path.basename(path)) or 0)
        for kind, lines in self._lines.items():
            if lines is not None and start + count > len(lines) and (path, kind) not in self._short:
                self._short.add((path, kind))
                self._problem(f"the file of {kind} beside this file has fewer lines than this file", path)
        keys, headers = (self._lines[kind] for kind in KINDS)
        return (
            pa.nulls(count, pa.string()) if keys is None else pa.array(_slice(keys, start, count, _key), pa.string()),
            pa.nulls(count, HEADERS) if headers is None else pa.array(_slice(headers, start, count, _headers), HEADERS),
        )

    def _read(self, path: str, kind: str) -> list[bytes | None] | None:
        folder, name = os.path.split(path)
        if folder not in self._names:
            with suppress(OSError):
                self._names[folder] = frozenset(filter(is_companion, os.listdir(folder)))
        beside = [companion for companion in companion_names(name, kind) if companion in self._names.get(folder, ())]
        file = archive_file(path)
        if not beside or file is None or outside(self._root, f"{folder}/{beside[0]}"):
            return None
        archive = open_archive(self._root / self._topic)
        lines: list[bytes | None] = []
        for line in companion_lines(archive, file, kind, lambda _: None):
            if line is None:
                break
            lines.append(line)
        return lines


def _slice(
    lines: list[bytes | None], start: int, count: int, parse: Callable[[bytes | None], Value]
) -> list[Value]:
    values = [parse(line) for line in islice(lines, start, start + count)]
    return values + [parse(None)] * (count - len(values))


def _key(line: bytes | None) -> str | None:
    return None if line is None or line == b"null" else line.decode("utf-8", "replace")


def _headers(line: bytes | None) -> list[dict[str, str | bytes | None]] | None:
    headers = headers_of(line)
    return [{"KEY": name, "VALUE": None if value is None else value.encode()} for name, value in headers] or None
