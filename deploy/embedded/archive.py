"""Files of a topic in the archive: finding new ones, and reading their lines.

A topic is a directory ``topics/<topic>/`` of the data directory, with files of one JSON value a line
at any depth (the S3 sink's layout). ``.json.gz`` files are complete when they appear; ``.json`` files
may grow, and only whole lines are taken. A file is read once, in pieces called segments; names that
start with a dot or underscore are files in the making.
"""

from __future__ import annotations

import gzip
import os
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from sql.naming import is_topic
from sql.quoting import text

_PIECE = 64 * 1024 * 1024
"""The most bytes of a growing file that one segment takes."""
LINE_LIMIT = 2_000_000
"""Longer lines are set aside, unread."""


_SETTLED = 60.0
"""Seconds after which a file that is cut short is taken for damaged, not for half written."""


_DISCOVERING = threading.Lock()


class _StillGrowing(Exception):
    """A compressed file is not complete yet."""


@dataclass(frozen=True)
class Segment:
    """A piece of a file: bytes [start, end) of it, in a topic's order of discovery ``seq``."""

    seq: int
    path: str
    start: int
    end: int

    @property
    def is_compressed(self) -> bool:
        return self.path.endswith(".gz")


def discover(cursor: duckdb.DuckDBPyConnection, root: Path, topic: str) -> None:
    """Register what is new in a topic's directory since the last call.

    The engine and the queries of clients all call this: one at a time, or a file would be registered
    twice and its records counted twice.
    """
    with _DISCOVERING:
        _discover(cursor, root, topic)


def ends(cursor: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """The number after the last registered segment of each topic that has any."""
    rows = cursor.execute("SELECT topic, max(seq) + 1 FROM meta.segments GROUP BY topic")
    return dict(rows.fetchall())


def _discover(cursor: duckdb.DuckDBPyConnection, root: Path, topic: str) -> None:
    directory = root / topic
    if not is_topic(topic) or not directory.is_dir() or _leads_out(root, str(directory)):
        return
    known = dict(
        cursor.execute(
            "SELECT path, max(end_byte) FROM meta.segments WHERE topic = ? GROUP BY path", [topic]
        ).fetchall()
    )
    found = []
    for path, size in _files(directory):
        taken = known.get(path)
        if path.endswith(".gz"):
            # A compressed file is taken whole, once.
            if taken is None and size > 0:
                found.append((path, 0, size))
        elif size > (taken or 0):
            end = _end_of_line(path, taken or 0, size)
            while (taken or 0) < end:
                piece = _end_of_line(path, taken or 0, min(end, (taken or 0) + _PIECE))
                found.append((path, taken or 0, piece if piece > (taken or 0) else end))
                taken = found[-1][2]
    if not found:
        return
    (first,) = cursor.execute(
        "SELECT coalesce(max(seq) + 1, 0) FROM meta.segments WHERE topic = ?", [topic]
    ).fetchone()  # type: ignore[misc]
    cursor.executemany(
        "INSERT OR IGNORE INTO meta.segments VALUES (?, ?, ?, ?, ?)",
        [(topic, first + index, *segment) for index, segment in enumerate(found)],
    )


def segments(cursor: duckdb.DuckDBPyConnection, topic: str, first: int) -> list[Segment]:
    """The segments of a topic from number ``first`` on."""
    rows = cursor.execute(
        "SELECT seq, path, start_byte, end_byte FROM meta.segments "
        "WHERE topic = ? AND seq >= ? ORDER BY seq",
        [topic, first],
    ).fetchall()
    return [Segment(*row) for row in rows]


def chunk(pending: Iterable[Segment], most_bytes: int) -> list[Segment]:
    """The first of the segments, up to about that many bytes of files; at least one."""
    chosen: list[Segment] = []
    total = 0
    for segment in pending:
        # JSON of this kind shrinks about eightfold.
        size = (segment.end - segment.start) * (8 if segment.is_compressed else 1)
        if chosen and total + size > most_bytes:
            break
        chosen.append(segment)
        total += size
    return chosen


def native(chosen: list[Segment]) -> str | None:
    """A relation of ``line`` and ``path`` that DuckDB reads itself, for whole compressed files.

    None if a segment is none. Reading it fails if a file is damaged: then :func:`table` reads it.
    """
    if not all(segment.is_compressed for segment in chosen):
        return None
    paths = ", ".join(text(segment.path) for segment in chosen)
    return (
        "SELECT line, filename AS path FROM read_csv([" + paths + "], columns = {'line': 'VARCHAR'},"
        " delim = '\x01', quote = '', escape = '', header = false, auto_detect = false,"
        f" max_line_size = {LINE_LIMIT}, buffer_size = {2 * LINE_LIMIT}, filename = true)"
    )


def table(chosen: list[Segment]) -> tuple[pa.Table, list[Segment]]:
    """The lines of segments, with their paths, and the segments that are left for later.

    Damaged parts are given as lines that are no JSON. A compressed file that ends too early and was
    written to lately is taken for one in the making, and left.
    """
    rows: list[str] = []
    paths: list[str] = []
    growing = []
    for segment in chosen:
        try:
            raw_lines = list(_raw_lines(segment))
        except _StillGrowing:
            growing.append(segment)
            continue
        for raw in raw_lines:
            if raw.strip():
                # What is not UTF-8 is no JSON: it is kept with replacement characters.
                text = raw.rstrip(b"\r\n").decode("utf-8", "replace").replace("\x00", "\ufffd")
                rows.append(text[:LINE_LIMIT])
                paths.append(segment.path)
    lines = pa.table({"line": pa.array(rows, pa.string()), "path": pa.array(paths, pa.string())})
    return lines, growing


def forget(cursor: duckdb.DuckDBPyConnection, topic: str, segment: Segment) -> None:
    """Take a segment out of the register, to be found again later."""
    cursor.execute("DELETE FROM meta.segments WHERE topic = ? AND seq = ?", [topic, segment.seq])


def _files(directory: Path) -> Iterator[tuple[str, int]]:
    """Files with their sizes, in order of their paths: by hour, then partition, then offset."""
    for folder, subfolders, names in os.walk(directory):
        subfolders.sort()
        for name in sorted(names):
            if name.startswith((".", "_")) or not name.endswith((".json", ".json.gz", ".ndjson")):
                continue
            path = os.path.join(folder, name)
            if _leads_out(directory.parent, path):
                continue
            try:
                yield path, os.stat(path).st_size
            except OSError:
                continue  # it has just gone


def _leads_out(root: Path, path: str) -> bool:
    """Whether a path is a link to somewhere outside of the topics."""
    return os.path.islink(path) and not Path(path).resolve().is_relative_to(root.resolve())


def _end_of_line(path: str, start: int, end: int) -> int:
    """The position after the last newline in bytes [start, end) of a file, or ``start``."""
    step = 65_536
    with open(path, "rb") as file:
        position = end
        while position > start:
            low = max(start, position - step)
            file.seek(low)
            found = file.read(position - low).rfind(b"\n")
            if found >= 0:
                return low + found + 1
            position = low
    return start


def _raw_lines(segment: Segment) -> Iterator[bytes]:
    if not segment.is_compressed:
        with open(segment.path, "rb") as file:
            file.seek(segment.start)
            yield from file.read(segment.end - segment.start).splitlines()
        return
    try:
        with gzip.open(segment.path, "rb") as file:
            yield from file
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        if time.time() - os.stat(segment.path).st_mtime < _SETTLED:
            raise _StillGrowing from error
        # What could be read has been given; that the rest cannot be is reported as one record.
        yield f"damaged gzip file: {error}".encode()
