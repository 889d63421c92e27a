"""What a source's topic has that a reader has not read yet, piece by piece."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from deploy.embedded import archive, records, topics
from deploy.embedded.archive import Segment
from sql.analysis import Source
from sql.catalog import Catalog

_BATCH = "batch"
FILES = "files"
INSERTED = "inserted"
DECODED = "decoded"
"""Not a part: counts the JSON records read, which are numbered in that order."""


@dataclass(frozen=True)
class Piece:
    """Some records of one part: read them from ``relation``; after that the part's position is
    ``position``. Decoded JSON lies in a temporary table that the next piece replaces; ``decoded`` is
    then the number of records decoded so far, else None."""

    part: str
    position: int
    relation: str
    decoded: int | None = None

    @property
    def is_json(self) -> bool:
        return self.decoded is not None


@dataclass(frozen=True)
class Reader:
    """Reads topics as they are at a time: ``logs`` are the log tables, ``root`` the archive."""

    catalog: Catalog
    logs: Mapping[str, tuple[str, ...]]
    root: Path
    most_bytes: int = 128 * 1024 * 1024
    most_rows: int = 1_000_000

    def pieces(
        self, cursor: duckdb.DuckDBPyConnection, source: Source, positions: Mapping[str, int]
    ) -> Iterator[Piece]:
        """The pieces of a source's topic from positions on (by part; missing is the beginning)."""
        decoded = positions.get(DECODED, 0)
        for piece in self._files(cursor, source, positions.get(FILES, 0), decoded):
            decoded = piece.decoded or 0
            yield piece
        yield from self._inserted(cursor, source, positions.get(INSERTED, 0), decoded)
        for part in topics.parts(self.catalog, self.logs, source.topic):
            low, end = positions.get(part.id, 0), part.end(cursor)
            while low < end:
                high = min(end, low + self.most_rows)
                yield Piece(part.id, high, part.relation(source, low, high))
                low = high

    def ends(self, cursor: duckdb.DuckDBPyConnection, source: Source) -> dict[str, int]:
        """The position after the last record of every part."""
        archive.discover(cursor, self.root, source.topic)
        files, inserted = cursor.execute(
            "SELECT (SELECT coalesce(max(seq) + 1, 0) FROM meta.segments WHERE topic = $1),"
            " (SELECT coalesce(max(_off) + 1, 0) FROM meta.inserted WHERE topic = $1)",
            [source.topic],
        ).fetchone()  # type: ignore[misc]
        typed = topics.parts(self.catalog, self.logs, source.topic)
        return {FILES: files, INSERTED: inserted, **{part.id: part.end(cursor) for part in typed}}

    def _files(
        self, cursor: duckdb.DuckDBPyConnection, source: Source, first: int, decoded: int
    ) -> Iterator[Piece]:
        archive.discover(cursor, self.root, source.topic)
        while pending := archive.segments(cursor, source.topic, first):
            chosen = archive.chunk(pending, self.most_bytes)
            try:
                self._decode(cursor, source, chosen)
            except archive.StillGrowing as growing:
                archive.forget(cursor, source.topic, growing.segment)
                continue
            first = chosen[-1].seq + 1
            relation, decoded = _decoded(cursor, decoded)
            yield Piece(FILES, first, relation, decoded)

    def _decode(
        self, cursor: duckdb.DuckDBPyConnection, source: Source, chosen: list[Segment]
    ) -> None:
        lines = "SELECT line, path, NULL::VARCHAR AS key, {now}::BIGINT AS ts FROM ({lines})"
        now = int(time.time() * 1000)
        sample = _first_line(chosen[0])
        native = archive.native(chosen)
        if native is not None:
            try:
                records.batch(cursor, _BATCH, lines.format(now=now, lines=native), source, sample)
            except (duckdb.InvalidInputException, duckdb.IOException, duckdb.ConversionException):
                pass  # a damaged file, or text that is not UTF-8: read it line by line
            else:
                return
        cursor.register("python_lines", archive.table(chosen))
        relation = lines.format(now=now, lines="SELECT line, path FROM python_lines")
        records.batch(cursor, _BATCH, relation, source, sample)
        cursor.unregister("python_lines")

    def _inserted(
        self, cursor: duckdb.DuckDBPyConnection, source: Source, low: int, decoded: int
    ) -> Iterator[Piece]:
        (high,) = cursor.execute(
            "SELECT coalesce(max(_off) + 1, 0) FROM meta.inserted WHERE topic = ?", [source.topic]
        ).fetchone()  # type: ignore[misc]
        if low >= high:
            return
        topic = source.topic.replace("'", "''")
        records.batch(
            cursor,
            _BATCH,
            "SELECT value AS line, 'INSERT VALUES' AS path, key, ts FROM meta.inserted "
            f"WHERE topic = '{topic}' AND _off >= {low} AND _off < {high} ORDER BY _off",
            source,
            None,
            exact=True,
        )
        relation, decoded = _decoded(cursor, decoded)
        yield Piece(INSERTED, high, relation, decoded)


def set_aside(cursor: duckdb.DuckDBPyConnection, topic: str) -> int:
    """Keep what of the last decoded piece could not be read; the number of such records."""
    cursor.execute(
        "INSERT INTO meta.dead_letters SELECT ?, _path, _failed, _line, epoch_ms(now()) "
        f"FROM {_BATCH} WHERE _failed IS NOT NULL",
        [topic],
    )
    (count,) = cursor.execute(
        f"SELECT count(*) FROM {_BATCH} WHERE _failed IS NOT NULL"
    ).fetchone()  # type: ignore[misc]
    return int(count)


def _decoded(cursor: duckdb.DuckDBPyConnection, before: int) -> tuple[str, int]:
    """The relation of what was decoded last, and how many records that makes with those before."""
    (count,) = cursor.execute(f"SELECT count(*) FROM {_BATCH}").fetchone()  # type: ignore[misc]
    relation = (
        "SELECT * EXCLUDE (_reason, _line, _path, _failed), "
        f"{before} + rowid AS _off FROM {_BATCH} WHERE _failed IS NULL"
    )
    return relation, before + int(count)


def _first_line(segment: Segment) -> str | None:
    try:
        opened = gzip.open if segment.is_compressed else open
        with opened(segment.path, "rb") as file:
            return file.readline(archive.LINE_LIMIT).decode("utf-8", "replace")
    except (OSError, EOFError):
        return None
