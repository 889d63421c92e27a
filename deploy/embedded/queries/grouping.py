"""Merges rows into the state of an aggregation, and sends its changes to the queries that read the table."""

from __future__ import annotations

import duckdb

from opensea_metrics.deploy.embedded.queries import aggregation, replaced_rows
from opensea_metrics.deploy.embedded.queries.ordered.sending import needs_all, send
from opensea_metrics.deploy.embedded.topics import feeds, log_tables, readers
from opensea_metrics.deploy.embedded.topics.positions import LATE, STREAM_TIME
from opensea_metrics.deploy.embedded.topics.record_topic import Positions, ReadPosition
from opensea_metrics.sql.language.catalog.catalog import Catalog, Query
from opensea_metrics.sql.language.lowering.duckdb import history, selects


def merge(
    cursor: duckdb.DuckDBPyConnection,
    catalog: Catalog,
    query: Query,
    relation: str,
    known: Positions,
    delta: str = "delta",
    slices: str | None = None,
) -> dict[ReadPosition, int]:
    """Merge the rows of a relation into the state of an aggregation, within a transaction.

    ``known`` are the query's counters before. Returns those that change: stream times, and the number of late rows.
    ``delta`` and ``slices``: see :func:`aggregation.absorb`.
    """
    grouping, table = selects.grouping(query.analysis), log_tables.state_table(query.id)
    receivers = readers.receivers(catalog, query.sink)
    all_of_them = [reader for reader in receivers if needs_all(catalog, reader)]
    if all_of_them:
        send(cursor, all_of_them, history.all_changes(cursor, grouping, table, relation, "history"))
    first = feeds.end_of(cursor, table) if receivers else 0
    seen = {position.partition: time for position, time in known.items() if position.feed == STREAM_TIME}
    replaced = replaced_rows.table_of(catalog, query)
    times, late = aggregation.absorb(cursor, grouping, table, relation, seen, delta, slices, replaced)
    if newest := [reader for reader in receivers if reader not in all_of_them]:
        send(cursor, newest, history.newest_changes(grouping, table, first))
    reached = {ReadPosition(STREAM_TIME, partition): time for partition, time in times.items()}
    return reached | ({LATE: known.get(LATE, 0) + late} if late else {})
