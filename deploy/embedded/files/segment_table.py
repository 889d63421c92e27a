"""The SQL of the register of archive files (:mod:`.archive`): the tables ``meta.segments`` and ``meta.deleted``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import duckdb

from opensea_metrics.deploy.embedded.files.file_look import FilePiece, KnownFile
from opensea_metrics.deploy.embedded.files.file_offsets import RESERVED
from opensea_metrics.deploy.embedded.storage import transaction
from opensea_metrics.producer.archive.listing import File


def files(cursor: duckdb.DuckDBPyConnection, topic: str) -> list[tuple[str, int, int, int]]:
    """The registered files of a topic: path, registered bytes, tail, and the number of the last segment."""
    return cursor.execute(
        "SELECT path, max(end_byte), arg_max(tail, end_byte), max(seq) FROM meta.segments WHERE topic = ?"
        " GROUP BY path",
        [topic],
    ).fetchall()


def ends(cursor: duckdb.DuckDBPyConnection, topic: str) -> dict[int, int]:
    """For each partition that has or had files: the offset after its last record. See :data:`RESERVED`."""
    rows = cursor.execute(
        "SELECT partition, max(next) FROM (SELECT partition, first + coalesce(records, (end_byte - start_byte) * ?)"
        " AS next FROM meta.segments WHERE topic = ? UNION ALL SELECT partition, next FROM meta.deleted"
        " WHERE topic = ?) GROUP BY partition",
        [RESERVED, topic, topic],
    ).fetchall()
    return dict(rows)


def add(
    cursor: duckdb.DuckDBPyConnection,
    topic: str,
    numbers: Sequence[int],
    places: Sequence[tuple[int, int]],
    pieces: Sequence[FilePiece],
) -> None:
    """Register pieces of files with their numbers. ``places`` are their partitions and first offsets."""
    cursor.execute(
        "INSERT INTO meta.segments (topic, seq, partition, first, path, start_byte, end_byte, tail, records)"
        " SELECT ?, unnest(?::BIGINT[]), unnest(?::INTEGER[]), unnest(?::BIGINT[]), unnest(?::VARCHAR[]),"
        " unnest(?::BIGINT[]), unnest(?::BIGINT[]), unnest(?::BIGINT[]), unnest(?::BIGINT[])",
        [topic, numbers, *map(list, zip(*places, strict=True)), *map(list, zip(*pieces, strict=True))],
    )


def replace_file(
    cursor: duckdb.DuckDBPyConnection,
    topic: str,
    file: File,
    readers: Collection[str],
    known: KnownFile,
    pieces: Sequence[FilePiece],
) -> bool:
    """Register a rewritten file as one segment, with the number of its first segment. True if it is shorter now."""
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
    return bool(is_shorter)


def files_read(
    cursor: duckdb.DuckDBPyConnection, topic: str, read: Mapping[int, int], before: int
) -> list[tuple[str, int, int]]:
    """The files all of whose segments come before ``read``, by partition, and before the segment ``before``.

    Each has its partition and the offset after its last record.
    """
    bounds = " OR ".join(f"(partition = {int(p)} AND seq < {int(seq)})" for p, seq in read.items())
    return cursor.execute(
        "SELECT path, partition, max(first + coalesce(records, 0)) FROM meta.segments WHERE topic = ?"
        f" GROUP BY path, partition HAVING bool_and({bounds or 'false'}) AND max(seq) < ?"
        " AND bool_and(seq NOT IN (SELECT seq FROM meta.unread))",
        [topic, before],
    ).fetchall()


def delete_file(cursor: duckdb.DuckDBPyConnection, topic: str, path: str, partition: int, following: int) -> None:
    """Delete a file's segments. Its partition's records begin at the offset ``following`` from now on."""
    with transaction(cursor):
        cursor.execute("DELETE FROM meta.segments WHERE topic = ? AND path = ?", [topic, path])
        cursor.execute(
            "INSERT INTO meta.deleted VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET next = greatest(next, excluded.next)",
            [topic, partition, following],
        )
