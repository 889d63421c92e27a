"""Where a topic's records are in an archive: the names of folders and files.

The layout is that of Confluent's S3 sink,
``…/topics/<topic>/year=YYYY/month=MM/day=DD/hour=HH/<topic>+<partition>+<start offset>.json.gz``,
with one JSON value a line. A sink with ``file.delim=-``, as the predecessor's, writes ``-`` for ``+``.
``opensea-metrics archive compact`` makes ``<topic>+<partition>+<start>-<end, exclusive>.parquet`` of
whole files, and takes those away afterwards. Nothing here does I/O.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

HOUR_MS = 3_600_000
_NAME = re.compile(
    r"(?P<topic>[^./+][^/+]*)(?P<delimiter>[+-])(?P<partition>[0-9]+)(?P=delimiter)(?P<start>[0-9]+)"
    r"(-(?P<end>[0-9]+))?\.(?P<form>json|json\.gz|parquet)"
)
_HOUR = re.compile(r"(?:^|/)year=(\d{4})/month=(\d{1,2})/day=(\d{1,2})/hour=(\d{1,2})/[^/]+$")


@dataclass(frozen=True, order=True)
class ArchiveFile:
    """One file of a topic, in topic order: by hour, partition, start offset.

    ``hour_ms`` is the folder's hour (epoch ms, UTC), -1 outside the layout's folders; ``end`` is the
    offset after the last record where the name tells it; ``form`` is json, json.gz or parquet;
    ``size`` in bytes; ``path`` as the file system takes it.
    """

    hour_ms: int
    partition: int
    start: int
    path: str
    size: int
    form: str
    end: int | None = None

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


def archive_file(path: str, size: int = 0) -> ArchiveFile | None:
    """The file that a path names, None if its name is not of the layout."""
    match = _NAME.fullmatch(path.rsplit("/", 1)[-1])
    if match is None or (match["form"] == "parquet") != (match["end"] is not None):
        return None
    hour_ms = -1
    if folder := _HOUR.search(path):
        try:
            hour_ms = int(datetime(*map(int, folder.groups()), tzinfo=UTC).timestamp()) * 1000  # type: ignore[arg-type, misc]
        except ValueError:
            return None
    return ArchiveFile(
        hour_ms=hour_ms,
        partition=int(match["partition"]),
        start=int(match["start"]),
        path=path,
        size=size,
        form=match["form"],
        end=int(match["end"]) if match["end"] else None,
    )


def parquet_name(topic: str, partition: int, start: int, end: int) -> str:
    """The name of a compacted file with a partition's offsets [start, end)."""
    return f"{topic}+{partition}+{start:010d}-{end:010d}.parquet"


def covers(parquet: ArchiveFile, file: ArchiveFile) -> bool:
    """Whether a compacted file has all records of another of its folder and partition.

    It was made of whole files with adjoining offsets: so it has those of every file that starts
    within its own, and of a compacted one that ends there too.
    """
    if parquet.end is None or parquet.path == file.path:
        return False
    return parquet.start <= file.start and (file.end or file.start + 1) <= parquet.end


def newest_cover(files: Iterable[ArchiveFile]) -> list[ArchiveFile]:
    """The files that hold each record once, in topic order.

    While files are compacted, or after a crash, there are both the compacted file and those that it
    was made of: these are left out.
    """
    groups: dict[tuple[str, int], list[ArchiveFile]] = defaultdict(list)
    for file in files:
        groups[file.folder, file.partition].append(file)
    found: list[ArchiveFile] = []
    for group in groups.values():
        # By start, the one that reaches farthest first: it is enough to compare with the last one
        # that reaches farther than all before.
        group.sort(key=lambda file: (file.start, -(file.end or 0), file.path))
        widest: ArchiveFile | None = None
        for file in group:
            if widest is not None and covers(widest, file):
                continue
            found.append(file)
            if file.end is not None and (widest is None or file.end > (widest.end or 0)):
                widest = file
    return sorted(found)
