"""A topic's folder in the archive, on a local disk or in an S3 bucket, and the contents of its files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from opensea_metrics.producer.archive import archive_files, paths
from opensea_metrics.producer.archive.archive_files import ArchiveListing
from opensea_metrics.producer.archive.errors import ArchiveError, reason
from opensea_metrics.producer.archive.layout import HOUR_MS, ArchiveFile, companion_names, covers
from opensea_metrics.producer.archive.text import DescriptorReader, Raw

if TYPE_CHECKING:  # classes of settings take long to import, and a folder needs none
    from opensea_metrics.producer.archive.s3 import S3Settings

_AT_ONCE = 8 * 1024 * 1024
"""Bytes of the largest file that is fetched from a bucket with one request."""


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
        return archive_files.listing(self.url, self.root, None if self.s3 is None else self.fs, first_ms, end_ms)

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
