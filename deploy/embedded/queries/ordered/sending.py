"""A query that computes a table sends each change to the queries that read the table."""

from __future__ import annotations

import duckdb

from opensea_metrics.deploy.embedded.queries.ordered.queue import Queue
from opensea_metrics.deploy.embedded.topics import positions, readers
from opensea_metrics.deploy.embedded.topics.numbering import DECODED
from opensea_metrics.deploy.embedded.topics.readers import Reader
from opensea_metrics.sql.language.catalog.catalog import Catalog


def send(cursor: duckdb.DuckDBPyConnection, receivers: list[Reader], changes: str) -> None:
    """Add changes to the queues of readers, within the transaction that makes them.

    ``changes`` is a relation of the table with ROWTIME, ``record_topic.RECORD``, ``record_topic.TOMBSTONE``
    and ``_off``, their order.
    """
    for reader in receivers:
        known = positions.positions(cursor, reader.id)
        first = known.get(DECODED, 0)
        queue = Queue(reader)
        number = f"{first} + row_number() OVER (ORDER BY _off) - 1"
        cursor.execute(f"CREATE OR REPLACE TEMP TABLE sent AS {queue.records(changes, number, has_tombstones=True)}")
        queue.add(cursor, "SELECT * FROM sent")
        (last,) = cursor.execute("SELECT max(_seq) FROM sent").fetchone()  # type: ignore[misc]
        if last is not None:
            positions.set_positions(cursor, reader.id, {DECODED: last + 1})


def needs_all(catalog: Catalog, reader: Reader) -> bool:
    """True if the result depends on all changes of a table. Otherwise it follows from the newest rows."""
    query = reader.query
    if not query.analysis.source.is_table:
        return True
    # A list is in the order of the changes, and a group that was emptied in between stays.
    if query.analysis.is_aggregation:
        return True
    return any(needs_all(catalog, other) for other in readers.receivers(catalog, query.sink))
