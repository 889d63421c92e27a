"""The names of folders and files in an archive, and what they say about records. Nothing here does I/O.

The layout is that of Confluent's S3 sink. A topic's folder has files such as
``year=YYYY/month=MM/day=DD/hour=HH/<topic>+<partition>+<start offset>.json.gz``, with one JSON value per line.
A sink with ``file.delim=-`` writes ``-`` for ``+``, and its offsets have ten digits or more.
``opensea-metrics archive compact`` replaces whole files by
``<topic>+<partition>+<start>-<end, exclusive>.parquet``.

A sink with ``store.kafka.keys=true`` writes the keys beside the values, into ``<topic>+<partition>+<start
offset>.keys.json.gz``. With ``store.kafka.headers=true`` it writes the headers into ``….headers.json.gz``. Line by
line, these belong to the values (Confluent, "S3 Sink Connector Configuration Properties", and the connector's source).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

HOUR_MS = 3_600_000
TEXT_SUFFIXES = (".json", ".json.gz", ".ndjson")
"""The endings of the names of files with one value per line."""
COMPACTED_SUFFIX = ".parquet"
_NUMBERS = (
    r"[^./+][^/+]*(?:\+(?P<partition>[0-9]+)\+(?P<start>[0-9]+)|-(?P<partition_>[0-9]+)-(?P<start_>[0-9]{10,}))"
)
_TEXT = re.compile(_NUMBERS + r"\.(?:json|json\.gz|ndjson)")
_COMPACTED = re.compile(r"[^./+][^/+]*\+(?P<partition>[0-9]+)\+(?P<start>[0-9]+)-(?P<end>[0-9]+)\.parquet")
_COMPANION = re.compile(_NUMBERS + r"\.(?P<kind>keys|headers)\.(?P<format>[^/]+)")
_HOUR = re.compile(r"(?:^|/)year=(\d{4})/month=(\d{1,2})/day=(\d{1,2})/hour=(\d{1,2})/[^/]+$")
_FIRST_UNNUMBERED = 1 << 48


@dataclass(frozen=True, order=True)
class ArchiveFile:
    """One file of a topic, in topic order: by hour, partition, start offset.

    ``hour_ms`` is the folder's hour (epoch ms, UTC), -1 outside the folders of hours. ``end`` is the offset after
    the last record if the name says it. ``form`` is json, json.gz or parquet. ``size`` is in bytes. ``path`` is in
    the file system's notation. If the name has no numbers (``is_numbered``), the partition is 0 and the start is 0.
    """

    hour_ms: int
    partition: int
    start: int
    path: str
    size: int
    form: str
    end: int | None = None
    is_numbered: bool = True

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


def archive_file(path: str, size: int = 0) -> ArchiveFile | None:
    """The file of records at a path, or None if its name is hidden or that of another kind of file."""
    name = path.rsplit("/", 1)[-1]
    numbers = _COMPACTED.fullmatch(name) or _TEXT.fullmatch(name)
    is_hidden = name.startswith((".", "_"))
    if is_hidden or (numbers is None and (is_companion(name) or not name.endswith(TEXT_SUFFIXES))):
        return None
    groups = numbers.groupdict() if numbers else {}
    end = groups.get("end")
    return ArchiveFile(
        hour_ms=_hour_of(path),
        partition=int(groups.get("partition") or groups.get("partition_") or 0),
        start=int(groups.get("start") or groups.get("start_") or 0),
        path=path,
        size=size,
        form="parquet" if end else "json.gz" if name.endswith(".gz") else "json",
        end=int(end) if end else None,
        is_numbered=numbers is not None,
    )


def _hour_of(path: str) -> int:
    folder = _HOUR.search(path)
    try:
        year, month, day, hour = map(int, folder.groups()) if folder else (0, 0, 0, 0)
        return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp()) * 1000
    except ValueError:
        return -1


def is_companion(name: str) -> bool:
    """Whether a file has the keys or the headers of the records of another file."""
    return _COMPANION.fullmatch(name) is not None


def companion_base(name: str) -> str | None:
    """The beginning that a file of keys or headers shares with its file of values; None for other files."""
    match = _COMPANION.fullmatch(name)
    return name[: match.start("kind")] if match else None


def companion_names(values: str, kind: str) -> tuple[str, str]:
    """The names of the file of ``kind`` (keys or headers) that may stand beside a file of values.

    >>> companion_names("raw+0+0000000017.json.gz", "keys")
    ('raw+0+0000000017.keys.json.gz', 'raw+0+0000000017.keys.json')
    """
    base = values.removesuffix(".gz").rpartition(".")[0]
    return f"{base}.{kind}.json.gz", f"{base}.{kind}.json"


def parquet_name(topic: str, partition: int, start: int, end: int) -> str:
    """The name of a compacted file with a partition's offsets [start, end)."""
    return f"{topic}+{partition}+{start:010d}-{end:010d}.parquet"


def covers(parquet: ArchiveFile, file: ArchiveFile) -> bool:
    """Whether a compacted file has all records of another file of its folder and partition.

    It has the records of every file that starts within its offsets, because it replaces whole files with adjoining
    offsets. It has the records of another compacted file only if that file also ends within its offsets.
    """
    if parquet.end is None or parquet.path == file.path or not file.is_numbered:
        return False
    return parquet.start <= file.start and (file.end or file.start + 1) <= parquet.end


def newest_cover(files: Iterable[ArchiveFile]) -> list[ArchiveFile]:
    """The files that hold each record once, in topic order.

    During a compaction, and after a crash, a compacted file and its originals exist side by side. The originals are
    left out.
    """
    groups: dict[tuple[str, int], list[ArchiveFile]] = defaultdict(list)
    for file in files:
        groups[file.folder, file.partition].append(file)
    kept: list[ArchiveFile] = []
    for group in groups.values():
        # Sorted by start, then the farthest end first. So it is enough to compare with the latest file
        # that reaches farther than all files before it.
        group.sort(key=lambda file: (file.start, -(file.end or 0), file.path))
        widest: ArchiveFile | None = None
        for file in group:
            if widest is not None and covers(widest, file):
                continue
            kept.append(file)
            if file.end is not None and (widest is None or file.end > (widest.end or 0)):
                widest = file
    return sorted(kept)


def with_offsets(files: Iterable[ArchiveFile]) -> list[ArchiveFile]:
    """Files in topic order. Files without numbers get starts that keep their order.

    Such a file starts after all offsets that the files before it can have: a byte of gzip unpacks to at most 1,032.
    """
    start = _FIRST_UNNUMBERED
    numbered: list[ArchiveFile] = []
    for file in sorted(files):
        if not file.is_numbered:
            file, start = replace(file, start=start), start + 1_032 * file.size + 1
        numbered.append(file)
    return numbered
