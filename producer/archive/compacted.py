"""Compacted files (see ``spark_batch.upkeep``): their fields, and the texts that they keep."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from opensea_metrics.core.database import scratch_database
from opensea_metrics.core.quoting import text
from opensea_metrics.core.types import STRING, KsqlType, StructType
from opensea_metrics.producer.archive.errors import ArchiveError, Damaged, reason
from opensea_metrics.producer.archive.layout import ArchiveFile
from opensea_metrics.producer.archive.lines import LineBlock, line_blocks
from opensea_metrics.producer.archive.location import Archive
from opensea_metrics.sql.language.catalog.sources import Source as Stream

OWN = ("_offset", "_line", "_failed")
"""The columns of a compacted file that are not fields of its records."""
METADATA = "opensea_metrics_decoding"
"""The metadata key for the :func:`decoding` of a file's fields."""
ORIGINALS = "opensea_metrics_originals"
"""The metadata key for a file's :class:`Original` files."""
_VERSION = "3"
"""Version 1 wrote no metadata, matched names only in their exact case, and did not read dates and times. Version 2
accepted some text as JSON that ksqlDB does not accept, and wrote numbers in text as DuckDB does."""
_WHILE_WRITING = ("_file", "_time")
"""Additional columns of ``spark_batch.upkeep.rows``."""


@dataclass(frozen=True)
class Compacted:
    """A compacted file, its columns (None if it is damaged), and its path on the local disk."""

    file: ArchiveFile
    schema: pa.Schema | None
    path: Path

    @property
    def records(self) -> int:
        """The number of its records."""
        return (self.file.end or self.file.start) - self.file.start


def decoding(stream: Stream) -> str:
    """A text that is equal for streams whose records are decoded in the same way.

    It holds the version of this program's decoding, the stream's event time, and the types of the fields. Fields of
    text are left out, because any value can be text. Of a file whose fields were decoded differently, only the
    texts of its records are used. Leaving out text that nobody reads (``narrowing``) does not change the decoding.
    """
    fields = {part for column in stream.columns if not column.is_key for part in _parts(column.name, column.type)}
    return "; ".join([_VERSION, f"{stream.timestamp} {stream.timestamp_format}", *sorted(fields)])


def fetched(source: Archive, file: ArchiveFile, streams: Sequence[Stream], into: Path) -> Iterator[Compacted]:
    """A file on the local disk. Its fields are left out if they were not decoded as ``streams`` declare them.

    A file of a bucket is copied into the folder ``into``, because many reads of parts take longer than one read of
    the whole file. Raises ArchiveError for a file that cannot be fetched.
    """
    path = source.on_disk(file, into)
    columns = None
    with suppress(Damaged), _damage(file):
        columns = _decoded(pq.read_schema(path), streams)
    yield Compacted(file, columns, path)


def relation(files: Iterable[Compacted]) -> str:
    """The rows of files that share a schema, as a DuckDB expression."""
    paths = ", ".join(text(str(file.path)) for file in files)
    return f"read_parquet([{paths}], hive_partitioning = false)"


def unreadable(files: Iterable[Compacted]) -> Iterator[tuple[Compacted, str]]:
    """The files that DuckDB cannot read to their end, with the reasons. DuckDB's own errors seldom name the file."""
    files = list(files)
    with scratch_database(directories={file.path.parent for file in files}) as (database, _):
        for file in files:
            try:
                database.execute(f"SELECT max(COLUMNS(*)) FROM {relation([file])}").fetchall()
            except duckdb.Error as error:
                yield file, str(error).partition("\n")[0]


def damage(source: Archive, file: ArchiveFile) -> str | None:
    """The reason why a file cannot be read to its end, or None. Raises ArchiveError if it cannot be fetched."""
    try:
        with _damage(file), source.fs.open(file.path, "rb") as raw:
            opened = pq.ParquetFile(raw)
            for group in range(opened.num_row_groups):
                opened.read_row_group(group)
    except Damaged as error:
        return str(error)
    return None


def schema(source: Archive, file: ArchiveFile, streams: Sequence[Stream]) -> pa.Schema | None:
    """A file's columns, or None if it is damaged. Fields are left out as in :func:`fetched`.

    Raises ArchiveError for a file that cannot be fetched.
    """
    try:
        with _damage(file), source.fs.open(file.path, "rb") as raw:
            return _decoded(pq.read_schema(raw), streams)
    except Damaged:
        return None


def names_in_files(stream: Stream) -> dict[str, str]:
    """The columns of a stream's values that compacted files have, with their names in the files.

    The names in the files are in lower case. Some columns are only in the text of the record: those with the name
    of one of the files' own columns, and those whose names differ only in case.
    """
    taken = (*OWN, *_WHILE_WRITING)
    names = [column.name for column in stream.columns if not column.is_key]
    lower = Counter(name.lower() for name in names)
    return {
        name: name.lower() for name in names if name.lower() not in taken and lower[name.lower()] == 1
    }


def _decoded(schema: pa.Schema, streams: Sequence[Stream]) -> pa.Schema:
    """A file's columns. Its fields are left out unless all streams declare them as they were decoded."""
    written = (schema.metadata or {}).get(METADATA.encode())
    is_decoded = all(written == decoding(stream).encode() for stream in streams)
    return pa.schema([column for column in schema if is_decoded or column.name in OWN])


def _parts(path: str, kind: KsqlType) -> Iterator[str]:
    """The types of a field and of the fields in it, except text."""
    if isinstance(kind, StructType):
        yield f"{path} STRUCT"
        for name, inner in kind.fields:
            yield from _parts(f"{path}->{name}", inner)
    elif kind != STRING:
        yield f"{path} {kind}"


def has_fields(schema: pa.Schema, leaves: Collection[str]) -> bool:
    """Whether a file has all the fields with these paths, in lower case (``payload.sent_at``).

    In structs, files have the names as their records write them.
    """
    return all(_is_in(schema, leaf.split(".")) for leaf in leaves)


@dataclass(frozen=True)
class Original:
    """One of the files that a compacted file replaces: name, first offset, number of records, size in bytes."""

    name: str
    start: int
    records: int
    size: int


def originals_text(originals: Iterable[Original]) -> str:
    """Originals as text for the metadata."""
    return json.dumps([[file.name, file.start, file.records, file.size] for file in originals])


def originals(raw: Any) -> list[Original]:
    """The files that a compacted file replaces, in order. Files of earlier versions of this program name none.

    Raises Damaged if the file is incomplete.
    """
    with _parquet():
        metadata = pq.read_schema(raw).metadata or {}
    return [Original(*fields) for fields in json.loads(metadata.get(ORIGINALS.encode(), b"[]"))]


def sorted_lines(raw: Any) -> pa.LargeStringArray:
    """The texts of all records of a compacted file, in the order of their offsets. Raises Damaged."""
    with _parquet():
        rows = pq.read_table(raw, columns=["_offset", "_line"]).sort_by("_offset")
    return rows["_line"].cast(pa.large_string()).combine_chunks()


def texts(source: Archive, file: ArchiveFile) -> Iterator[LineBlock]:
    """The texts of a file's records, in order. If it is damaged and its originals still exist, reads those.

    Raises ArchiveError for a file that cannot be fetched.
    """
    try:
        with _damage(file), source.fs.open(file.path, "rb") as raw:
            lines = sorted_lines(raw)
    except Damaged as error:
        yield from _instead(source, file, str(error))
        return
    yield LineBlock(file, file.start, lines, is_last=True)


def _instead(source: Archive, file: ArchiveFile, reason: str) -> Iterator[LineBlock]:
    originals = source.originals(file)
    read = 0
    for original in originals:
        for piece in line_blocks(source, original):
            read += len(piece.lines)
            yield replace(piece, is_last=False)  # the compacted file, which the caller listed, has not ended
    if originals:
        reason += "; the originals beside it were read instead"
    yield LineBlock(file, file.start + read, pa.nulls(0, pa.large_string()), is_last=True, damage=reason)


@contextmanager
def _damage(file: ArchiveFile) -> Iterator[None]:
    """Raises Damaged for damage, and ArchiveError for a file that cannot be fetched."""
    try:
        with _parquet():
            yield
    except FileNotFoundError as error:
        raise ArchiveError(f"Cannot read {file.path}: {reason(error)}") from error
    except OSError as error:
        raise Damaged(f"cannot read this file: {reason(error)}") from error


@contextmanager
def _parquet() -> Iterator[None]:
    """Raises Damaged for damage, and OSError if the disk or bucket does not give the file."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        # Arrow raises OSErrors for damage too. Only those of a disk or bucket have numbers.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise Damaged(reason(error)) from error


def _is_in(schema: pa.Schema, path: list[str]) -> bool:
    if path[0] in OWN or path[0] not in schema.names:
        return False
    kind = schema.field(path[0]).type
    for name in path[1:]:
        fields = {field.name.lower(): field.type for field in kind} if pa.types.is_struct(kind) else {}
        if name not in fields:
            return False
        kind = fields[name]
    return True
