"""Changes to an archive, on a local disk or in a bucket, each of which happens whole or not at all.

A file is first put under a hidden name, which no reader takes; then it is published. On a disk that
is a rename. A bucket has none: there it is copied by the server, and the copy appears when it is
complete.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from opensea_metrics.core.errors import OpenSeaMetricsError, os_reason
from opensea_metrics.producer.layout import ArchiveFile
from opensea_metrics.spark_batch.source import Source

SUFFIX = ".compacting"
_AT_ONCE = 8


class CompactError(OpenSeaMetricsError):
    """Compaction cannot go on; no record is lost. The message has the path and what to do."""


class Store(Protocol):
    """Each method raises CompactError if the disk or bucket does not allow it."""

    def leftovers(self, folder: str) -> list[str]:
        """Hidden files that a compaction left in a folder when it was ended."""

    def fetched(self, files: Sequence[ArchiveFile], into: Path) -> list[ArchiveFile]:
        """The files on the local disk: as they are, or copied."""

    def stage(self, made: Path, path: str) -> None:
        """Put a local file there, under a hidden name."""

    def publish(self, staged: str, path: str) -> None:
        """Give a staged file its name; a file that has it is replaced."""

    def remove(self, paths: Sequence[str]) -> None:
        """Take files away, in order."""


def open_store(source: Source) -> Store:
    """The store of an archive."""
    return _Disk() if source.s3 is None else _Bucket(source.fs)


def staged_name(path: str) -> str:
    """The hidden name of a file that is not published yet."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name}{SUFFIX}"


class _Disk:
    def leftovers(self, folder: str) -> list[str]:
        with _errors("list", folder):
            return sorted(str(path) for path in Path(folder).glob(f".*{SUFFIX}"))

    def fetched(self, files: Sequence[ArchiveFile], into: Path) -> list[ArchiveFile]:
        return list(files)

    def stage(self, made: Path, path: str) -> None:
        with _errors("write", path), open(made, "rb") as source, open(path, "wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
            target.flush()
            os.fsync(target.fileno())

    def publish(self, staged: str, path: str) -> None:
        with _errors("write", path):
            os.replace(staged, path)
            self._sync(path)

    def remove(self, paths: Sequence[str]) -> None:
        for path in paths:
            with _errors("remove", path):
                Path(path).unlink(missing_ok=True)
        if paths:
            with _errors("remove", paths[-1]):
                self._sync(paths[-1])

    def _sync(self, path: str) -> None:
        """Make a change of names last through a power cut."""
        handle = os.open(Path(path).parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class _Bucket:
    def __init__(self, fs: Any) -> None:
        self._fs = fs

    def leftovers(self, folder: str) -> list[str]:
        with _errors("list", folder):
            return sorted(path for path in self._fs.find(folder) if path.endswith(SUFFIX))

    def fetched(self, files: Sequence[ArchiveFile], into: Path) -> list[ArchiveFile]:
        targets = [into / f"{number}-{file.name}" for number, file in enumerate(files)]

        def fetch(file: ArchiveFile, target: Path) -> ArchiveFile:
            with _errors("read", file.path):
                self._fs.get_file(file.path, str(target))
            return replace(file, path=str(target))

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(fetch, files, targets))

    def stage(self, made: Path, path: str) -> None:
        with _errors("write", path):
            self._fs.put_file(str(made), path)

    def publish(self, staged: str, path: str) -> None:
        with _errors("write", path):
            self._fs.cp_file(staged, path)
            if self._fs.size(path) != self._fs.size(staged):
                raise CompactError(f"{path} is not as long as it was copied; it is left, remove it.")
            self._fs.rm_file(staged)

    def remove(self, paths: Sequence[str]) -> None:
        if paths:
            with _errors("remove", paths[0]):
                self._fs.rm(list(paths))


@contextmanager
def _errors(verb: str, path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise CompactError(
            f"Cannot {verb} {error.filename or path}: it is not there. Did another program change the archive?"
        ) from error
    except OSError as error:
        reason = os_reason(error)
        raise CompactError(f"Cannot {verb} {error.filename or path}: {reason}") from error
