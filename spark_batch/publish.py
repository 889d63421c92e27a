"""Writes results as files of a folder or bucket. All of them appear when the last one is written, or none.

There is one Parquet, JSON or CSV file per table, ``<table>.parquet``, ``<table>.ndjson`` or ``<table>.csv``.
``run.json`` describes the run. An older one is deleted first and the new one is written last, so all files beside a
``run.json`` are from one run. Files with the same names are replaced, and others do not change.
"""

from __future__ import annotations

import base64
import csv
import errno
import io
import os
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.producer.archive.errors import is_of_storage, reason
from opensea_metrics.producer.archive.location import open_archive
from opensea_metrics.spark_batch.job import Table

RUN = "run.json"


class PublishError(OpenSeaMetricsError):
    """Results cannot be written. The message says where and why."""


class Folder(Protocol):
    """A folder whose new files are hidden until :meth:`publish`."""

    def open(self, name: str) -> BinaryIO: ...

    def publish(self) -> None: ...

    def discard(self) -> None: ...


@dataclass
class _LocalFolder:
    path: Path
    names: dict[Path, Path] = field(default_factory=dict)
    """The final path of each hidden file."""

    def open(self, name: str) -> BinaryIO:
        self.path.mkdir(parents=True, exist_ok=True)
        hidden = self.path / f".{name}.{uuid.uuid4().hex[:8]}.tmp"
        self.names[hidden] = self.path / name
        return open(hidden, "wb")

    def publish(self) -> None:
        with ThreadPoolExecutor() as pool:  # a disk writes several files in about the time of one
            list(pool.map(_to_disk, self.names))
        (self.path / RUN).unlink(missing_ok=True)
        for hidden, final in self.names.items():
            hidden.replace(final)

    def discard(self) -> None:
        for hidden in self.names:
            hidden.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


@dataclass
class _Bucket:
    """An object appears when its upload is completed. Before that, readers see nothing of it."""

    fs: Any
    root: str
    uploads: list[Any] = field(default_factory=list)

    def open(self, name: str) -> BinaryIO:
        file = self.fs.open(f"{self.root}/{name}", "wb", autocommit=False)
        self.uploads.append(file)
        return cast(BinaryIO, file)

    def publish(self) -> None:
        if self.fs.exists(f"{self.root}/{RUN}"):
            self.fs.rm_file(f"{self.root}/{RUN}")
        for file in self.uploads:
            file.commit()

    def discard(self) -> None:
        for file in self.uploads:
            file.discard()


def check(url: str) -> None:
    """Check that files can be written to a folder or bucket, before a run computes them. Writes nothing.

    Raises PublishError.
    """
    place = open_archive(url)
    with _failures(url):
        if place.s3 is None:
            _check_folder(Path(place.root))
            return
        bucket, _, key = f"{place.root}/{RUN}".partition("/")
        upload = place.fs.call_s3("create_multipart_upload", Bucket=bucket, Key=key)
        place.fs.call_s3("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=upload["UploadId"])


def _check_folder(path: Path) -> None:
    """Raises OSError unless the folder, or its nearest parent that exists, is writable."""
    while not path.exists() and path != path.parent:
        path = path.parent
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@contextmanager
def _failures(url: str) -> Iterator[None]:
    """Raises PublishError for errors of a disk or bucket."""
    try:
        yield
    except Exception as error:
        if is_of_storage(error):
            raise PublishError(f"Cannot write results to {url}: {reason(error)}") from error
        raise


@contextmanager
def published(url: str) -> Iterator[Folder]:
    """A folder whose files appear when the block ends, and not at all if it fails. Raises PublishError."""
    place = open_archive(url)
    folder: Folder = (
        _LocalFolder(Path(place.root)) if place.s3 is None else _Bucket(place.fs, place.root)
    )
    with _failures(url):
        try:
            yield folder
            folder.publish()
        except BaseException:
            with suppress(Exception):  # the first error is the one to report
                folder.discard()
            raise


Writer = Callable[[BinaryIO, pa.Schema, Iterable[pa.RecordBatch]], int]


def write_tables(folder: Folder, tables: Iterable[Table], form: str) -> dict[str, int]:
    """Write tables as ``parquet``, ``ndjson`` or ``csv`` files, and return the number of rows of each."""
    rows = {}
    for table in tables:
        with folder.open(f"{table.name.lower()}.{form}") as file:
            rows[table.name] = _WRITERS[form](file, table.schema, table.batches)
    return rows


def with_timestamps(table: Table, times: Collection[str]) -> Table:
    """A table whose BIGINT columns in ``times`` (epoch ms) are timestamps in UTC."""
    kind = pa.timestamp("ms", "UTC")
    fields = [field.with_type(kind) if field.name in times and field.type == pa.int64() else field
              for field in table.schema]  # fmt: skip
    schema = pa.schema(fields)
    return Table(table.name, schema, (_viewed(batch, schema) for batch in table.batches))


def _viewed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The same memory with other types. A cast would import ``pyarrow.compute``, which takes long."""
    columns = [
        column if column.type == field.type else column.view(field.type)
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def write_description(folder: Folder, facts: Mapping[str, Any]) -> None:
    """Write ``run.json``."""
    with folder.open(RUN) as file:
        file.write(orjson.dumps(facts, option=orjson.OPT_INDENT_2) + b"\n")


def _parquet(file: BinaryIO, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    rows = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def _ndjson(file: BinaryIO, _: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    rows = 0
    for batch in batches:
        for row in batch.to_pylist():
            file.write(orjson.dumps(row, _exactly) + b"\n")
            rows += 1
    return rows


def _csv(file: BinaryIO, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    """A header and one line per row. NULL is empty; lists and STRUCTs are JSON."""
    rows = 0
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(schema.names)
    for batch in batches:
        for row in batch.to_pylist():
            writer.writerow(map(_csv_cell, row.values()))
            rows += 1
    text.flush()
    text.detach()
    return rows


def _exactly(value: Any) -> Any:
    """A value that orjson does not write by itself: a DECIMAL with all its digits, BYTES as base64."""
    if isinstance(value, Decimal):
        return orjson.Fragment(f"{value:f}")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"a value of the type {type(value).__name__} has no form in JSON")


def _csv_cell(value: Any) -> Any:
    if isinstance(value, Decimal | bytes):
        return f"{value:f}" if isinstance(value, Decimal) else _exactly(value)
    if isinstance(value, list | dict):
        return orjson.dumps(value, _exactly).decode()
    return str(value).lower() if isinstance(value, bool) else value


_WRITERS: Mapping[str, Writer] = {"parquet": _parquet, "ndjson": _ndjson, "csv": _csv}
