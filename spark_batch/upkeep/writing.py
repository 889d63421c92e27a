"""Writes a compacted file, and reads it back to verify it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import duckdb

from opensea_metrics.core.quoting import quoted, text
from opensea_metrics.core.types import KsqlType, StructType
from opensea_metrics.producer.archive.blocks import raw_lines
from opensea_metrics.producer.archive.compacted import (
    METADATA,
    ORIGINALS,
    Original,
    decoding,
    originals_text,
)
from opensea_metrics.producer.archive.errors import Damaged
from opensea_metrics.producer.archive.layout import ArchiveFile
from opensea_metrics.producer.archive.location import Archive
from opensea_metrics.spark_batch.upkeep.rows import rows, sample_of, table
from opensea_metrics.spark_batch.upkeep.runs import Measured
from opensea_metrics.spark_batch.upkeep.store import CompactError
from opensea_metrics.sql.language.catalog.sources import Source as Stream

ROW_GROUP = 30_720
"""Records in a row group. Groups are small enough that a reader of one event type can skip most of them."""
_ORDER = (("EVENT",), ("PAYLOAD", "PAYLOAD", "COLLECTION", "SLUG"))
"""A compacted file is sorted by these fields, if the stream declares them, and then by offset."""
_FETCHED = 10_000


def measured(local: Archive, file: ArchiveFile, at: ArchiveFile) -> Measured:
    """Read an original file. ``at`` is its copy on the local disk. Raises ArchiveError."""
    digest = hashlib.sha256()
    records = size = 0
    problem = None
    try:
        for piece in raw_lines(local, at):
            whole = b"\n".join([*piece, b""])
            digest.update(whole)
            size += len(whole)
            if problem is None and not whole.isascii():
                problem = _not_utf8(piece, file.start + records)
            records += len(piece)
    except Damaged as damage:
        problem = f"it cannot be read to its end: {damage}"
    if problem is None and file.form == "json" and size != Path(at.path).stat().st_size:
        problem = "it has blank lines or a byte order mark, which a compacted file cannot hold"
    return Measured(file, records, size, digest.hexdigest(), problem)


def write(
    database: duckdb.DuckDBPyConnection,
    local: Archive,
    files: Iterable[ArchiveFile],
    stream: Stream,
    path: Path,
    originals: Iterable[Original],
) -> None:
    """Write the records of files with adjoining offsets, on the local disk, as one Parquet file.

    Its first columns are ``_offset``, ``_line`` (the exact text), and ``_failed`` (NULL, or why the record cannot
    be read as declared). The stream's own columns follow, under the names in the JSON.
    """
    database.execute("CREATE OR REPLACE TEMP TABLE lines (_file INTEGER, _offset BIGINT, line VARCHAR)")
    sample = ""
    for file in files:
        offset = file.start
        for piece in raw_lines(local, file):
            sample = sample or sample_of(piece)
            offsets = list(range(offset, offset + len(piece)))
            database.register("batch", table([0] * len(piece), offsets, piece))
            database.execute("INSERT INTO lines SELECT * FROM batch")
            database.unregister("batch")
            offset += len(piece)
    # The decoded rows are several times as large as their sort keys.
    order = ", ".join([*sort_keys(stream), "_offset"])
    decoded = rows("SELECT * FROM lines", stream, sample)
    database.execute(
        "CREATE OR REPLACE TEMP TABLE places AS SELECT _offset,"
        f" row_number() OVER (ORDER BY {order}) AS place FROM ({decoded})"
    )
    ordered = "SELECT _file, _offset, line FROM lines JOIN places USING (_offset) ORDER BY place"
    database.execute(
        f"COPY (SELECT * EXCLUDE (_file, _time) FROM ({rows(ordered, stream, sample)}))"
        f" TO {text(str(path))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP},"
        f" KV_METADATA {{{METADATA}: {text(decoding(stream))}, {ORIGINALS}: {text(originals_text(originals))}}})"
    )
    database.execute("DROP TABLE lines")


def sort_keys(stream: Stream) -> Iterator[str]:
    """The declared fields by which a compacted file is sorted, as expressions of DuckDB."""
    for path in _ORDER:
        kind: KsqlType | None = StructType("STRUCT", tuple((c.name, c.type) for c in stream.columns))
        for name in path:
            kind = dict(kind.fields).get(name) if isinstance(kind, StructType) else None
        if kind is not None:
            yield ".".join(quoted(name.lower()) for name in path)


def verify(
    database: duckdb.DuckDBPyConnection,
    parquet: ArchiveFile,
    at: ArchiveFile,
    originals: Sequence[Measured],
) -> None:
    """Compare a compacted file with its originals. ``at`` is the compacted file's copy on the local disk.

    The compacted file must have each offset in the range of its name once. For every original, it must have the same
    number of lines, in order, with the same SHA-256. Raises CompactError.
    """
    try:
        lines = database.execute(
            f"SELECT _offset, _line FROM read_parquet({text(at.path)}) ORDER BY _offset"
        )
        _compare(_fetched(lines), parquet, originals)
    except duckdb.Error as error:
        raise unlike(parquet, str(error).partition("\n")[0]) from error


def _compare(
    lines: Iterator[tuple[int, str]], parquet: ArchiveFile, originals: Sequence[Measured]
) -> None:
    waiting = sorted(originals, key=lambda original: original.file.start, reverse=True)
    digest = hashlib.sha256()
    expected = parquet.start
    for offset, line in lines:
        if offset != expected:
            raise unlike(parquet, f"offset {expected} is missing or repeated")
        while waiting and waiting[-1].records == 0:
            waiting.pop()
        expected += 1
        if waiting and offset >= waiting[-1].file.start:
            digest.update(line.encode() + b"\n")
            if expected == waiting[-1].end:
                original = waiting.pop()
                if digest.hexdigest() != original.digest:
                    raise unlike(parquet, f"other records than {original.file.path}")
                digest = hashlib.sha256()
    if expected != parquet.end:
        raise unlike(parquet, f"it ends with offset {expected - 1}")
    if left := [original for original in waiting if original.records]:
        raise unlike(parquet, f"not the records of {left[-1].file.path}")


def _fetched(rows: duckdb.DuckDBPyConnection) -> Iterator[tuple[int, str]]:
    while batch := rows.fetchmany(_FETCHED):
        yield from batch


def unlike(parquet: ArchiveFile, reason: str) -> CompactError:
    """The error for a compacted file that cannot replace its originals."""
    return CompactError(
        f"{parquet.path} does not have the records of its originals: {reason}. The originals are kept."
    )


def _not_utf8(piece: list[bytes], first: int) -> str | None:
    for offset, line in enumerate(piece, first):
        try:
            line.decode()
        except UnicodeDecodeError:
            return f"the record at offset {offset} is not UTF-8"
    return None
