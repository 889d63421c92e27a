"""The files of a topic's folder in the archive, on a local disk or in an S3 bucket."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from opensea_metrics.producer.archive.errors import ArchiveError, reason
from opensea_metrics.producer.archive.layout import (
    HOUR_MS,
    ArchiveFile,
    archive_file,
    newest_cover,
    with_offsets,
)
from opensea_metrics.producer.archive.listing import File, Listing, listed, partition_refusal
from opensea_metrics.producer.archive.paths import NOT_TEXT, is_text, shown

DAY_MS = 24 * HOUR_MS
_YEAR = "year="


@dataclass(frozen=True)
class ArchiveListing:
    """The files of a topic's folder, and the paths of ``companions`` with their keys and headers.

    ``refused`` are paths that no reader accepts, with the reasons, and ``others`` are entries with other names.
    """

    files: list[ArchiveFile] = field(default_factory=list)
    companions: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)

    @property
    def newest(self) -> list[ArchiveFile]:
        """The files that hold each record once (``layout.newest_cover``), in topic order."""
        return with_offsets(newest_cover(self.files))


def listing(url: str, root: str, bucket: Any, first_ms: int | None, end_ms: int | None) -> ArchiveListing:
    """All files of the hours in [first_ms, end_ms) and those outside all hours, including covered originals.

    ``url`` is the folder as given, and ``root`` the folder in the notation of ``bucket``: fsspec's file system, or
    None for the local disk. Raises ArchiveError if the folder does not exist or cannot be listed.
    """
    entries = ArchiveListing()
    for part in _listings(url, root, bucket, first_ms, end_ms):
        entries.refused.update((f"{root}/{path}", why) for path, why in part.refused.items())
        entries.companions.update(f"{root}/{companion.path}" for companion in part.companions)
        entries.others.update((f"{root}/{path}", why) for path, why in part.others.items())
        for entry in part.files:
            file = archive_file(f"{root}/{entry.path}", entry.size)
            assert file is not None
            if why := partition_refusal(file.partition):
                entries.refused[file.path] = why
            elif file.hour_ms < 0 or (
                (first_ms is None or file.hour_ms + HOUR_MS > first_ms)
                and (end_ms is None or file.hour_ms < end_ms)
            ):
                entries.files.append(file)
    entries.files.sort()
    return entries


def _listings(
    url: str, root: str, bucket: Any, first_ms: int | None, end_ms: int | None
) -> Iterator[Listing]:
    try:
        if not (os.path.exists if bucket is None else bucket.exists)(root):
            raise ArchiveError(
                f"There is no archive at {url}. --source names a topic's folder, such as "
                "s3a://bucket/topics/OpenSeaRawEvents."
            )
        days = _days(first_ms, end_ms)
        for part in _on_disk(root, days) if bucket is None else _in_bucket(bucket, root, days):
            for folder, why in part.unlisted.items():
                raise ArchiveError(f"Cannot list {root}/{folder}: {why}")
            yield part
    except ArchiveError:
        raise
    except Exception as error:  # each of fsspec's file systems has errors of its own
        where = getattr(error, "filename", None) or url
        raise ArchiveError(f"Cannot list {where}: {reason(error)}") from error


def _on_disk(root: str, days: list[str] | None) -> Iterator[Listing]:
    yield listed(root, without=None if days is None else _YEAR)
    for day in days or ():
        yield listed(root, day)


def _in_bucket(bucket: Any, root: str, days: list[str] | None) -> Iterator[Listing]:
    folders = [""]
    if days is not None:
        names = [str(path).rsplit("/", 1)[-1] for path in bucket.ls(root, detail=False)]
        folders = [name for name in names if not name.startswith((_YEAR, ".", "_"))] + days
    for folder in folders:
        part = Listing()
        for path, info in bucket.find(f"{root}/{folder}".rstrip("/"), detail=True).items():
            inside = path[len(root) + 1 :]
            if any(name.startswith((".", "_")) for name in inside.split("/")):
                continue
            if not is_text(inside):
                part.refused[shown(inside)] = NOT_TEXT
            else:
                part.add(File(inside, int(info["size"] or 0), 0, 0.0))
        part.judge_companions()
        yield part


def _days(first_ms: int | None, end_ms: int | None) -> list[str] | None:
    """The folders of a period's days, or None for all folders if the period is longer than 62 days or open."""
    if first_ms is None or end_ms is None or end_ms - first_ms > 62 * DAY_MS:
        return None
    day = datetime.fromtimestamp(first_ms // 1000, UTC).replace(hour=0, minute=0, second=0)
    folders = []
    while day.timestamp() * 1000 < end_ms:
        folders.append(f"{day:year=%Y/month=%m/day=%d}")
        day += timedelta(days=1)
    return folders
