"""What a source's topic has that a reader has not read yet, piece by piece."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb

from deploy.embedded import archive, topics
from deploy.embedded.archive import Segment
from sql.catalog import Catalog
from sql.lowering import records
from sql.quoting import text
from sql.sources import Source

FILES = "files"
INSERTED = "inserted"
DECODED = "decoded"
"""No part but a counter: of the JSON records read, where they are numbered in that order."""

Lines = Callable[[duckdb.DuckDBPyConnection], str]
"""Makes a relation of lines: ``line``, ``path``, ``key``, ``ts``."""

_DAMAGED = (duckdb.InvalidInputException, duckdb.IOException, duckdb.ConversionException)


@dataclass(frozen=True)
class Typed:
    """Some records of a typed part: read them from ``relation``; after that the part's position is
    ``position``."""

    part: str
    position: int
    relation: str


@dataclass(frozen=True)
class Json:
    """Some JSON records of a source: a segment of files, or what INSERT … VALUES put in.

    ``lines`` makes relations of the lines, the later ones for what the earlier ones cannot read.
    """

    part: str
    position: int
    source: Source
    sample: str | None
    lines: tuple[Lines, ...]

    def read(
        self, cursor: duckdb.DuckDBPyConnection, consume: Callable[[str], None]
    ) -> None:
        """Call ``consume`` with the decoded relation (:func:`sql.lowering.records.decoded`).

        It is called again, with a slower relation, if reading the first fails, as it does where a line
        is no JSON or a file is damaged: so it must do its work in one transaction.
        """
        ways = [(lines, all_json) for lines in self.lines for all_json in (True, False)]
        for attempt, (lines, all_json) in enumerate(ways, 1):
            exact = self.part == INSERTED
            given = lines(cursor)
            try:
                consume(
                    records.decoded(given, self.source, self.sample, exact, all_json=all_json)
                )
            except _DAMAGED:
                if attempt == len(ways):
                    raise
            else:
                return


Piece = Typed | Json


@dataclass(frozen=True)
class Reader:
    """Reads topics as they are at a time: ``logs`` are the log tables, ``root`` the archive."""

    catalog: Catalog
    logs: Mapping[str, tuple[str, ...]]
    root: Path
    most_bytes: int = 256 * 1024 * 1024
    most_rows: int = 1_000_000

    def pieces(
        self, cursor: duckdb.DuckDBPyConnection, source: Source, positions: Mapping[str, int]
    ) -> Iterator[Piece]:
        """The pieces of a source's topic from positions on (by part; missing is the beginning)."""
        yield from self._files(cursor, source, positions.get(FILES, 0))
        yield from self._inserted(cursor, source, positions.get(INSERTED, 0))
        for part in topics.parts(self.catalog, self.logs, source.topic):
            low, end = positions.get(part.id, 0), part.end(cursor)
            while low < end:
                high = min(end, low + self.most_rows)
                yield Typed(part.id, high, part.relation(source, low, high))
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
        self, cursor: duckdb.DuckDBPyConnection, source: Source, first: int
    ) -> Iterator[Piece]:
        archive.discover(cursor, self.root, source.topic)
        while pending := archive.segments(cursor, source.topic, first):
            chosen = archive.chunk(pending, self.most_bytes)
            first = chosen[-1].seq + 1
            ways: list[Lines] = [partial(_line_by_line, source.topic, chosen)]
            if native := archive.native(chosen):
                ways.insert(0, partial(_natively, native))
            yield Json(FILES, first, source, _first_line(chosen[0]), tuple(ways))

    def _inserted(
        self, cursor: duckdb.DuckDBPyConnection, source: Source, low: int
    ) -> Iterator[Piece]:
        (high,) = cursor.execute(
            "SELECT coalesce(max(_off) + 1, 0) FROM meta.inserted WHERE topic = ?", [source.topic]
        ).fetchone()  # type: ignore[misc]
        if low < high:
            lines = (
                "SELECT value AS line, 'INSERT VALUES' AS path, key, ts FROM meta.inserted "
                f"WHERE topic = {text(source.topic)} AND _off >= {low} AND _off < {high} "
                "ORDER BY _off"
            )
            yield Json(INSERTED, high, source, None, (lambda _: lines,))


@dataclass(frozen=True)
class Numbered:
    """Decoded records: those that could be read as a ``relation`` with ``_off``, the number of the
    ``next`` one, and how many could not be read."""

    relation: str
    next: int
    failed: int


def numbered(
    cursor: duckdb.DuckDBPyConnection, piece: Json, table: str, before: int
) -> Numbered:
    """Decode a piece into the temporary table ``table``, its records numbered from ``before`` on."""

    def consume(rows: str) -> None:
        cursor.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {rows}")

    piece.read(cursor, consume)
    count, failed = cursor.execute(f"SELECT count(*), count(_failed) FROM {table}").fetchone()  # type: ignore[misc]
    relation = (
        f"SELECT * EXCLUDE (_failed, _line, _path), {before} + rowid AS _off "
        f"FROM {table} WHERE _failed IS NULL"
    )
    return Numbered(relation, before + int(count), int(failed))


def _natively(lines: str, _: duckdb.DuckDBPyConnection) -> str:
    return _stamped(lines)


def _line_by_line(
    topic: str, chosen: list[Segment], cursor: duckdb.DuckDBPyConnection
) -> str:
    lines, growing = archive.table(chosen)
    for segment in growing:
        archive.forget(cursor, topic, segment)
    cursor.register("python_lines", lines)
    return _stamped("SELECT line, path FROM python_lines")


def _stamped(lines: str) -> str:
    """Lines of files: without a key, and with the time (epoch ms) at which they are read."""
    now = int(time.time() * 1000)
    return f"SELECT line, path, NULL::VARCHAR AS key, {now}::BIGINT AS ts FROM ({lines})"


def _first_line(segment: Segment) -> str | None:
    try:
        opened = gzip.open if segment.is_compressed else open
        with opened(segment.path, "rb") as file:
            return file.readline(archive.LINE_LIMIT).decode("utf-8", "replace")
    except (OSError, EOFError):
        return None
