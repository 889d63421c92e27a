"""Files of an archive in the making, under hidden names, and the lock of a topic."""

from __future__ import annotations

import fcntl
import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from opensea_metrics.core.errors import os_reason
from opensea_metrics.producer.archive.errors import ArchiveError


@dataclass
class HiddenFile:
    """A gzip file of a topic under a hidden name, until it is whole.

    ``lines`` wait until there are enough to compress. ``keys`` are those of all lines.
    """

    path: Path
    raw: BinaryIO
    zipped: gzip.GzipFile
    count: int = 0
    size: int = 0
    waiting: int = 0
    lines: list[bytes] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    keeps_keys: bool = False

    def drain(self) -> None:
        """Compress the lines that wait. Raises OSError."""
        self.lines.append(b"")
        self.zipped.write(b"\n".join(self.lines))
        self.lines.clear()
        self.waiting = 0

    def abandon(self) -> None:
        """Close and remove the file, whatever state it is in."""
        with suppress(OSError):
            self.zipped.close()
        with suppress(OSError):
            self.raw.close()
        with suppress(OSError):
            self.path.unlink()


def locked(directory: Path) -> BinaryIO:
    """The lock of a topic's directory: held until it is closed, or the process dies."""
    lock = open(directory / ".lock", "wb")  # noqa: SIM115 - open until the writer is closed
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise ArchiveError(
            f"Another process writes into {directory}. Stop it, or choose another directory."
        ) from error
    return lock


def sync_directory(directory: Path) -> None:
    """Make a rename last through a power cut."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def errors_at(path: Path) -> Iterator[None]:
    """Turn an OSError into an ArchiveError that says what to do."""
    try:
        yield
    except OSError as error:
        raise ArchiveError(
            f"Cannot write {error.filename or path}: {os_reason(error)}. "
            "Choose a directory that can be written, with room on its disk."
        ) from error
