"""The records of an archive's files: offset, value, key and headers, whatever form a file has."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import msgspec

from opensea_metrics.producer.archive.blocks import raw_lines
from opensea_metrics.producer.archive.errors import Damaged
from opensea_metrics.producer.archive.layout import ArchiveFile
from opensea_metrics.producer.archive.location import Archive, open_archive

Headers = tuple[tuple[str, str | None], ...]
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class ArchivedRecord:
    """A record of a file. ``key`` is its text; None if there is no key.

    The timestamp is a field of the value. The stream that reads the record says which field.
    """

    partition: int
    offset: int
    value: bytes
    key: str | None = None
    headers: Headers = ()


def topic_archive(root: Path, topic: str) -> Archive:
    """A topic's folder in a data directory."""
    return open_archive(root / "topics" / topic)


def topic_files(root: Path, topic: str) -> list[ArchiveFile]:
    """The published files of a topic in topic order: by hour, then partition, then start offset.

    A topic without a folder has no files.
    """
    archive = topic_archive(root, topic)
    return archive.files() if Path(archive.root).exists() else []


def records(archive: Archive, file: ArchiveFile, progress: Progress = lambda _: None) -> Iterator[ArchivedRecord]:
    """The records of a file in the order of their offsets. Calls ``progress`` with the bytes read so far.

    Raises Damaged after the records before the damage, and ArchiveError for a file that cannot be fetched.
    """
    if file.form == "parquet":
        from opensea_metrics.producer.archive import (
            compacted,  # imports Arrow, which the producer does not need
        )

        for block in compacted.texts(archive, file):
            for offset, line in enumerate(block.lines.to_pylist(), block.first):
                yield ArchivedRecord(file.partition, offset, line.encode())
            if block.damage:
                raise Damaged(block.damage)
        progress(file.size)
        return
    problems: list[str] = []
    keys, headers = (companion_lines(archive, file, kind, problems.append) for kind in ("keys", "headers"))
    offset = file.start
    for lines in raw_lines(archive, file, progress=progress):
        for line in lines:
            key, header = next(keys, None), next(headers, None)
            yield ArchivedRecord(file.partition, offset, line, _key(key), headers_of(header))
            offset += 1
    if problems:
        raise Damaged("; ".join(problems))


def companion_lines(
    archive: Archive, file: ArchiveFile, kind: str, problem: Callable[[str], None]
) -> Iterator[bytes | None]:
    """The lines of the file of ``kind`` (keys or headers) beside a file of values, then None without end.

    Calls ``problem`` with the reason if the file ends too early.
    """
    if beside := archive.companion(file, kind) if file.is_numbered else None:
        try:
            for lines in raw_lines(archive, beside):
                yield from lines
            problem(f"{beside.name} has fewer lines than the file of values")
        except Damaged as error:
            problem(f"{beside.name}: {error}")
    yield from repeat(None)


def _key(line: bytes | None) -> str | None:
    """A key's text. The sink writes a key as JSON: a string in quotes, or another value unchanged."""
    if line is None or line == b"null":
        return None
    value = _decoded(line)
    return value if isinstance(value, str) else line.decode("utf-8", "replace")


def headers_of(line: bytes | None) -> Headers:
    """The headers in a line. The sink writes a list of objects with a key and a value, for JSON inside an object."""
    value = _decoded(line) if line else None
    if isinstance(value, dict):
        value = next(iter(value.values()), None)
    if not isinstance(value, list):
        return ()
    pairs = [(header.get("key"), header.get("value")) for header in value if isinstance(header, dict)]
    return tuple((str(name), _text(content)) for name, content in pairs if name is not None)


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _decoded(line: bytes) -> Any:
    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return None

