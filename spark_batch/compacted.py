"""Compacted files (see ``spark_batch.archive``): which fields they have, and the texts that they keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from producer.layout import ArchiveFile
from spark_batch.lines import Lines
from spark_batch.source import Source, SourceError, reason
from sql.database import scratch_database
from sql.quoting import text
from sql.sources import Source as Stream

OWN = ("_offset", "_line", "_failed")
"""The columns of a compacted file that are not fields of its records."""
DECODER = "2"
"""The version of the decoding of fields. Files of other versions are read by the texts of their records: version 1
did not find names in any case, nor read dates and times."""
METADATA = "opensea_metrics_decoder"
"""Where a file's metadata has the version."""
_WHILE_WRITING = ("_file", "_time")
"""Columns that ``archive.rows`` has besides."""


@dataclass(frozen=True)
class Compacted:
    """A compacted file, its columns, and where it is on the local disk."""

    file: ArchiveFile
    schema: pa.Schema
    path: Path


def fetched(source: Source, file: ArchiveFile, into: Path) -> Iterator[Compacted]:
    """A file, on the local disk: one of a bucket is copied into a folder, as many readings of its parts
    take longer than one of it all. Raises SourceError for a file that cannot be read."""
    path = source.on_disk(file, into)
    with _errors(file):
        found = _decoded(pq.read_schema(path))
    yield Compacted(file, found, path)


def relation(files: Iterable[Compacted]) -> str:
    """The rows of files of one schema, for DuckDB."""
    paths = ", ".join(text(str(each.path)) for each in files)
    return f"read_parquet([{paths}], hive_partitioning = false)"


def unreadable(files: Iterable[Compacted]) -> SourceError | None:
    """The error of the first of some files that DuckDB cannot read to its end, None if there is none:
    what it raises seldom names the file."""
    files = list(files)
    with scratch_database(directories={each.path.parent for each in files}) as (database, _):
        for each in files:
            try:
                database.execute(f"SELECT max(COLUMNS(*)) FROM {relation([each])}").fetchall()
            except duckdb.Error as error:
                return SourceError(f"Cannot read {each.file.path}: {str(error).partition(chr(10))[0]}")
    return None


def schema(source: Source, file: ArchiveFile) -> pa.Schema:
    """A file's columns. Raises SourceError for a file that cannot be read."""
    with _errors(file), source.fs.open(file.path, "rb") as raw:
        return _decoded(pq.read_schema(raw))


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


def _decoded(schema: pa.Schema) -> pa.Schema:
    """A file's columns, without the fields that another version has decoded."""
    version = (schema.metadata or {}).get(METADATA.encode())
    kept = [column for column in schema if version == DECODER.encode() or column.name in OWN]
    return pa.schema(kept)


def has_fields(schema: pa.Schema, leaves: Collection[str]) -> bool:
    """Whether there are all the fields whose paths are given (``payload.sent_at``)."""
    return all(_is_in(schema, leaf.split(".")) for leaf in leaves)


def texts(source: Source, file: ArchiveFile) -> Iterator[Lines]:
    """The texts of a file's records, in order. Raises SourceError for a file that cannot be read."""
    with _errors(file), source.fs.open(file.path, "rb") as raw:
        rows = pq.read_table(raw, columns=["_offset", "_line"]).sort_by("_offset")
    lines = rows["_line"].cast(pa.large_string()).combine_chunks()
    yield Lines(file, file.start, lines, is_last=True)


@contextmanager
def _errors(file: ArchiveFile) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"Cannot read {file.path}: {reason(error)}") from error


def _is_in(schema: pa.Schema, path: list[str]) -> bool:
    if path[0] in OWN or path[0] not in schema.names:
        return False
    kind = schema.field(path[0]).type
    for name in path[1:]:
        if not pa.types.is_struct(kind) or kind.get_field_index(name) < 0:
            return False
        kind = kind.field(name).type
    return True
