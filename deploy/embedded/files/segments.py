"""The segments of topics in the table ``meta.segments``: which ones exist, and which ones were read."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import duckdb

from opensea_metrics.deploy.embedded.files import file_look

FILES = "files"
"""The feed of a topic's files. In ``meta.positions`` it has the segment up to which a query has read."""
_FEW = 100
"""Neighbouring segments are merged only if there are more than this."""
_MOST = 20_000
"""The most segments that are read from the register at once. In the predecessor's archives each has three records."""


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


def is_read(
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
    """At most ``most`` segments of a topic, starting at the number ``first`` of their partition (missing: 0).

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


def counted(
    known: Iterable[Segment], reached: Mapping[int, int], count: Callable[[Segment], int]
) -> list[tuple[int, int, int]]:
    """For each partition: the offset after its last record, and how many records are in ``reached`` and later segments.

    ``known`` are all segments of a topic. ``count`` counts the records of a compressed file that no query has read. It
    is called only if no later record of the partition reveals that number.
    """
    following: dict[int, int] = {}
    ends: dict[int, int] = {}
    unread: dict[int, int] = {}
    for segment in sorted(known, key=lambda item: item.first, reverse=True):
        number = segment.partition
        records = segment.records
        if records is None:
            end = following.get(number)
            records = count(segment) if end is None else end - segment.first
        following[number] = segment.first
        ends[number] = max(ends.get(number, 0), segment.first + records)
        if segment.seq >= reached.get(number, 0):
            unread[number] = unread.get(number, 0) + records
    return [(number, end, unread.get(number, 0)) for number, end in ends.items()]


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
    place = f"path, partition, start_byte // {file_look.PIECE}"
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
        # gzip shrinks JSON of this kind to about an eighth.
        more = (segment.end - segment.start) * (8 if segment.is_compressed else 1)
        if chosen and total + more > most_bytes:
            break
        chosen.append(segment)
        total += more
        heappop(taken)
        if waiting[partition]:
            heappush(taken, (size + more, waiting[partition][0].seq, partition))
    return sorted(chosen, key=lambda segment: segment.seq)
