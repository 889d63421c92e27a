"""Reads the files of an archive in chunks: texts, and compacted files whose records are decoded already."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import duckdb

from opensea_metrics.core.database import Setting, open_unrestricted, scratch_database
from opensea_metrics.producer.archive import compacted
from opensea_metrics.producer.archive.compacted import Compacted
from opensea_metrics.producer.archive.layout import ArchiveFile
from opensea_metrics.producer.archive.location import Archive
from opensea_metrics.spark_batch.chunks import Chunk, RowChunk, TextChunk
from opensea_metrics.spark_batch.groups import in_groups
from opensea_metrics.spark_batch.line_streams import FileLineSource, LineStream
from opensea_metrics.spark_batch.prefetch import ahead
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.duckdb.setup import SETUP

# Tables exist only as long as a chunk is used.
_SETTINGS: dict[str, Setting] = {"preserve_insertion_order": False, "force_compression": "uncompressed"}
_ROWS = 400_000
"""Approximate records in a chunk. The time for planning its statements is negligible, and its columns fit into
memory."""


def opened() -> duckdb.DuckDBPyConnection:
    """A database for :func:`database`, which restricts it before it runs anything else."""
    return open_unrestricted(None, _SETTINGS, SETUP)


def database(
    *,
    directories: Iterable[str] = (),
    settings: Mapping[str, Setting] | None = None,
    adjustable: Sequence[str] = (),
    opened: duckdb.DuckDBPyConnection | None = None,
) -> AbstractContextManager[tuple[duckdb.DuckDBPyConnection, Path]]:
    """A database for the relations of chunks, and its folder (``core.database.scratch_database``).

    It lacks the functions of ``sql.language.lowering.duckdb.setup``. A database without further settings may be
    :func:`opened` already.
    """
    return scratch_database(
        directories=directories,
        settings=_SETTINGS | dict(settings or {}),
        adjustable=adjustable,
        setup=SETUP,
        opened=opened,
    )


def read(
    archive: Archive,
    files: Sequence[ArchiveFile],
    streams: Sequence[Source],
    leaves: Collection[str],
    finished: Callable[[ArchiveFile], None],
    into: Path,
) -> Iterator[Chunk]:
    """The chunks of files, at least one. Use a chunk before you take the next one.

    ``leaves`` are the needed fields of the records, and ``streams`` declare them. Calls ``finished`` with each file
    after it was read. Compacted files of a bucket are copied into the folder ``into`` while they are in use.
    Raises ArchiveError.
    """
    if not files:
        yield from of_texts(FileLineSource(archive, [], finished))
    with tempfile.TemporaryDirectory(dir=into) as folder:
        for is_text, group in groupby(files, lambda file: file.form != "parquet"):
            if is_text:
                yield from of_texts(FileLineSource(archive, list(group), finished))
                continue
            fetched = ahead(partial(compacted.fetched, archive, file, streams, Path(folder)) for file in group)
            for part in _shared_out(fetched):
                schema = part[0].schema
                if schema is None or not compacted.has_fields(schema, leaves):
                    yield from of_texts(FileLineSource(archive, [copy.file for copy in part], finished))
                    continue
                chunk = RowChunk(part.copy(), schema)
                yield chunk
                for copy in part:
                    finished(copy.file)
                    if archive.s3 is not None:
                        copy.path.unlink()
                if left_out := [copy.file for copy in chunk.left_out]:
                    yield from of_texts(FileLineSource(archive, left_out, lambda file: None))


def in_places(files: Iterable[ArchiveFile]) -> Iterator[tuple[str, list[ArchiveFile]]]:
    """Neighbouring files of one hour and partition, with SQL for two further columns of their records.

    These are ``, hour AS _hour, partition AS _part``: with the offset, a record's place in the order in which a server
    reads an archive.
    """
    for (hour, partition), group in groupby(files, lambda file: (file.hour_ms, file.partition)):
        yield f", CAST({hour} AS BIGINT) AS _hour, CAST({partition} AS INTEGER) AS _part", list(group)


def of_texts(texts: FileLineSource, rows: int = _ROWS) -> Iterator[TextChunk]:
    """The chunks of texts, at least one, with about ``rows`` records each."""
    while True:
        yield TextChunk(LineStream(texts, rows))
        if texts.is_read():
            return


def _shared_out(files: Iterable[Compacted]) -> Iterator[list[Compacted]]:
    """Compacted files in groups of a chunk's size. The files of a group share a schema."""
    for _, group in groupby(files, lambda copy: copy.schema):
        yield from in_groups(group, attrgetter("records"), _ROWS)
