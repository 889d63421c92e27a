"""A topic's folder in the archive, on a local disk or in an S3 bucket, and the files in it.

The names of folders and files are those of ``producer.layout``.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeGuard

import fsspec

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.producer.environment import without_secrets
from opensea_metrics.producer.layout import HOUR_MS, ArchiveFile, archive_file, covers, newest_cover
from opensea_metrics.spark_batch.settings import S3Settings

__all__ = ["ArchiveFile", "Source", "SourceError", "archive_file", "open_source"]

DAY_MS = 24 * HOUR_MS


class SourceError(OpenSeaMetricsError):
    """An archive cannot be found or reached; the message has the URL and what to do."""


@dataclass(frozen=True)
class Source:
    """A topic's folder: ``url`` as given, ``root`` as the file system ``fs`` takes it.

    ``s3`` is how the bucket is reached, None for a local folder.
    """

    url: str
    root: str
    fs: Any
    s3: S3Settings | None = None

    def files(self, first_ms: int | None = None, end_ms: int | None = None) -> list[ArchiveFile]:
        """The files of the hours in [first_ms, end_ms) and those outside all hours, in topic order.

        Of a compacted file and those that it was made of it is the compacted one
        (``producer.layout.newest_cover``). Raises SourceError if the folder is not there or cannot be listed.
        """
        return newest_cover(self.listing(first_ms, end_ms)[0])

    def listing(
        self, first_ms: int | None = None, end_ms: int | None = None
    ) -> tuple[list[ArchiveFile], list[tuple[str, str]]]:
        """All the files, those too that a compacted one covers; and the paths that no reader takes, with
        the reasons. Hidden files are neither."""
        found: list[ArchiveFile] = []
        strange: list[tuple[str, str]] = []
        for path, size in self._list(first_ms, end_ms):
            inside = path[len(self.root) + 1 :]
            if any(part.startswith((".", "_")) for part in inside.split("/")):
                continue
            if isinstance(size, str):
                strange.append((path, size))
                continue
            file = archive_file(path, size) if _is_utf8(path) else None
            if file is None:
                reason = "its name is not of the layout" if _is_utf8(path) else "its name is not UTF-8"
                strange.append((path, reason))
            elif file.hour_ms < 0 or (
                (first_ms is None or file.hour_ms + HOUR_MS > first_ms)
                and (end_ms is None or file.hour_ms < end_ms)
            ):
                found.append(file)
        return sorted(found), sorted(strange)

    def folders(self, files: Iterable[ArchiveFile]) -> set[str]:
        """The folders on the local disk in which some of the files are: the topic's, and those to which
        links in it lead. None for a bucket."""
        if self.s3 is not None:
            return set()
        root = os.path.realpath(self.root)
        files = list(files)
        found = {os.path.realpath(parent) for parent in {os.path.dirname(file.path) for file in files}}
        found |= {os.path.dirname(os.path.realpath(file.path)) for file in files if os.path.islink(file.path)}
        return {root} | {each for each in found if not f"{each}/".startswith(f"{root}/")}

    def originals(self, parquet: ArchiveFile) -> list[ArchiveFile]:
        """The files beside a compacted one that it was made of, if they are still there."""
        listed, _ = self.listing(parquet.hour_ms, parquet.hour_ms + HOUR_MS)
        return [
            each
            for each in listed
            if each.form != "parquet"
            and (each.folder, each.partition) == (parquet.folder, parquet.partition)
            and covers(parquet, each)
        ]

    def on_disk(self, file: ArchiveFile, folder: Path) -> Path:
        """Where a file is on the local disk: as it is, or, of a bucket, copied into a folder.

        Raises SourceError for a file that cannot be had.
        """
        if self.s3 is None:
            return Path(file.path)
        path = folder / f"{file.hour_ms}-{file.name}"
        try:
            self.fs.get_file(file.path, str(path))
        except OSError as error:
            raise SourceError(f"Cannot read {file.path}: {reason(error)}") from error
        return path

    def _list(self, first_ms: int | None, end_ms: int | None) -> Iterator[tuple[str, int | str]]:
        """Paths with sizes, or the reasons why they are no files."""
        try:
            if not self.fs.exists(self.root):
                raise SourceError(
                    f"There is no archive at {self.url}. --source names a topic's folder, such as "
                    "s3a://bucket/topics/OpenSeaRawEvents."
                )
            for folder in self._folders(first_ms, end_ms):
                if self.s3 is None:
                    yield from _walk(folder)
                    continue
                for path, info in self.fs.find(folder, detail=True).items():
                    yield path, int(info["size"] or 0)
        except SourceError:
            raise
        except Exception as error:  # fsspec's file systems each have errors of their own
            where = getattr(error, "filename", None) or self.url
            raise SourceError(f"Cannot list {where}: {reason(error)}") from error

    def _folders(self, first_ms: int | None, end_ms: int | None) -> list[str]:
        """What to list: the days of a period, if they are fewer than the archive's could be."""
        if first_ms is None or end_ms is None or end_ms - first_ms > 62 * DAY_MS:
            return [self.root]
        day = datetime.fromtimestamp(first_ms // 1000, UTC).replace(hour=0, minute=0, second=0)
        folders = [
            path
            for path in self._children(self.root)
            if not path.rsplit("/", 1)[-1].startswith("year=")
        ]
        while day.timestamp() * 1000 < end_ms:
            folders.append(f"{self.root}/{day:year=%Y/month=%m/day=%d}")
            day += timedelta(days=1)
        return folders

    def _children(self, folder: str) -> list[str]:
        return [str(path) for path in self.fs.ls(folder, detail=False)]


def open_source(url: str | Path) -> Source:
    """The topic's folder that a path or an s3:// or s3a:// URL names.

    Keys and endpoint come from the environment or ``.env`` (:class:`S3Settings`). Raises SourceError for
    another scheme, or without s3fs.
    """
    given = str(url).rstrip("/")
    scheme, separator, rest = given.partition("://")
    if not separator or scheme == "file":
        path = Path(rest if separator else given).absolute()
        return Source(str(path), str(path), fsspec.filesystem("file"))
    if scheme not in ("s3", "s3a") or not rest:
        raise SourceError(f"{without_secrets(given)}: an archive is a folder, or s3a://bucket/path")
    if set("@:") & set(rest.partition("/")[0]):
        raise SourceError(
            f"{without_secrets(given)}: keys are taken from AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, not from the URL"
        )
    s3 = S3Settings()
    try:
        fs = fsspec.filesystem("s3", **s3.s3fs())
    except ImportError as error:
        raise SourceError("S3 needs s3fs: pip install 'opensea-metrics[s3]'") from error
    return Source(given, rest, fs, s3)


def _walk(folder: str) -> Iterator[tuple[str, int | str]]:
    """A local folder's files, or the file that it is, with sizes, or why it is no file that can be read.

    Links are followed, but not into a folder that they are in. fsspec would pass over a folder that may
    not be read, and not end in a loop.
    """
    if os.path.isfile(folder):
        yield folder, os.stat(folder).st_size
        return
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [(folder, frozenset())]
    while waiting:
        folder, above = waiting.pop()
        try:
            state = os.stat(folder)
            if (here := (state.st_dev, state.st_ino)) in above:
                yield folder, "it links to a folder that it is in"
                continue
            with os.scandir(folder) as entries:
                inside = list(entries)
        except (FileNotFoundError, NotADirectoryError):
            continue  # it has just gone
        for entry in inside:
            try:
                if entry.is_dir():
                    waiting.append((entry.path, above | {here}))
                else:
                    state = entry.stat()
                    is_file = stat.S_ISREG(state.st_mode)
                    yield entry.path, state.st_size if is_file else "it is no regular file"
            except OSError as error:
                if error.errno == errno.ELOOP or entry.is_symlink():
                    yield entry.path, "it links to nothing"
                elif not isinstance(error, FileNotFoundError):  # it has just gone
                    raise


def _is_utf8(path: str) -> bool:
    return not any("\udc80" <= char <= "\udcff" for char in path)


def is_of_storage(error: BaseException) -> TypeGuard[Exception]:
    """Whether a disk or bucket caused an error: S3's own errors are not all OSErrors."""
    return isinstance(error, OSError) or type(error).__module__.startswith(("botocore", "aiohttp"))


def reason(error: Exception) -> str:
    """What went wrong, in one line without keys: the system's or S3's own words."""
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    if isinstance(response, dict) and "Error" in response:
        details = response["Error"]
        return f"{details.get('Code')}: {details.get('Message')}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}".splitlines()[0]
