"""Copies an archive's files without some of their records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson
from isal import igzip

from opensea_metrics.producer.archive.errors import Damaged
from opensea_metrics.producer.archive.layout import HOUR_MS, ArchiveFile
from opensea_metrics.producer.archive.location import Archive, open_archive
from opensea_metrics.producer.archive.records import records as archived
from opensea_metrics.producer.envelope import payload_time_ms

Kept = Callable[[ArchiveFile, int, bytes], bool]
"""Decides whether a record is copied, from its file, offset and text."""


def records(source: Archive, file: ArchiveFile) -> Iterator[tuple[int, bytes]]:
    """The records of a file, with their offsets, in order. For a damaged file, those before the damage."""
    with suppress(Damaged):
        for record in archived(source, file):
            yield record.offset, record.value


def copied(source: Archive, files: Sequence[ArchiveFile], to: Path, kept: Kept) -> Archive:
    """Write an archive into the folder ``to``. It has the records of some files for which ``kept`` is True."""
    to.mkdir(parents=True)
    for file in files:
        folder = to / file.folder[len(source.root) + 1 :]
        folder.mkdir(parents=True, exist_ok=True)
        with igzip.open(folder / f"copy+{file.partition}+{file.start:010d}.json.gz", "wb") as out:
            for offset, line in records(source, file):
                if kept(file, offset, line):
                    out.write(line + b"\n")
    return open_archive(to)


def once(in_all: bool) -> Kept:
    """A filter that keeps one of several equal records in different files. With ``in_all``, it keeps one of all equal
    records.

    Equal records have the same event time. So the filter compares only records of an hour and of the hour before.
    Memory holds the digests of two hours.
    """
    hours: dict[int, Counter[bytes]] = {}
    own: Counter[bytes] = Counter()
    current = ""

    def kept(file: ArchiveFile, offset: int, line: bytes) -> bool:
        nonlocal current
        if file.path != current:
            current = file.path
            own.clear()
            for hour in [hour for hour in hours if hour < file.hour_ms - HOUR_MS]:
                del hours[hour]
        digest = blake2b(line, digest_size=16).digest()
        own[digest] += 1
        before = sum(counted[digest] for counted in hours.values())
        if before >= (1 if in_all else own[digest]):
            return False
        hours.setdefault(file.hour_ms, Counter())[digest] += 1
        return True

    return kept


def time_of(line: bytes, name: str) -> int | None:
    """A record's event time (epoch ms) from the field ``name``, regardless of case, or else from its payload."""
    start = b'{"' + name.lower().encode() + b'":'
    with suppress(ValueError):
        if line.startswith(start):
            return int(line[len(start) : line.index(b",")])
        record: Any = orjson.loads(line)
        if isinstance(record, dict):
            for key, value in record.items():
                if key.upper() == name.upper():
                    return int(value)
    return payload_time_ms(line)
