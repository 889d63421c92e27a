"""The register of archive files: which pieces of which files a topic consists of, in which order.

A ``.json.gz`` file is registered whole, once. A ``.json`` file may grow: whole lines at its end are
registered as they appear. Registered pieces are called segments. Queries remember a position in the
order of segments, so a segment keeps its number for ever.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from opensea_metrics.core.errors import os_reason
from opensea_metrics.deploy.embedded import walk
from opensea_metrics.deploy.embedded.storage import transaction
from opensea_metrics.deploy.embedded.walk import File, Listing

FILES = "files"
"""The part of a topic that its files are: ``meta.positions`` says up to which segment a query has read."""
_PIECE = 64 * 1024 * 1024
"""The most bytes of a growing file that one segment takes, if it has a line's end in them."""
_TAIL = 4096
_MOST = 20_000
"""Segments that are looked at in one go: of the predecessor's archives each has three records."""
_CHANGED = "has changed since it was read; what is new in it is not read: put new records into a new file"
_NO_NEWLINE = (
    "has a last line without a newline at its end, which may be only a part of a record and is not read;"
    " add the newline to have it read"
)
_SHORTENED = "has become shorter before any query had read it; the server reads what it has now"
_SHORTER = "is shorter than what was read of it; it is read on if it gets its old content back"


@dataclass(frozen=True)
class Segment:
    """Bytes [start, end) of a file; ``seq`` is the place in the topic's order.

    ``path`` is relative to the topic's directory. ``is_read`` says that a query has read all of it.
    """

    seq: int
    path: str
    start: int
    end: int
    is_read: bool = False

    @property
    def is_compressed(self) -> bool:
        return self.path.endswith(".gz")


@dataclass(frozen=True, slots=True)
class _Known:
    """What is registered of a file: its bytes before ``end``, whose :func:`tail` is ``tail``.

    A compressed file has no ``tail`` until a query has read all of it. ``stamp`` is the file's at the
    last look, ``scanned`` the position up to which it was searched for a line's end, ``problem`` what
    is wrong with it.
    """

    end: int = 0
    tail: int | None = None
    stamp: int | None = None
    scanned: int = 0
    problem: str | None = None

    def has_rest(self, file: File) -> bool:
        """Whether a plain file has bytes after its last newline."""
        return self.end < file.size and not file.path.endswith(".gz")


class Register:
    """Registers the files of topics; any thread may use it.

    The table ``meta.segments`` holds the register. Only this object writes to it, except for
    :func:`keep_read`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._known: dict[str, dict[str, _Known]] = {}
        self._next: dict[str, int] = {}

    def discover(
        self, cursor: duckdb.DuckDBPyConnection, topic: str, readers: Collection[str] | None
    ) -> Listing:
        """Register what is new in a topic's directory; gives the directory's listing.

        ``readers`` are the ids of the queries that read the topic's files, none of which may run meanwhile. A plain
        file that has been written anew is registered anew if none of them has read any of it. With None that is
        left to the next call.

        It must not be called within a transaction, because other threads need to see at once what is
        registered. Raises duckdb.Error if that cannot be written; then it is registered next time.
        """
        with self._lock:
            declared = cursor.execute(
                "SELECT partitions FROM meta.topics WHERE name = ?", [topic]
            ).fetchone()
            listing = walk.listing(self.root, topic, declared[0] if declared else None)
            if topic not in self._known:
                self._load(cursor, topic)
            known = self._known[topic]
            looked: dict[str, _Known] = {}
            pieces: list[tuple[str, int, int, int | None]] = []
            for file in listing.files:
                before = known.get(file.path)
                if before is None or before.stamp != file.stamp:
                    try:
                        after, new = _look(self.root / topic / file.path, file, before or _Known())
                    except FileNotFoundError:
                        continue  # it has just gone
                    except OSError as error:
                        listing.refused[file.path] = f"cannot read this file: {os_reason(error)}"
                        continue
                    if after.problem in (_CHANGED, _SHORTER) and not file.path.endswith(".gz"):
                        if readers is None:
                            continue
                        if not _is_read(cursor, topic, file.path, readers):
                            after = self._anew(cursor, topic, file, readers) or after
                    pieces += [(file.path, *piece) for piece in new]
                    looked[file.path] = before = after
                if before.has_rest(file) and not before.problem and walk.is_settled(file.modified):
                    looked[file.path] = before = replace(before, problem=_NO_NEWLINE)
                if before.problem:
                    listing.refused[file.path] = f"this file {before.problem}"
            self._write(cursor, topic, pieces)
            known.update(looked)
        return listing

    def end(self, topic: str) -> int:
        """The number after a topic's last registered segment, as far as it was discovered."""
        return self._next.get(topic, 0)

    def note_read(self, topic: str, read: Iterable[Read]) -> None:
        """Learn what :func:`keep_read` has written, after its transaction."""
        with self._lock:
            known = self._known.get(topic, {})
            for item in read:
                if item.path in known:
                    known[item.path] = replace(known[item.path], end=item.size, tail=item.tail)

    def _load(self, cursor: duckdb.DuckDBPyConnection, topic: str) -> None:
        rows = cursor.execute(
            "SELECT path, max(end_byte), arg_max(tail, end_byte), max(seq) FROM meta.segments"
            " WHERE topic = ? GROUP BY path",
            [topic],
        ).fetchall()
        self._known[topic] = {path: _Known(end, tail) for path, end, tail, _ in rows}
        self._next[topic] = max((seq for *_, seq in rows), default=-1) + 1

    def _anew(
        self, cursor: duckdb.DuckDBPyConnection, topic: str, file: File, readers: Collection[str]
    ) -> _Known | None:
        """Register a file anew that nobody has read, as one segment in the place of its first one.

        None if the file has no whole line yet, or cannot be read.
        """
        try:
            known, pieces = _look(self.root / topic / file.path, file, _Known())
        except OSError:
            return None
        if not pieces:
            return None
        with transaction(cursor):
            (is_shorter,) = cursor.execute(
                "SELECT max(end_byte) > ? FROM meta.segments WHERE topic = ? AND path = ?",
                [file.size, topic, file.path],
            ).fetchone()  # type: ignore[misc]
            (others,) = cursor.execute(
                "SELECT list(seq) FROM meta.segments WHERE topic = ? AND path = ? AND start_byte > 0",
                [topic, file.path],
            ).fetchone()  # type: ignore[misc]
            cursor.execute(
                "DELETE FROM meta.unread WHERE list_contains(?::VARCHAR[], query) AND list_contains(?::BIGINT[], seq)",
                [list(readers), others or []],
            )
            cursor.execute(
                "DELETE FROM meta.segments WHERE topic = ? AND path = ? AND start_byte > 0", [topic, file.path]
            )
            cursor.execute(
                "UPDATE meta.segments SET end_byte = ?, tail = ? WHERE topic = ? AND path = ?",
                [known.end, known.tail, topic, file.path],
            )
        return replace(known, problem=_SHORTENED if is_shorter else None)

    def _write(
        self,
        cursor: duckdb.DuckDBPyConnection,
        topic: str,
        pieces: Sequence[tuple[str, int, int, int | None]],
    ) -> None:
        if not pieces:
            return
        first = self._next[topic]
        numbers = list(range(first, first + len(pieces)))
        cursor.execute(
            "INSERT INTO meta.segments (topic, seq, path, start_byte, end_byte, tail)"
            " SELECT ?, unnest(?::BIGINT[]), unnest(?::VARCHAR[]), unnest(?::BIGINT[]),"
            " unnest(?::BIGINT[]), unnest(?::BIGINT[])",
            [topic, numbers, *map(list, zip(*pieces, strict=True))],
        )
        self._next[topic] = first + len(pieces)


@dataclass(frozen=True)
class Read:
    """A compressed file that was read to its end, with its size then and its :func:`tail`."""

    seq: int
    path: str
    size: int
    tail: int


def keep_read(cursor: duckdb.DuckDBPyConnection, topic: str, read: Sequence[Read]) -> None:
    """Write down what compressed files looked like when all of them was read."""
    if read:
        columns = map(list, zip(*((item.seq, item.size, item.tail) for item in read), strict=True))
        cursor.execute(
            "UPDATE meta.segments SET end_byte = r.size, tail = r.tail FROM (SELECT"
            " unnest(?::BIGINT[]) AS seq, unnest(?::BIGINT[]) AS size, unnest(?::BIGINT[]) AS tail) r"
            " WHERE segments.topic = ? AND segments.seq = r.seq",
            [*columns, topic],
        )


def _is_read(
    cursor: duckdb.DuckDBPyConnection, topic: str, path: str, readers: Collection[str]
) -> bool:
    """Whether one of some queries has read any of a file."""
    return bool(
        cursor.execute(
            "SELECT count(*) FROM meta.segments s"
            f" JOIN meta.positions p ON p.part = '{FILES}' AND p.position > s.seq"
            " LEFT JOIN meta.unread u ON u.query = p.query AND u.seq = s.seq"
            " WHERE s.topic = ? AND s.path = ? AND list_contains(?::VARCHAR[], p.query)"
            " AND coalesce(u.taken, 1) > 0",
            [topic, path, list(readers)],
        ).fetchone()[0]  # type: ignore[index]
    )


def segments(
    cursor: duckdb.DuckDBPyConnection, topic: str, first: int, numbers: Iterable[int] | None = None
) -> list[Segment]:
    """The segments of a topic from number ``first`` on, not always all; or those with ``numbers``."""
    chosen = "seq >= ?" if numbers is None else "list_contains(?::BIGINT[], seq)"
    rows = cursor.execute(
        "SELECT seq, path, start_byte, end_byte, tail IS NOT NULL FROM meta.segments "
        f"WHERE topic = ? AND {chosen} ORDER BY seq LIMIT {_MOST}",
        [topic, first if numbers is None else list(numbers)],
    ).fetchall()
    return [Segment(*row) for row in rows]


def chunk(pending: Iterable[Segment], most_bytes: int) -> list[Segment]:
    """The first of the segments, up to about that many bytes of text; at least one."""
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


def tail(descriptor: int, end: int) -> int:
    """A checksum of the bytes of a file before a position: others mean that it was rewritten."""
    start = max(0, end - _TAIL)
    return zlib.crc32(os.pread(descriptor, end - start, start))


def upgrade(cursor: duckdb.DuckDBPyConnection) -> None:
    """Bring a register of an earlier version up to date: it has full paths, and no tails."""
    columns = cursor.execute(
        "SELECT column_name FROM duckdb_columns() WHERE schema_name = 'meta' AND table_name = 'segments'"
    ).fetchall()
    if ("tail",) not in columns:
        cursor.execute("ALTER TABLE meta.segments ADD COLUMN tail BIGINT")
        cursor.execute(
            "UPDATE meta.segments SET path = substr(path, position('/topics/' || topic || '/' IN path)"
            " + length(topic) + 9) WHERE contains(path, '/topics/' || topic || '/')"
        )


def _look(
    path: Path, file: File, before: _Known
) -> tuple[_Known, list[tuple[int, int, int | None]]]:
    """What is known of a file after a look at it, and its new pieces: start, end, tail.

    Raises OSError if the file cannot be read.
    """
    after = replace(before, stamp=file.stamp, problem=None)
    if path.suffix == ".gz":
        if before.end == 0 and file.size > 0:
            return replace(after, end=file.size), [(0, file.size, None)]
        if before.tail is not None:
            with walk.opened(path) as descriptor:
                is_same = file.size == before.end and tail(descriptor, before.end) == before.tail
            return replace(after, problem=None if is_same else _CHANGED), []
        return after, []
    if file.size < before.end:
        return replace(after, problem=_SHORTER), []
    with walk.opened(path) as descriptor:
        if before.tail is not None and tail(descriptor, before.end) != before.tail:
            return replace(after, problem=_CHANGED), []
        start = max(before.end, before.scanned)
        end = _end_of_line(descriptor, start, file.size)
        if end == start:
            return replace(after, scanned=file.size), []
        pieces: list[tuple[int, int, int | None]] = []
        start = before.end
        while start < end:
            piece = _end_of_line(descriptor, start, min(end, start + _PIECE))
            piece = piece if piece > start else end
            pieces.append((start, piece, tail(descriptor, piece)))
            start = piece
    return replace(after, end=end, tail=pieces[-1][2], scanned=end), pieces


def _end_of_line(descriptor: int, start: int, end: int) -> int:
    """The position after the last newline in bytes [start, end) of a file, or ``start``."""
    step = 65_536
    position = end
    while position > start:
        low = max(start, position - step)
        found = os.pread(descriptor, position - low, low).rfind(b"\n")
        if found >= 0:
            return low + found + 1
        position = low
    return start
