"""What a source's topic has that a reader has not read yet, piece by piece."""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb

from opensea_metrics.core.quoting import text
from opensea_metrics.deploy.embedded import archive, topics
from opensea_metrics.deploy.embedded.archive import FILES, Register, Segment
from opensea_metrics.deploy.embedded.lines import FileLines, Unread, state
from opensea_metrics.deploy.embedded.walk import opened, outside
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.records import rows as records
from opensea_metrics.sql.language.lowering.records.capitals import Capitals, capitals
from opensea_metrics.sql.language.lowering.records.spelling import Spelling

INSERTED = "inserted"
DECODED = "decoded"
"""No part but a counter: of the JSON records read, where they are numbered in that order."""

_SAMPLE = 64 * 1024
"""Bytes of text from which the usual spelling of names is taken."""

Lines = Callable[[duckdb.DuckDBPyConnection, Capitals], str]
"""Makes a relation of lines, which can be read once: ``line``, ``path``, ``key``, ``ts``."""

_NO_JSON = (duckdb.InvalidInputException, duckdb.ConversionException, UnicodeDecodeError)
"""What reading a line that is no JSON raises. DuckDB cuts the line in its message, also within a letter."""


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

    ``lines`` makes a relation of the lines, and ``files`` says what became of those of files.
    """

    part: str
    position: int
    source: Source
    names: Spelling
    lines: Lines
    files: FileLines | None = None

    def read(
        self, cursor: duckdb.DuckDBPyConnection, consume: Callable[[str], None]
    ) -> None:
        """Call ``consume`` with the decoded relation (:func:`sql.language.lowering.records.rows.decoded`).

        It is called again, with a slower relation, if a line is no JSON: so it must do its work in one
        transaction.
        """
        odd = "_odd" if self.files and self.names.is_lower else None
        for all_json in (True, False):
            given = self.lines(cursor, capitals(self.names.capitalized))
            try:
                consume(records.decoded(given, self.source, self.names, odd, all_json=all_json))
            except _NO_JSON:
                if not all_json:
                    raise
            else:
                return


Piece = Typed | Json


@dataclass(frozen=True)
class Reader:
    """Reads topics as they are at a time: ``logs`` are the log tables, ``register`` has the files."""

    catalog: Catalog
    logs: Mapping[str, tuple[str, ...]]
    register: Register
    most_bytes: int = 256 * 1024 * 1024
    most_rows: int = 1_000_000

    def pieces(
        self, cursor: duckdb.DuckDBPyConnection, source: Source, positions: Mapping[str, int]
    ) -> Iterator[Piece]:
        """The pieces of a source's topic from positions on (by part; missing is the beginning).

        Of files those that are registered: see :meth:`Register.discover`.
        """
        yield from self._files(cursor, source, positions.get(FILES, 0))
        yield from self._inserted(cursor, source, positions.get(INSERTED, 0))
        for part in topics.parts(self.catalog, self.logs, source.topic):
            low, end = positions.get(part.id, 0), part.end(cursor)
            while low < end:
                high = min(end, low + self.most_rows)
                yield Typed(part.id, high, part.relation(source, low, high))
                low = high

    def again(
        self,
        cursor: duckdb.DuckDBPyConnection,
        source: Source,
        positions: Mapping[str, int],
        unread: Iterable[Unread],
    ) -> Json | None:
        """The rest of the files that a query has left, as far as they are not as they were then."""
        by_number = {item.seq: item for item in unread}
        known = archive.segments(cursor, source.topic, 0, by_number)
        changed = [
            segment
            for segment in known
            if state(self.register.root, source.topic, segment) != by_number[segment.seq].tried
        ]
        if not changed:
            return None
        before = [by_number[segment.seq] for segment in changed]
        return self._of_files(source, positions.get(FILES, 0), changed, before)

    def ends(self, cursor: duckdb.DuckDBPyConnection, source: Source) -> dict[str, int]:
        """The position after the last record of every part, of files as they are registered."""
        (inserted,) = cursor.execute(
            "SELECT coalesce(max(_off) + 1, 0) FROM meta.inserted WHERE topic = ?", [source.topic]
        ).fetchone()  # type: ignore[misc]
        files = self.register.end(source.topic)
        typed = topics.parts(self.catalog, self.logs, source.topic)
        return {FILES: files, INSERTED: inserted, **{part.id: part.end(cursor) for part in typed}}

    def _files(
        self, cursor: duckdb.DuckDBPyConnection, source: Source, first: int
    ) -> Iterator[Piece]:
        while pending := archive.segments(cursor, source.topic, first):
            chosen = archive.chunk(pending, self.most_bytes)
            first = chosen[-1].seq + 1
            yield self._of_files(source, first, chosen)

    def _of_files(
        self, source: Source, position: int, chosen: list[Segment], before: Iterable[Unread] = ()
    ) -> Json:
        root = self.register.root
        files = FileLines(root, source.topic, chosen, before)
        sample = _first_lines(root, root / source.topic / chosen[0].path, chosen[0].is_compressed)
        names = records.spelled(source, sample)
        return Json(FILES, position, source, names, partial(_stamped, files), files)

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
            yield Json(INSERTED, high, source, records.as_declared(source), lambda *_: lines)


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


def _stamped(files: FileLines, cursor: duckdb.DuckDBPyConnection, names: Capitals) -> str:
    """Lines of files: without a key, and with the time (epoch ms) at which they are read."""
    now = int(time.time() * 1000)
    lines = files.relation(cursor, names)
    return f"SELECT line, path, _odd, NULL::VARCHAR AS key, {now}::BIGINT AS ts FROM ({lines})"


def _first_lines(root: Path, path: Path, is_compressed: bool) -> str:
    """The first lines of a file, as far as they can be read."""
    if outside(root, path):
        return ""
    try:
        with opened(path) as descriptor, open(descriptor, "rb", closefd=False) as raw:
            file = gzip.GzipFile(fileobj=raw) if is_compressed else raw
            return file.read(_SAMPLE).decode("utf-8", "replace")
    except (OSError, EOFError, zlib.error):
        return ""
