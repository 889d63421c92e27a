"""The archive of raw events: does its folder or bucket exist, and does it grow?"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.core.wording import counted
from opensea_metrics.deploy.doctor.checks import Check, Checker, Unreachable, age_text
from opensea_metrics.producer.archive.errors import ArchiveError
from opensea_metrics.producer.archive.location import Archive, open_archive

LEVELS = ("year=", "month=", "day=", "hour=")
QUIET = 1800  # seconds without a new file until the check warns; the sink writes one every ten minutes
report = Checker("archive")


@dataclass(frozen=True)
class ArchiveFacts:
    """The newest hour that has files: its folder, its files and bytes, and the last write."""

    hour: str
    files: int
    size: int
    written: float | None  # epoch seconds


def examine(url: str, now: Callable[[], float] = time.time) -> list[Check]:
    """Read the newest folders at ``url``, and check them. Raises Unreachable."""
    try:
        source = open_archive(url)
        facts = fetch(source)
    except OpenSeaMetricsError as error:
        raise Unreachable(str(error)) from None
    except Exception as error:  # fsspec's file systems each have errors of their own
        raise Unreachable(f"cannot list {url}: {type(error).__name__}: {error}") from None
    return judge(url, facts, now())


def judge(url: str, facts: ArchiveFacts | None, now: float) -> list[Check]:
    """The checks of the newest hour. ``now`` is in epoch seconds."""
    if facts is None:
        return [
            report.warning(
                "files",
                f"{url} has no files yet",
                "the sink writes its first file within ten minutes of an event: does it run (connect)?",
            )
        ]
    checks = [
        report.ok(
            "files", f"newest hour {facts.hour}: {counted(facts.files, 'file')}, {facts.size / 1e6:.1f} MB"
        )
    ]
    if facts.written is None:
        return checks
    age = max(now - facts.written, 0)
    if age > QUIET:
        return [
            *checks,
            report.warning(
                "growing",
                f"last written {age_text(age)} ago",
                "does the sink run (connect)? do events arrive (kafka)?",
            ),
        ]
    return [*checks, report.ok("growing", f"last written {age_text(age)} ago")]


def fetch(source: Archive) -> ArchiveFacts | None:
    """The newest hour with files, or None if the folder is empty. Raises ArchiveError without a folder."""
    if not source.fs.exists(source.root):
        raise ArchiveError(
            f"there is no archive at {source.url}: the sink creates it with its first file"
        )
    folder = source.root
    for level in LEVELS:
        below = sorted(
            path
            for path in source.fs.ls(folder, detail=False)
            if str(path).rstrip("/").rpartition("/")[2].startswith(level)
        )
        if not below:
            break
        folder = below[-1]
    files = [file for file in source.fs.ls(folder, detail=True) if file["type"] == "file"]
    if not files:
        return None
    times = [moment for file in files if (moment := _written(file)) is not None]
    return ArchiveFacts(
        folder[len(source.root) :].strip("/") or ".",
        len(files),
        sum(int(file["size"] or 0) for file in files),
        max(times) if times else None,
    )


def _written(info: dict[str, Any]) -> float | None:
    """When a file was last written: LastModified in S3, mtime on a local disk."""
    moment = info.get("LastModified") or info.get("mtime")
    return moment.timestamp() if isinstance(moment, datetime) else moment
