"""Merges rows into the states of aggregations, and sends their changes to the queries that read the tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import duckdb

from opensea_metrics.deploy.embedded.queries import (
    aggregation,
    families,
    replaced_rows,
    state_parts,
)
from opensea_metrics.deploy.embedded.queries.members import Member, can_be_member, families_of
from opensea_metrics.deploy.embedded.queries.ordered.sending import needs_all, send
from opensea_metrics.deploy.embedded.topics import log_tables, readers, state_rows, table_feeds
from opensea_metrics.deploy.embedded.topics.positions import (
    LATE,
    STREAM_TIME,
    KnownPositions,
    stream_times,
)
from opensea_metrics.deploy.embedded.topics.readers import Reader
from opensea_metrics.deploy.embedded.topics.record_topic import Positions, ReadPosition
from opensea_metrics.sql.language.catalog.catalog import Catalog, Query
from opensea_metrics.sql.language.lowering.duckdb import groupings, history


def merge(
    cursor: duckdb.DuckDBPyConnection, catalog: Catalog, query: Query, relation: str, known: Positions
) -> dict[ReadPosition, int]:
    """Merge the rows of a relation into the state of an aggregation, within a transaction.

    ``known`` are the query's counters before. Returns those that change: stream times, and the number of late rows.
    """
    grouping, table = groupings.grouping(query.analysis), log_tables.state_table(query.id)
    receivers, first = _send_all(cursor, catalog, query, relation)
    replaced = replaced_rows.table_of(catalog, query)
    times, late = aggregation.absorb(cursor, grouping, table, relation, stream_times(known), replaced)
    _send_newest(cursor, query, receivers, first)
    return _counters(known, times, late)


def merge_all(
    cursor: duckdb.DuckDBPyConnection, catalog: Catalog, members: Iterable[Member], places: KnownPositions
) -> dict[str, dict[ReadPosition, int]]:
    """Do what :func:`merge` does for several aggregations, by the ids of their queries. Families are merged together.

    If the transaction fails, forget all ``places``.
    """
    counters: dict[str, dict[ReadPosition, int]] = {}
    in_parts: list[Query] = []
    alike: list[Member] = []
    for member in members:
        if can_be_member(member.query):
            alike.append(member)
        else:
            counters[member.query.id] = merge(cursor, catalog, member.query, member.relation, member.known)
    for family in families_of(alike):
        sent = [_send_all(cursor, catalog, member.query, member.relation) for member in family]
        results = families.absorb(cursor, family, places)
        for member, (receivers, first), (times, late) in zip(family, sent, results, strict=True):
            _send_newest(cursor, member.query, receivers, first)
            counters[member.query.id] = _counters(member.known, times, late)
        if family[0].grouping.is_in_parts:
            in_parts += [member.query for member in family]
    state_parts.merge_some(cursor, in_parts, places)
    return counters


def _send_all(
    cursor: duckdb.DuckDBPyConnection, catalog: Catalog, query: Query, relation: str
) -> tuple[Sequence[Reader], int]:
    """Send all changes that the rows of a relation will make to the readers that need all.

    Returns the other readers, and the number of the first of these changes.
    """
    receivers = readers.receivers(catalog, query.sink)
    if not receivers:
        return (), 0
    grouping, table = groupings.grouping(query.analysis), log_tables.state_table(query.id)
    all_of_them = [reader for reader in receivers if needs_all(catalog, reader)]
    if all_of_them:
        send(cursor, all_of_them, history.all_changes(cursor, grouping, state_rows.rows(query), relation, "history"))
    return [reader for reader in receivers if reader not in all_of_them], table_feeds.end_of(cursor, table)


def _send_newest(cursor: duckdb.DuckDBPyConnection, query: Query, receivers: Sequence[Reader], first: int) -> None:
    """Send the newest rows of the keys that have changed, from the change ``first`` on."""
    if receivers:
        changed = state_rows.rows(query, first)
        send(cursor, list(receivers), history.newest_changes(groupings.grouping(query.analysis), changed))


def _counters(known: Positions, times: dict[int, int], late: int) -> dict[ReadPosition, int]:
    reached = {ReadPosition(STREAM_TIME, partition): time for partition, time in times.items()}
    return reached | ({LATE: known.get(LATE, 0) + late} if late else {})
