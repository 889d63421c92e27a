"""The partitions and offsets of records in files."""

from __future__ import annotations

import os

import duckdb

from opensea_metrics.deploy.embedded.files import walk
from opensea_metrics.deploy.embedded.files.file_look import FilePiece

RESERVED = 8
"""Offsets that are reserved for each byte of a compressed file, until a query has counted the file's records.

Later records get greater offsets, unless their files' names give offsets.
"""


def place_of(
    cursor: duckdb.DuckDBPyConnection,
    topic: str,
    piece: FilePiece,
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
    records = RESERVED * (piece.end - piece.start) if piece.records is None else piece.records
    files[piece.path] = first + records
    ends[partition] = max(ends.get(partition, 0), first + records)
    return partition, first
