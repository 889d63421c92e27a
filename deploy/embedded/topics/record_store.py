"""The table of the records that clients and the server insert into topics. Each partition has its own offsets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import duckdb

from opensea_metrics.deploy.embedded.topics.record_topic import TopicRecord


def ends(cursor: duckdb.DuckDBPyConnection, topic: str) -> dict[int, int]:
    """The offset after the last record of each partition that has or had records."""
    rows = cursor.execute(
        'SELECT partition, max(next) FROM (SELECT partition, "offset" + 1 AS next FROM meta.records WHERE topic = ?'
        " UNION ALL SELECT partition, next FROM meta.deleted WHERE topic = ?) GROUP BY partition",
        [topic, topic],
    ).fetchall()
    return dict(rows)


def topics_with_records(cursor: duckdb.DuckDBPyConnection) -> set[str]:
    """The topics that have or had records."""
    rows = cursor.execute("SELECT topic FROM meta.records UNION SELECT topic FROM meta.deleted").fetchall()
    return {topic for (topic,) in rows}


def append(
    cursor: duckdb.DuckDBPyConnection,
    topic: str,
    records: Sequence[TopicRecord],
    floors: Mapping[int, int],
    known: Mapping[int, int] | None = None,
) -> dict[int, int]:
    """Add records to a topic in their order, within the caller's transaction. Returns the topic's :func:`ends` then.

    ``floors`` are the smallest offsets that the new records may have, by partition. ``known`` are the topic's ends
    before, if the caller knows them.
    """
    times, keys, values, partitions = zip(*records, strict=True)
    following = ends(cursor, topic) if known is None else dict(known)
    offsets = []
    for partition in partitions:
        offsets.append(max(following.get(partition, 0), floors.get(partition, 0)))
        following[partition] = offsets[-1] + 1
    cursor.execute(
        "INSERT INTO meta.records SELECT $topic, nextval('meta.record_numbers'), unnest($partitions::INTEGER[]),"
        " unnest($offsets::BIGINT[]), unnest($times::BIGINT[]), unnest($keys::VARCHAR[]), unnest($values::VARCHAR[])",
        {
            "topic": topic, "partitions": partitions, "offsets": offsets,
            "times": times, "keys": keys, "values": values,
        },
    )  # fmt: skip
    return following


def between(low: Mapping[int, int], high: Mapping[int, int]) -> str:
    """A condition for the records with offsets in [low, high) of their partition. A missing ``low`` means 0."""
    bounds = (
        f'(partition = {number} AND "offset" >= {low.get(number, 0)} AND "offset" < {end})'
        for number, end in high.items()
    )
    return f"({' OR '.join(bounds)})"


class PartitionCounts(NamedTuple):
    """The offsets of a partition, and the number of records that a reader has not read yet.

    Records before offset ``first`` have been deleted, and ``end`` is the offset after the last record.
    """

    partition: int
    first: int
    end: int
    unread: int


def counted(
    cursor: duckdb.DuckDBPyConnection, topic: str, reached: Mapping[int, int]
) -> list[PartitionCounts]:
    """The partitions that have or had records. ``reached`` are the offsets up to which the reader has read."""
    cases = "".join(f" WHEN {int(partition)} THEN {int(offset)}" for partition, offset in reached.items())
    unread = f'"offset" >= CASE partition{cases} ELSE 0 END' if cases else "true"
    rows = cursor.execute(
        "SELECT partition, max(first), max(next), sum(unread) FROM ("
        f'SELECT partition, 0 AS first, "offset" + 1 AS next, ({unread})::INTEGER AS unread FROM meta.records'
        " WHERE topic = ? UNION ALL SELECT partition, next, next, 0 FROM meta.deleted WHERE topic = ?)"
        " GROUP BY partition",
        [topic, topic],
    ).fetchall()
    return [PartitionCounts(*map(int, row)) for row in rows]


def delete(cursor: duckdb.DuckDBPyConnection, topic: str) -> None:
    """Delete all records of a topic. Its offsets start again at 0."""
    cursor.execute("DELETE FROM meta.records WHERE topic = ?", [topic])
    cursor.execute("DELETE FROM meta.deleted WHERE topic = ?", [topic])


def delete_before(
    cursor: duckdb.DuckDBPyConnection, topic: str, time: int, read: Mapping[int, int]
) -> None:
    """Delete the records of a topic that are older than a time (epoch ms), within the caller's transaction.

    Only records before the offsets ``read`` of their partition are deleted. New records do not reuse old offsets.
    """
    if not read:
        return
    old = f"topic = ? AND ts < ? AND {between({}, read)}"
    last = cursor.execute(
        f'SELECT partition, max("offset") + 1 FROM meta.records WHERE {old} GROUP BY partition', [topic, time]
    ).fetchall()
    for partition, following in last:
        cursor.execute(
            "INSERT INTO meta.deleted VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET next = greatest(next, excluded.next)",
            [topic, partition, following],
        )
    if last:
        cursor.execute(f"DELETE FROM meta.records WHERE {old}", [topic, time])
