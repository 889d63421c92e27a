"""The register of archive files: the pieces of files that a topic consists of, in their order.

A ``.json.gz`` file is registered once, as a whole. A ``.json`` file may grow: whole lines at its end are
registered as they appear. Registered pieces are called segments. Queries remember a position in the
order of segments, so a segment never changes its number.

A compacted file is registered as its original files. An hour may be compacted before the server sees it, while the
server runs, or never: it has the same segments in each case.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from pathlib import Path
from typing import NamedTuple

import duckdb

from opensea_metrics.core.errors import os_reason
from opensea_metrics.deploy.embedded import walk
from opensea_metrics.deploy.embedded.compaction import covering
from opensea_metrics.deploy.embedded.storage import transaction
from opensea_metrics.producer.archive import compacted, paths, text
from opensea_metrics.producer.archive.errors import EMPTY, Damaged
from opensea_metrics.producer.archive.layout import COMPACTED_SUFFIX
from opensea_metrics.producer.archive.listing import File, Listing, is_settled
from opensea_metrics.producer.archive.paths import opened
from opensea_metrics.producer.archive.text import DescriptorReader

FILES = "files"
"""The feed of a topic's files. In ``meta.positions`` it has the segment up to which a query has read."""
_FEW = 100
"""Neighbouring segments are merged only if there are more than this."""
_PIECE = 64 * 1024 * 1024
"""The most bytes of a growing file in one segment, if these bytes contain a newline."""
_BLOCK = 1024 * 1024
_TAIL = 4096
_RESERVED = 8
"""Offsets that are reserved for each byte of a compressed file, until a query has counted the file's records.

Later records get greater offsets, unless their files' names give offsets.
"""
_ALL = 2**62
_MOST = 20_000
"""The most segments that are read from the register at once. In the predecessor's archives each has three records."""
_CHANGED = "has changed since it was read; its new content is not read: put new records into a new file"
_NO_NEWLINE = (
    "has a last line without a newline at its end, which is not read because it may be part of a record;"
    " add the newline to have it read"
)
_SHORTENED = "has become shorter before any query had read it; the server reads its present content"
_SHORTER = "is shorter than the part that was read; the server reads on if the file gets its old content back"


@dataclass(frozen=True)
class Segment:
    """Bytes [start, end) of a file. ``seq`` is the segment's number in the topic's order.

    ``path`` is relative to the topic's directory. ``is_read`` means that a query has read all of the segment.
    ``first`` is the offset of the first record in its ``partition``, and ``records`` is the number of records.
    ``records`` is None for a compressed file that nobody has read.
    """

    seq: int
    path: str
    start: int
    end: int
    is_read: bool = False
    partition: int = 0
    first: int = 0
    records: int | None = None

    @property
    def is_compressed(self) -> bool:
        return self.path.endswith(".gz")


@dataclass(frozen=True, slots=True)
class _Known:
    """The registered part of a file: the bytes before ``end``, whose :func:`tail` is ``tail``.

    A compressed file has no ``tail`` until a query has read all of it. ``stamp`` is the file's stamp when the
    server last looked at it. ``scanned`` is the position up to which it was searched for a newline. ``problem``
    says what is wrong with the file.
    """

    end: int = 0
    tail: int | None = None
    stamp: int | None = None
    scanned: int = 0
    problem: str | None = None

    def has_rest(self, file: File) -> bool:
        """Whether a plain file has bytes after its last newline."""
        return self.end < file.size and not file.path.endswith(".gz")


class _Piece(NamedTuple):
    """A piece of a file that becomes a segment. ``records`` is None for a compressed file."""

    path: str
    start: int
    end: int
    tail: int | None = None
    records: int | None = None


class Register:
    """Registers the files of topics. Any thread may use it.

    The table ``meta.segments`` holds the register. Only this object writes to it, except for
    :func:`keep_read`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._known: dict[str, dict[str, _Known]] = {}
        self._compacted: dict[str, dict[str, int]] = {}
        """The registered compacted files of each topic, with their stamps."""
        self._next: dict[str, int] = {}
        self._ends: dict[str, dict[int, int]] = {}
        self._counts: dict[tuple[str, int, int], int] = {}

    def discover(
        self, cursor: duckdb.DuckDBPyConnection, topic: str, readers: Collection[str] | None
    ) -> Listing:
        """Register new files and lines in a topic's directory, and return the directory's listing.

        ``readers`` are the ids of the queries that read the topic's files, none of which may run meanwhile. If a plain
        file was rewritten and no reader has read any of it, it is registered anew. If ``readers`` is None, this is
        left to the next call.

        Do not call this within a transaction, because other threads must see the new segments immediately. Raises
        duckdb.Error if the register cannot be written. Then the next call registers the files.
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
            pieces: list[_Piece] = []
            compacted_files = self._compacted.setdefault(topic, {})
            registered = known.keys() | {file.path for file in listing.files}
            for file in listing.files:
                if file.path.endswith(COMPACTED_SUFFIX):
                    if compacted_files.get(file.path) == file.stamp:
                        continue
                    originals = _originals(self.root / topic, file, registered)
                    if isinstance(originals, str):
                        listing.refused[file.path] = originals
                        continue
                    for piece in originals:
                        pieces.append(piece)
                        looked[piece.path] = _Known(piece.end)
                    registered = registered | looked.keys()
                    compacted_files[file.path] = file.stamp
                    continue
                before = known.get(file.path)
                if before is None or before.stamp != file.stamp:
                    try:
                        after, new = _look(self.root / topic / file.path, file, before or _Known())
                    except FileNotFoundError:
                        continue  # it has just been deleted
                    except OSError as error:
                        listing.refused[file.path] = f"cannot read this file: {os_reason(error)}"
                        continue
                    if after.problem in (_CHANGED, _SHORTER) and not file.path.endswith(".gz"):
                        if readers is None:
                            continue
                        if not _is_read(cursor, topic, file.path, readers):
                            after = self._anew(cursor, topic, file, readers) or after
                    pieces += new
                    looked[file.path] = before = after
                if not before.problem and is_settled(file.modified):
                    if before.has_rest(file):
                        looked[file.path] = before = replace(before, problem=_NO_NEWLINE)
                    elif file.size == 0 and file.path.endswith(".gz"):
                        listing.refused[file.path] = f"{EMPTY}, so its records are lost; restore or remove it"
                if before.problem:
                    listing.refused[file.path] = f"this file {before.problem}"
            self._write(cursor, topic, pieces)
            known.update(looked)
        return listing

    def end(self, topic: str) -> int:
        """The number after a topic's last registered segment."""
        return self._next.get(topic, 0)

    def offsets(self, topic: str) -> dict[int, int]:
        """The offset after the last record of each partition that has registered files.

        It may be too great after a compressed file that nobody has read: see :data:`_RESERVED`.
        """
        with self._lock:
            return dict(self._ends.get(topic, {}))

    def counted(
        self, cursor: duckdb.DuckDBPyConnection, topic: str, reached: Mapping[int, int]
    ) -> list[tuple[int, int, int]]:
        """Each partition that has files, the offset after its last record, and the number of unread records.

        Records are unread from the segments ``reached`` on.
        """
        if not self.end(topic):
            return []
        known = segments(cursor, topic, {}, most=_ALL)
        following: dict[int, int] = {}
        ends: dict[int, int] = {}
        unread: dict[int, int] = {}
        for segment in sorted(known, key=lambda item: item.first, reverse=True):
            number = segment.partition
            records = segment.records
            if records is None:
                end = following.get(number)
                records = self._count(topic, segment) if end is None else end - segment.first
            following[number] = segment.first
            ends[number] = max(ends.get(number, 0), segment.first + records)
            if segment.seq >= reached.get(number, 0):
                unread[number] = unread.get(number, 0) + records
        return [(number, end, unread.get(number, 0)) for number, end in ends.items()]

    def _count(self, topic: str, segment: Segment) -> int:
        """The number of records of a compressed file that no query has read. The register remembers it."""
        key = topic, segment.seq, segment.end
        if key not in self._counts:
            try:
                with opened(self.root / topic / segment.path) as descriptor:
                    texts = text.unpacked(DescriptorReader(descriptor))
                    self._counts[key] = sum(block.count(b"\n") for block in texts)
            except (OSError, Damaged):
                return 0
        return self._counts[key]

    def note_read(self, topic: str, read: Iterable[Read]) -> None:
        """Update the register after the transaction in which :func:`keep_read` has written ``read``."""
        with self._lock:
            known = self._known.get(topic, {})
            for item in read:
                if item.path in known:
                    known[item.path] = replace(known[item.path], end=item.size, tail=item.tail)
                ends = self._ends[topic]
                if ends.get(item.partition, 0) == item.first + _RESERVED * item.registered:
                    ends[item.partition] = item.first + item.records

    def delete_read(
        self,
        cursor: duckdb.DuckDBPyConnection,
        topic: str,
        read: Mapping[int, int],
        oldest: int,
        needed: Collection[str],
    ) -> None:
        """Delete files that were last changed before ``oldest`` (epoch ms) and have been read.

        A file has been read if all its segments come before ``read``, by partition. Files that are ``needed`` stay.
        The last registered file stays too, so that its number is not used again.

        The file is deleted before its segments. In the other order, a server that is killed in between would read
        the file again.
        """
        with self._lock:
            bounds = " OR ".join(f"(partition = {int(p)} AND seq < {int(seq)})" for p, seq in read.items())
            rows = cursor.execute(
                "SELECT path, partition, max(first + coalesce(records, 0)) FROM meta.segments WHERE topic = ?"
                f" GROUP BY path, partition HAVING bool_and({bounds or 'false'}) AND max(seq) < ?"
                " AND bool_and(seq NOT IN (SELECT seq FROM meta.unread))",
                [topic, self._next.get(topic, 0) - 1],
            ).fetchall()
            for path, partition, following in rows:
                if path in needed:
                    continue
                file = self.root / topic / path
                try:
                    if file.stat().st_mtime * 1000 >= oldest:
                        continue
                    file.unlink()
                except FileNotFoundError:
                    if self._is_compacted(file):
                        continue
                    # A server was killed after it had deleted the file.
                except OSError:
                    continue  # next time
                with transaction(cursor):
                    cursor.execute("DELETE FROM meta.segments WHERE topic = ? AND path = ?", [topic, path])
                    cursor.execute(
                        "INSERT INTO meta.deleted VALUES (?, ?, ?)"
                        " ON CONFLICT DO UPDATE SET next = greatest(next, excluded.next)",
                        [topic, partition, following],
                    )
                self._known.get(topic, {}).pop(path, None)

    def _is_compacted(self, file: Path) -> bool:
        try:
            return covering(str(file)) is not None
        except OSError:
            return False

    def _load(self, cursor: duckdb.DuckDBPyConnection, topic: str) -> None:
        rows = cursor.execute(
            "SELECT path, max(end_byte), arg_max(tail, end_byte), max(seq) FROM meta.segments"
            " WHERE topic = ? GROUP BY path",
            [topic],
        ).fetchall()
        self._known[topic] = {path: _Known(end, tail) for path, end, tail, _ in rows}
        self._next[topic] = max((seq for *_, seq in rows), default=-1) + 1
        ends = cursor.execute(
            "SELECT partition, max(next) FROM (SELECT partition, first + coalesce(records, (end_byte - start_byte) * ?)"
            " AS next FROM meta.segments WHERE topic = ? UNION ALL SELECT partition, next FROM meta.deleted"
            " WHERE topic = ?) GROUP BY partition",
            [_RESERVED, topic, topic],
        ).fetchall()
        self._ends[topic] = dict(ends)

    def _anew(
        self, cursor: duckdb.DuckDBPyConnection, topic: str, file: File, readers: Collection[str]
    ) -> _Known | None:
        """Register a rewritten file that nobody has read as one segment, with the number of its first segment.

        None if the file has no complete line yet, or cannot be read.
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
                "UPDATE meta.segments SET end_byte = ?, tail = ?, records = ? WHERE topic = ? AND path = ?",
                [known.end, known.tail, sum(piece.records or 0 for piece in pieces), topic, file.path],
            )
        return replace(known, problem=_SHORTENED if is_shorter else None)

    def _write(
        self,
        cursor: duckdb.DuckDBPyConnection,
        topic: str,
        pieces: Sequence[_Piece],
    ) -> None:
        if not pieces:
            return
        first = self._next[topic]
        numbers = list(range(first, first + len(pieces)))
        ends = dict(self._ends[topic])
        files: dict[str, int] = {}
        places = [_numbered(cursor, topic, piece, ends, files) for piece in pieces]
        cursor.execute(
            "INSERT INTO meta.segments"
            " (topic, seq, partition, first, path, start_byte, end_byte, tail, records)"
            " SELECT ?, unnest(?::BIGINT[]), unnest(?::INTEGER[]), unnest(?::BIGINT[]), unnest(?::VARCHAR[]),"
            " unnest(?::BIGINT[]), unnest(?::BIGINT[]), unnest(?::BIGINT[]), unnest(?::BIGINT[])",
            [topic, numbers, *map(list, zip(*places, strict=True)), *map(list, zip(*pieces, strict=True))],
        )
        self._ends[topic] = ends
        self._next[topic] = first + len(pieces)


@dataclass(frozen=True)
class Read:
    """A compressed file that was read to its end, with its size, its :func:`tail` and its number of records.

    ``registered`` is its size when it was registered, and ``first`` is the offset of its first record.
    """

    seq: int
    path: str
    size: int
    tail: int
    records: int
    partition: int
    first: int
    registered: int


def keep_read(cursor: duckdb.DuckDBPyConnection, topic: str, read: Sequence[Read]) -> None:
    """Save the sizes, tails and numbers of records of compressed files that were read to their end."""
    if read:
        columns = map(list, zip(*((item.seq, item.size, item.tail, item.records) for item in read), strict=True))
        cursor.execute(
            "UPDATE meta.segments SET end_byte = r.size, tail = r.tail, records = r.records FROM (SELECT"
            " unnest(?::BIGINT[]) AS seq, unnest(?::BIGINT[]) AS size, unnest(?::BIGINT[]) AS tail,"
            " unnest(?::BIGINT[]) AS records) r"
            " WHERE segments.topic = ? AND segments.seq = r.seq",
            [*columns, topic],
        )


def _is_read(
    cursor: duckdb.DuckDBPyConnection, topic: str, path: str, readers: Collection[str]
) -> bool:
    """Whether any of the ``readers``, which are query ids, has read a part of a file."""
    return bool(
        cursor.execute(
            "SELECT count(*) FROM meta.segments s"
            f" JOIN meta.positions p ON p.feed = '{FILES}' AND p.partition = s.partition AND p.position > s.seq"
            " LEFT JOIN meta.unread u ON u.query = p.query AND u.seq = s.seq"
            " WHERE s.topic = ? AND s.path = ? AND list_contains(?::VARCHAR[], p.query)"
            " AND coalesce(u.taken, 1) > 0",
            [topic, path, list(readers)],
        ).fetchone()[0]  # type: ignore[index]
    )


def segments(
    cursor: duckdb.DuckDBPyConnection,
    topic: str,
    first: Mapping[int, int],
    numbers: Iterable[int] | None = None,
    most: int = _MOST,
) -> list[Segment]:
    """At most ``most`` segments of a topic, from the number ``first`` of their partition on (missing: 0).

    If ``numbers`` are given: the segments with these numbers instead.
    """
    known = " ".join(f"WHEN {int(partition)} THEN {int(seq)}" for partition, seq in first.items())
    chosen = f"seq >= CASE partition {known} ELSE 0 END" if known else "true"
    if numbers is not None:
        chosen = f"list_contains({list(numbers)}::BIGINT[], seq)"
    rows = cursor.execute(
        "SELECT seq, path, start_byte, end_byte, tail IS NOT NULL, partition, first, records FROM meta.segments "
        f"WHERE topic = ? AND {chosen} ORDER BY seq LIMIT {most}",
        [topic],
    ).fetchall()
    return [Segment(*row) for row in rows]


def merge_segments(
    cursor: duckdb.DuckDBPyConnection, topic: str, read: Mapping[int, int]
) -> None:
    """Merge neighbouring segments of growing files, within the caller's transaction.

    Only segments before ``read``, by partition, are merged, because all readers have read these. The new segment has
    the smallest number of its parts.
    """
    if not read:
        return
    bounds = " OR ".join(f"(partition = {int(p)} AND seq < {int(seq)})" for p, seq in read.items())
    chosen = (
        f"topic = $topic AND ({bounds}) AND NOT ends_with(path, '.gz')"
        " AND seq NOT IN (SELECT seq FROM meta.unread)"
    )
    place = f"path, partition, start_byte // {_PIECE}"
    cursor.execute(
        "CREATE OR REPLACE TEMP TABLE merged AS SELECT topic, min(seq) AS seq, partition,"
        " arg_min(first, start_byte) AS first, path, min(start_byte) AS start_byte, max(end_byte) AS end_byte,"
        " arg_max(tail, end_byte) AS tail, CAST(sum(records) AS BIGINT) AS records, list(seq) AS parts"
        f" FROM meta.segments WHERE {chosen} GROUP BY topic, {place} HAVING count(*) > {_FEW}",
        {"topic": topic},
    )
    cursor.execute(
        "DELETE FROM meta.segments WHERE topic = ? AND seq IN (SELECT unnest(parts) FROM merged)", [topic]
    )
    cursor.execute("INSERT INTO meta.segments SELECT * EXCLUDE (parts) FROM merged")


def chunk(pending: Iterable[Segment], most_bytes: int) -> list[Segment]:
    """The first segments of each partition, up to about ``most_bytes`` bytes of text. Always at least one.

    Each partition gets about the same share of the bytes, so that none runs ahead.
    """
    waiting: dict[int, deque[Segment]] = defaultdict(deque)
    for segment in pending:
        waiting[segment.partition].append(segment)
    taken = [(0, segments[0].seq, partition) for partition, segments in waiting.items()]
    heapify(taken)
    chosen: list[Segment] = []
    total = 0
    while taken:
        size, _, partition = taken[0]
        segment = waiting[partition].popleft()
        # JSON of this kind shrinks about eightfold.
        more = (segment.end - segment.start) * (8 if segment.is_compressed else 1)
        if chosen and total + more > most_bytes:
            break
        chosen.append(segment)
        total += more
        heappop(taken)
        if waiting[partition]:
            heappush(taken, (size + more, waiting[partition][0].seq, partition))
    return sorted(chosen, key=lambda segment: segment.seq)


def _numbered(
    cursor: duckdb.DuckDBPyConnection,
    topic: str,
    piece: _Piece,
    ends: dict[int, int],
    files: dict[str, int],
) -> tuple[int, int]:
    """The partition of a piece and the offset of its first record.

    Updates the partition's end in ``ends``, and the end of the piece's file in ``files``.
    """
    name = os.path.basename(piece.path)
    partition = max(0, walk.partition(topic, name))
    first = walk.first_offset(topic, name) if piece.start == 0 else None
    if first is None and piece.path in files:
        first = files[piece.path]
    elif first is None and walk.first_offset(topic, name) is not None:
        (first,) = cursor.execute(
            "SELECT max(first + records) FROM meta.segments WHERE topic = ? AND path = ?", [topic, piece.path]
        ).fetchone()  # type: ignore[misc]
    if first is None:
        (stored,) = cursor.execute(
            'SELECT max("offset") + 1 FROM meta.records WHERE topic = ? AND partition = ?', [topic, partition]
        ).fetchone()  # type: ignore[misc]
        first = max(ends.get(partition, 0), stored or 0)
    records = _RESERVED * (piece.end - piece.start) if piece.records is None else piece.records
    files[piece.path] = first + records
    ends[partition] = max(ends.get(partition, 0), first + records)
    return partition, first


def tail(descriptor: int, end: int) -> int:
    """A checksum of the bytes of a file before a position. A different checksum means that the file was rewritten."""
    start = max(0, end - _TAIL)
    return zlib.crc32(os.pread(descriptor, end - start, start))


def _originals(folder: Path, file: File, registered: Collection[str]) -> list[_Piece] | str:
    """The originals of a compacted file that are not registered.

    Returns a reason instead if the compacted file cannot be used.
    """
    try:
        with opened(folder / file.path) as descriptor, open(descriptor, "rb", closefd=False) as raw:
            originals = compacted.originals(raw)
    except OSError as error:
        return paths.cannot("read this file", error)
    except Damaged as error:
        return f"this file is damaged: {error}; restore it, or its originals"
    if not originals:
        return (
            "an earlier version of archive compact wrote this file without a list of its originals; compact a copy"
            " of the originals again"
        )
    prefix = file.path[: file.path.rfind("/") + 1]
    pieces = [_Piece(f"{prefix}{original.name}", 0, original.size, None, original.records) for original in originals]
    return [piece for piece in pieces if piece.path not in registered]


def _look(
    path: Path, file: File, before: _Known
) -> tuple[_Known, list[_Piece]]:
    """The new state of a file after a look at it, and its new pieces.

    Raises OSError if the file cannot be read.
    """
    after = replace(before, stamp=file.stamp, problem=None)
    if path.suffix == ".gz":
        if before.end == 0 and file.size > 0:
            return replace(after, end=file.size), [_Piece(file.path, 0, file.size)]
        if before.tail is not None:
            with opened(path) as descriptor:
                is_same = file.size == before.end and tail(descriptor, before.end) == before.tail
            return replace(after, problem=None if is_same else _CHANGED), []
        return after, []
    if file.size < before.end:
        return replace(after, problem=_SHORTER), []
    with opened(path) as descriptor:
        if before.tail is not None and tail(descriptor, before.end) != before.tail:
            return replace(after, problem=_CHANGED), []
        start = max(before.end, before.scanned)
        end = _end_of_line(descriptor, start, file.size)
        if end == start:
            return replace(after, scanned=file.size), []
        pieces: list[_Piece] = []
        start = before.end
        while start < end:
            piece = _end_of_line(descriptor, start, min(end, start + _PIECE))
            piece = piece if piece > start else end
            count = _lines(descriptor, start, piece)
            pieces.append(_Piece(file.path, start, piece, tail(descriptor, piece), count))
            start = piece
    return replace(after, end=end, tail=pieces[-1].tail, scanned=end), pieces


def _lines(descriptor: int, start: int, end: int) -> int:
    """The number of lines in bytes [start, end) of a file."""
    count = 0
    while start < end and (text := os.pread(descriptor, min(_BLOCK, end - start), start)):
        count += text.count(b"\n")
        start += len(text)
    return count


def _end_of_line(descriptor: int, start: int, end: int) -> int:
    """The position after the last newline in bytes [start, end) of a file, or ``start``."""
    step = 65_536
    position = end
    while position > start:
        low = max(start, position - step)
        newline = os.pread(descriptor, position - low, low).rfind(b"\n")
        if newline >= 0:
            return low + newline + 1
        position = low
    return start
