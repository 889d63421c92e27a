"""A topic's folder in the archive, on a local disk or in an S3 bucket, and the files in it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from opensea_metrics.producer.archive import listing, paths
from opensea_metrics.producer.archive.errors import ArchiveError, reason
from opensea_metrics.producer.archive.layout import (
    HOUR_MS,
    ArchiveFile,
    archive_file,
    companion_names,
    covers,
    newest_cover,
    with_offsets,
)
from opensea_metrics.producer.archive.listing import File, Listing
from opensea_metrics.producer.archive.text import DescriptorReader, Raw

if TYPE_CHECKING:  # classes of settings take long to import, and a folder needs none
    from opensea_metrics.producer.archive.s3 import S3Settings

DAY_MS = 24 * HOUR_MS
_YEAR = "year="
_AT_ONCE = 8 * 1024 * 1024
"""Bytes of the largest file that is fetched from a bucket with one request."""


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


class _LocalFiles:
    """fsspec's file system of the local disk. It is imported when it is used, because that takes as long as DuckDB."""

    def __getattr__(self, name: str) -> Any:
        import fsspec

        return getattr(fsspec.filesystem("file"), name)


_LOCAL = _LocalFiles()


@dataclass(frozen=True)
class Archive:
    """A topic's folder: ``url`` as given, ``root`` in the notation of the file system ``fs``.

    ``s3`` holds the settings for the bucket, None for a local folder.
    """

    url: str
    root: str
    fs: Any
    s3: S3Settings | None = None

    def files(self, first_ms: int | None = None, end_ms: int | None = None) -> list[ArchiveFile]:
        """The files of :meth:`listing` that hold each record once, in topic order. Raises ArchiveError."""
        return self.listing(first_ms, end_ms).newest

    def listing(self, first_ms: int | None = None, end_ms: int | None = None) -> ArchiveListing:
        """All files of the hours in [first_ms, end_ms) and those outside all hours, including covered originals.

        Raises ArchiveError if the folder does not exist or cannot be listed.
        """
        entries = ArchiveListing()
        for part in self._listings(first_ms, end_ms):
            entries.refused.update((f"{self.root}/{path}", why) for path, why in part.refused.items())
            entries.companions.update(f"{self.root}/{companion.path}" for companion in part.companions)
            entries.others.update((f"{self.root}/{path}", why) for path, why in part.others.items())
            for entry in part.files:
                file = archive_file(f"{self.root}/{entry.path}", entry.size)
                assert file is not None
                if why := listing.partition_refusal(file.partition):
                    entries.refused[file.path] = why
                elif file.hour_ms < 0 or (
                    (first_ms is None or file.hour_ms + HOUR_MS > first_ms)
                    and (end_ms is None or file.hour_ms < end_ms)
                ):
                    entries.files.append(file)
        entries.files.sort()
        return entries

    def folders(self, files: Iterable[ArchiveFile]) -> set[str]:
        """The folders on the local disk that hold the files: the topic's folder, and the targets of links in it.

        For a bucket, there are none.
        """
        if self.s3 is not None:
            return set()
        root = os.path.realpath(self.root)
        files = list(files)
        folders = {os.path.realpath(parent) for parent in {os.path.dirname(file.path) for file in files}}
        folders |= {os.path.dirname(os.path.realpath(file.path)) for file in files if os.path.islink(file.path)}
        return {root} | {folder for folder in folders if not f"{folder}/".startswith(f"{root}/")}

    def originals(self, parquet: ArchiveFile) -> list[ArchiveFile]:
        """The files that a compacted file replaces, if they still exist beside it."""
        return [
            file
            for file in self.listing(parquet.hour_ms, parquet.hour_ms + HOUR_MS).files
            if file.form != "parquet"
            and (file.folder, file.partition) == (parquet.folder, parquet.partition)
            and covers(parquet, file)
        ]

    def companion(self, file: ArchiveFile, kind: str) -> ArchiveFile | None:
        """The file of ``kind`` (keys or headers) beside a text file, if there is one. Raises ArchiveError."""
        for name in companion_names(file.name, kind):
            path = f"{file.folder}/{name}"
            try:
                if self.fs.exists(path):
                    form = "json.gz" if name.endswith(".gz") else "json"
                    return ArchiveFile(file.hour_ms, file.partition, file.start, path, 0, form)
            except OSError as error:
                raise ArchiveError(f"Cannot read {path}: {reason(error)}") from error
        return None

    @contextmanager
    def opened(self, file: ArchiveFile) -> Iterator[Raw]:
        """The bytes of a file. Raises OSError."""
        if self.s3 is None:
            with paths.opened(file.path) as descriptor:
                yield DescriptorReader(descriptor)
        else:
            with self.fs.open(file.path, "rb", cache_type="readahead") as raw:
                yield cast(Raw, raw)

    def contents(self, files: Sequence[ArchiveFile]) -> dict[str, bytes]:
        """The contents of small text files by their paths, if they are in a bucket; it gives many files at a time.

        Empty for a local disk. Raises ArchiveError.
        """
        small = [file.path for file in files if file.size <= _AT_ONCE and file.form != "parquet"]
        if self.s3 is None or not small:
            return {}
        try:
            return dict(self.fs.cat(small))
        except OSError as error:
            where = small[0] if len(small) == 1 else files[0].folder
            raise ArchiveError(f"Cannot read {where}: {reason(error)}") from error

    def on_disk(self, file: ArchiveFile, folder: Path) -> Path:
        """The path of a file on the local disk. A file of a bucket is copied into ``folder``.

        Raises ArchiveError for a file that cannot be fetched.
        """
        if self.s3 is None:
            return Path(file.path)
        path = folder / f"{file.hour_ms}-{file.name}"
        try:
            self.fs.get_file(file.path, str(path))
        except OSError as error:
            raise ArchiveError(f"Cannot read {file.path}: {reason(error)}") from error
        return path

    def _listings(self, first_ms: int | None, end_ms: int | None) -> Iterator[Listing]:
        try:
            if not (os.path.exists if self.s3 is None else self.fs.exists)(self.root):
                raise ArchiveError(
                    f"There is no archive at {self.url}. --source names a topic's folder, such as "
                    "s3a://bucket/topics/OpenSeaRawEvents."
                )
            days = self._days(first_ms, end_ms)
            for part in self._in_bucket(days) if self.s3 else self._on_disk(days):
                for folder, why in part.unlisted.items():
                    raise ArchiveError(f"Cannot list {self.root}/{folder}: {why}")
                yield part
        except ArchiveError:
            raise
        except Exception as error:  # each of fsspec's file systems has errors of its own
            where = getattr(error, "filename", None) or self.url
            raise ArchiveError(f"Cannot list {where}: {reason(error)}") from error

    def _on_disk(self, days: list[str] | None) -> Iterator[Listing]:
        yield listing.listed(self.root, without=None if days is None else _YEAR)
        for day in days or ():
            yield listing.listed(self.root, day)

    def _in_bucket(self, days: list[str] | None) -> Iterator[Listing]:
        folders = [""]
        if days is not None:
            names = [str(path).rsplit("/", 1)[-1] for path in self.fs.ls(self.root, detail=False)]
            folders = [name for name in names if not name.startswith((_YEAR, ".", "_"))] + days
        for folder in folders:
            part = Listing()
            for path, info in self.fs.find(f"{self.root}/{folder}".rstrip("/"), detail=True).items():
                inside = path[len(self.root) + 1 :]
                if any(name.startswith((".", "_")) for name in inside.split("/")):
                    continue
                if not paths.is_text(inside):
                    part.refused[paths.shown(inside)] = paths.NOT_TEXT
                else:
                    part.add(File(inside, int(info["size"] or 0), 0, 0.0))
            part.judge_companions()
            yield part

    def _days(self, first_ms: int | None, end_ms: int | None) -> list[str] | None:
        """The folders of a period's days, or None for all folders if the period is longer than 62 days or open."""
        if first_ms is None or end_ms is None or end_ms - first_ms > 62 * DAY_MS:
            return None
        day = datetime.fromtimestamp(first_ms // 1000, UTC).replace(hour=0, minute=0, second=0)
        folders = []
        while day.timestamp() * 1000 < end_ms:
            folders.append(f"{day:year=%Y/month=%m/day=%d}")
            day += timedelta(days=1)
        return folders


def open_archive(url: str | Path) -> Archive:
    """The topic's folder at a path or an s3:// or s3a:// URL.

    Keys and endpoint come from the environment or ``.env`` (:class:`S3Settings`). Raises ArchiveError for
    another scheme, or if s3fs is not installed.
    """
    given = str(url).rstrip("/")
    scheme, separator, rest = given.partition("://")
    if not separator or scheme == "file":
        path = Path(rest if separator else given).absolute()
        return Archive(str(path), str(path), _LOCAL)
    from opensea_metrics.producer.archive.s3 import S3Settings
    from opensea_metrics.producer.environment import without_secrets

    if scheme not in ("s3", "s3a") or not rest:
        raise ArchiveError(f"{without_secrets(given)}: an archive is a folder, or s3a://bucket/path")
    if set("@:") & set(rest.partition("/")[0]):
        raise ArchiveError(
            f"{without_secrets(given)}: keys are taken from AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, not from the URL"
        )
    import fsspec

    s3 = S3Settings()
    try:
        fs = fsspec.filesystem("s3", **s3.s3fs())
    except ImportError as error:
        raise ArchiveError("S3 needs s3fs: pip install 'opensea-metrics[s3]'") from error
    return Archive(given, rest, fs, s3)
