"""Reads, decodes and counts the contents of files, several files at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt

from opensea_metrics.core.quoting import quoted, text
from opensea_metrics.producer.archive.blocks import raw_lines
from opensea_metrics.producer.archive.compacted import METADATA, decoding, names_in_files
from opensea_metrics.producer.archive.errors import Damaged
from opensea_metrics.producer.archive.layout import HOUR_MS, ArchiveFile
from opensea_metrics.producer.archive.location import Archive
from opensea_metrics.spark_batch.upkeep.rows import rows, sample_of, table
from opensea_metrics.sql.language.catalog.sources import Source as Stream
from opensea_metrics.sql.language.lowering.event_times import event_time

_BATCH_BYTES = 16 * 1024 * 1024
"""Bytes of text that one query decodes. Planning the query takes as long as decoding about 5,000 records."""
_UNIT_BYTES = 4 * 1024 * 1024
_UNIT_FILES = 500

Hashes = npt.NDArray[np.uint64]


@dataclass
class FileContents:
    """The contents of one file. ``damage`` is the reason why the file cannot be read to its end, or None.

    ``failed`` records cannot be read as declared. The first of them is at ``failed_offset``, with ``failed_reason``.
    ``misplaced`` records belong to another hour than the folder's, up to ``early_ms`` before or ``late_ms`` after it.
    ``hashes`` has a hash of each record's text.
    """

    file: ArchiveFile
    records: int = 0
    damage: str | None = None
    failed: int = 0
    failed_offset: int | None = None
    failed_reason: str | None = None
    misplaced: int = 0
    early_ms: int = 0
    late_ms: int = 0
    hashes: list[Hashes] = field(default_factory=list)


def units(files: Sequence[ArchiveFile]) -> Iterator[list[ArchiveFile]]:
    """Split the files, in order, into units. One query reads a unit, which may hold several small files."""
    unit: list[ArchiveFile] = []
    size = 0
    for file in files:
        if unit and (size + file.size > _UNIT_BYTES or len(unit) == _UNIT_FILES):
            yield unit
            unit, size = [], 0
        unit.append(file)
        size += file.size
    if unit:
        yield unit


def contents_of(
    source: Archive,
    unit: Sequence[ArchiveFile],
    cursor: duckdb.DuckDBPyConnection,
    stream: Stream,
    folder: Path,
) -> list[FileContents]:
    """Read some files. The results include damage. Raises ArchiveError for a file that cannot be fetched.

    Compacted files of a bucket are copied into ``folder``, one after the other.
    """
    files = [FileContents(file) for file in unit]
    numbers: list[int] = []
    offsets: list[int] = []
    lines: list[bytes] = []
    size = 0

    def flush() -> None:
        nonlocal size
        if lines:
            batch = table(numbers, offsets, lines)
            cursor.register("batch", batch)
            _count(cursor, rows("SELECT * FROM batch", stream, sample_of(lines)), files)
            cursor.unregister("batch")
            for waiting in (numbers, offsets, lines):
                waiting.clear()
            size = 0

    contents = source.contents(unit)
    for number, facts in enumerate(files):
        if facts.file.form == "parquet":
            flush()
            _count_parquet(source, number, cursor, stream, files, folder)
            continue
        try:
            for piece in raw_lines(source, facts.file, contents.pop(facts.file.path, None)):
                first = facts.file.start + facts.records
                facts.records += len(piece)
                lines.extend(piece)
                offsets.extend(range(first, first + len(piece)))
                numbers.extend([number] * len(piece))
                size += sum(map(len, piece))
                if size >= _BATCH_BYTES:
                    flush()
        except Damaged as damage:
            facts.damage = str(damage)
    flush()
    return files


def _count(cursor: duckdb.DuckDBPyConnection, relation: str, files: list[FileContents]) -> None:
    cursor.execute(
        "CREATE OR REPLACE TEMP TABLE decoded AS SELECT _file AS file, _offset, _failed, _time,"
        f" hash(_line) AS h FROM ({relation})"
    )
    hours = ", ".join(f"({number}, {facts.file.hour_ms})" for number, facts in enumerate(files))
    counted = cursor.execute(
        f"""SELECT file, count(_failed), min(_offset) FILTER (_failed IS NOT NULL),
          min_by(_failed, _offset) FILTER (_failed IS NOT NULL),
          count(*) FILTER (hour >= 0 AND (_time < hour OR _time >= hour + {HOUR_MS})),
          coalesce(max(hour - _time) FILTER (hour >= 0), 0),
          coalesce(max(_time - hour - {HOUR_MS - 1}) FILTER (hour >= 0), 0)
        FROM decoded JOIN (VALUES {hours}) AS hours(file, hour) USING (file) GROUP BY file"""
    ).fetchall()
    for number, failed, offset, reason, misplaced, early, late in counted:
        facts = files[number]
        facts.failed += failed
        if facts.failed_offset is None and offset is not None:
            facts.failed_offset, facts.failed_reason = offset, reason
        facts.misplaced += misplaced
        facts.early_ms = max(facts.early_ms, early)
        facts.late_ms = max(facts.late_ms, late)
    hashed = cursor.execute("SELECT file, h FROM decoded ORDER BY file").fetchnumpy()
    edges = np.searchsorted(hashed["file"], np.arange(len(files) + 1))
    for number, facts in enumerate(files):
        if edges[number] < edges[number + 1]:
            facts.hashes.append(hashed["h"][edges[number] : edges[number + 1]])


def _count_parquet(
    source: Archive,
    number: int,
    cursor: duckdb.DuckDBPyConnection,
    stream: Stream,
    files: list[FileContents],
    into: Path,
) -> None:
    facts = files[number]
    file = facts.file
    with tempfile.TemporaryDirectory(dir=into) as folder:
        path = text(str(source.on_disk(file, Path(folder))))
        relation = f"read_parquet({path})"
        try:
            facts.records, distinct, low, end = cursor.execute(
                "SELECT count(*), count(DISTINCT _offset), min(_offset), max(_offset) + 1"
                f" FROM {relation}"
            ).fetchone()  # type: ignore[misc]
            _count(cursor, _stored(cursor, path, number, stream) or _again(cursor, relation, number, stream), files)
        except duckdb.Error as error:
            facts.damage = str(error).partition("\n")[0]
            return
    if facts.records == 0 or (low, end) != (file.start, file.end) or not distinct == facts.records == end - low:
        facts.damage = (
            f"it has {facts.records} records with offsets {low} to {end} (exclusive), not those in its name"
        )


def _stored(cursor: duckdb.DuckDBPyConnection, path: str, number: int, stream: Stream) -> str | None:
    """A relation for :func:`_count` from a compacted file's own columns; None if it was decoded differently."""
    matching = f"key = encode({text(METADATA)}) AND value = encode({text(decoding(stream))})"
    stored = names_in_files(stream).get(str(stream.timestamp))
    if stored is None or not cursor.execute(f"FROM parquet_kv_metadata({path}) WHERE {matching}").fetchone():
        return None
    time = f"CASE WHEN _failed IS NULL THEN {event_time(stream, quoted(stored))} END"
    return f"SELECT {number} AS _file, _offset, _line, _failed, {time} AS _time FROM read_parquet({path})"


def _again(cursor: duckdb.DuckDBPyConnection, relation: str, number: int, stream: Stream) -> str:
    """The same relation, decoded again from the texts of a compacted file's records."""
    lines = cursor.execute(f"SELECT encode(_line) FROM {relation} LIMIT 100").fetchall()
    given = f"SELECT {number} AS _file, _offset, _line AS line FROM {relation}"
    return rows(given, stream, sample_of([line for (line,) in lines]))
