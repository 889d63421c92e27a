"""Compacted files (see ``spark_batch.archive``): which fields they have, and the texts that they keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from opensea_metrics.core.database import scratch_database
from opensea_metrics.core.quoting import text
from opensea_metrics.core.types import STRING, KsqlType, StructType
from opensea_metrics.producer.layout import ArchiveFile
from opensea_metrics.spark_batch import lines
from opensea_metrics.spark_batch.lines import Lines
from opensea_metrics.spark_batch.source import Source, SourceError, reason
from opensea_metrics.sql.language.catalog.sources import Source as Stream

OWN = ("_offset", "_line", "_failed")
"""The columns of a compacted file that are not fields of its records."""
METADATA = "opensea_metrics_decoding"
"""Where a file's metadata has the :func:`decoding` of its fields."""
_VERSION = "3"
"""Version 1 wrote no metadata. It did not find names in any case, nor read dates and times. Version 2 took some text
for JSON that ksqlDB does not, and wrote numbers in text as DuckDB does."""
_WHILE_WRITING = ("_file", "_time")
"""Columns that ``archive.rows`` has besides."""


@dataclass(frozen=True)
class Compacted:
    """A compacted file, its columns (None if it is damaged), and where it is on the local disk."""

    file: ArchiveFile
    schema: pa.Schema | None
    path: Path


def decoding(stream: Stream) -> str:
    """What decides how the records of a stream are decoded, and which of them cannot be.

    That is the version of this program's decoding, the stream's event time, and the types of all fields but those
    of text, because any value can be text. A file whose fields were decoded otherwise is read by the texts of its
    records. Streams without the text that nobody reads (``narrowing``) have the same decoding.
    """
    fields = {part for column in stream.columns if not column.is_key for part in _parts(column.name, column.type)}
    return "; ".join([_VERSION, f"{stream.timestamp} {stream.timestamp_format}", *sorted(fields)])


def fetched(source: Source, file: ArchiveFile, streams: Sequence[Stream], into: Path) -> Iterator[Compacted]:
    """A file, on the local disk: one of a bucket is copied into a folder, as many readings of its parts
    take longer than one of it all. Its fields are left out if they were not decoded as ``streams`` declare them.

    Raises SourceError for a file that cannot be had."""
    path = source.on_disk(file, into)
    found = None
    with suppress(Damaged), _damage(file):
        found = _decoded(pq.read_schema(path), streams)
    yield Compacted(file, found, path)


def relation(files: Iterable[Compacted]) -> str:
    """The rows of files of one schema, for DuckDB."""
    paths = ", ".join(text(str(each.path)) for each in files)
    return f"read_parquet([{paths}], hive_partitioning = false)"


def unreadable(files: Iterable[Compacted]) -> Iterator[tuple[Compacted, str]]:
    """Those files that DuckDB cannot read to their end, and why: what it raises seldom names the file."""
    files = list(files)
    with scratch_database(directories={each.path.parent for each in files}) as (database, _):
        for each in files:
            try:
                database.execute(f"SELECT max(COLUMNS(*)) FROM {relation([each])}").fetchall()
            except duckdb.Error as error:
                yield each, str(error).partition("\n")[0]


def damage(source: Source, file: ArchiveFile) -> str | None:
    """Why a file cannot be read to its end, None if it can. Raises SourceError if it cannot be had."""
    try:
        with _damage(file), source.fs.open(file.path, "rb") as raw:
            opened = pq.ParquetFile(raw)
            for group in range(opened.num_row_groups):
                opened.read_row_group(group)
    except Damaged as error:
        return str(error)
    return None


def schema(source: Source, file: ArchiveFile, streams: Sequence[Stream]) -> pa.Schema | None:
    """A file's columns, None if it is damaged. Fields are left out as in :func:`fetched`. Raises SourceError for
    a file that cannot be had."""
    try:
        with _damage(file), source.fs.open(file.path, "rb") as raw:
            return _decoded(pq.read_schema(raw), streams)
    except Damaged:
        return None


def names_in_files(stream: Stream) -> dict[str, str]:
    """The columns of a stream's values that compacted files have, with their names there.

    These are in lower case. A column with the name of one of the files' own columns is only in the text of
    the record, and so are two columns that differ in case only.
    """
    taken = (*OWN, *_WHILE_WRITING)
    names = [column.name for column in stream.columns if not column.is_key]
    lower = Counter(name.lower() for name in names)
    return {
        name: name.lower() for name in names if name.lower() not in taken and lower[name.lower()] == 1
    }


def _decoded(schema: pa.Schema, streams: Sequence[Stream]) -> pa.Schema:
    """A file's columns, without its fields unless all streams declare them as they were decoded."""
    written = (schema.metadata or {}).get(METADATA.encode())
    is_decoded = all(written == decoding(stream).encode() for stream in streams)
    return pa.schema([column for column in schema if is_decoded or column.name in OWN])


def _parts(path: str, kind: KsqlType) -> Iterator[str]:
    """The types of a field and of the fields in it, but those of text."""
    if isinstance(kind, StructType):
        yield f"{path} STRUCT"
        for name, inner in kind.fields:
            yield from _parts(f"{path}->{name}", inner)
    elif kind != STRING:
        yield f"{path} {kind}"


def has_fields(schema: pa.Schema, leaves: Collection[str]) -> bool:
    """Whether there are all the fields whose lower-case paths are given (``payload.sent_at``). In structs, files
    have the names that their records write."""
    return all(_is_in(schema, leaf.split(".")) for leaf in leaves)


def texts(source: Source, file: ArchiveFile) -> Iterator[Lines]:
    """The texts of a file's records, in order. Instead of a damaged file its originals are read, if they
    are still beside it. Raises SourceError for a file that cannot be had."""
    try:
        with _damage(file), source.fs.open(file.path, "rb") as raw:
            rows = pq.read_table(raw, columns=["_offset", "_line"]).sort_by("_offset")
    except Damaged as error:
        yield from _instead(source, file, str(error))
        return
    found = rows["_line"].cast(pa.large_string()).combine_chunks()
    yield Lines(file, file.start, found, is_last=True)


def _instead(source: Source, file: ArchiveFile, reason: str) -> Iterator[Lines]:
    originals = source.originals(file)
    read = 0
    for original in originals:
        for piece in lines.pieces(source, original):
            read += len(piece.lines)
            yield replace(piece, is_last=False)  # of the files that were listed, none has ended
    if originals:
        reason += "; the originals beside it were read instead"
    yield Lines(file, file.start + read, pa.array([], pa.large_string()), is_last=True, damage=reason)


class Damaged(Exception):
    """A file is no whole Parquet file; the text says why."""


@contextmanager
def _damage(file: ArchiveFile) -> Iterator[None]:
    """Damage raises Damaged; a file that cannot be had, SourceError."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        # Arrow raises OSErrors for damage, too; those of a disk or bucket have numbers.
        if isinstance(error, OSError) and error.errno is not None:
            raise SourceError(f"Cannot read {file.path}: {reason(error)}") from error
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
