"""Changes to an archive, on a local disk or in a bucket. A change happens completely or not at all.

A file first gets a hidden name, which readers skip. Then it is published. On a disk, that is a rename. A bucket has
no renames, so the server copies the object, and the copy appears when it is complete.
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
from opensea_metrics.producer.archive.layout import ArchiveFile
from opensea_metrics.producer.archive.location import Archive

SUFFIX = ".compacting"
_AT_ONCE = 8


class CompactError(OpenSeaMetricsError):
    """Compaction cannot continue. No record is lost. The message has the path and what to do."""


class ArchiveStore(Protocol):
    """Changes the files of an archive. Each method raises CompactError if the disk or bucket refuses."""

    def leftovers(self, folder: str) -> list[str]:
        """The hidden files in a folder that a killed compaction left."""

    def fetched(self, files: Sequence[ArchiveFile], into: Path) -> list[ArchiveFile]:
        """The files on the local disk. Files of a bucket are copied into ``into``."""

    def stage(self, file: Path, path: str) -> None:
        """Copy a local file to a path with a hidden name."""

    def publish(self, staged: str, path: str) -> None:
        """Give a staged file its final name. An existing file with this name is replaced."""

    def remove(self, paths: Sequence[str]) -> None:
        """Delete files, in order."""


def open_store(source: Archive) -> ArchiveStore:
    """The store of an archive."""
    return _DiskStore() if source.s3 is None else _BucketStore(source.fs)


def staged_name(path: str) -> str:
    """The hidden name of a file that is not published yet."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name}{SUFFIX}"


class _DiskStore:
    def leftovers(self, folder: str) -> list[str]:
        with _errors("list", folder):
            return sorted(str(path) for path in Path(folder).glob(f".*{SUFFIX}"))

    def fetched(self, files: Sequence[ArchiveFile], into: Path) -> list[ArchiveFile]:
        return list(files)

    def stage(self, file: Path, path: str) -> None:
        with _errors("write", path), open(file, "rb") as source, open(path, "wb") as target:
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
        """Sync a file's folder, so that a change of names survives a power cut."""
        handle = os.open(Path(path).parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class _BucketStore:
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

    def stage(self, file: Path, path: str) -> None:
        with _errors("write", path):
            self._fs.put_file(str(file), path)

    def publish(self, staged: str, path: str) -> None:
        with _errors("write", path):
            self._fs.cp_file(staged, path)
            if self._fs.size(path) != self._fs.size(staged):
                raise CompactError(f"{path} and the file that was copied to it differ in size. Remove it.")
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
            f"Cannot {verb} {error.filename or path}: it does not exist. Did another program change the archive?"
        ) from error
    except OSError as error:
        reason = os_reason(error)
        raise CompactError(f"Cannot {verb} {error.filename or path}: {reason}") from error
