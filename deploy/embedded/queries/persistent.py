"""Persistent queries: moves data from topics into logs and states, one batch at a time.

A batch and the positions after it are written in one transaction, so a record counts once even after a crash. The
same transaction records which parts of files a query has not read (``meta.unread``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import duckdb

from opensea_metrics.deploy.embedded.queries import grouping
from opensea_metrics.deploy.embedded.queries.members import Member
from opensea_metrics.deploy.embedded.queries.ordered import moving
from opensea_metrics.deploy.embedded.storage import transaction
from opensea_metrics.deploy.embedded.topics import (
    chunks,
    feeds,
    log_tables,
    passing,
    processing_log,
    readers,
)
from opensea_metrics.deploy.embedded.topics.batches import RowBatch
from opensea_metrics.deploy.embedded.topics.json_records import MOST_BYTES
from opensea_metrics.deploy.embedded.topics.numbering import DECODED, Numbered
from opensea_metrics.deploy.embedded.topics.positions import (
    LATE,
    STREAM_TIME,
    KnownPositions,
    positions,
    set_positions,
    set_positions_of,
    unread,
)
from opensea_metrics.deploy.embedded.topics.record_topic import RECORD, UNREADABLE, Batch, Positions
from opensea_metrics.deploy.embedded.topics.stored_topic import StoredTopics
from opensea_metrics.sql.language.catalog.catalog import Catalog, Query

_BATCH = "batch"


class Moved(NamedTuple):
    """The queries that have moved a batch, and those for which there was none.

    ``may_have_logs`` is true if there may be a new table of a log.
    """

    queries: Sequence[Query]
    idle: Sequence[Query] = ()
    may_have_logs: bool = False


def move(
    cursor: duckdb.DuckDBPyConnection, topics: StoredTopics, queries: Sequence[Query], places: KnownPositions
) -> Moved:
    """Move one batch through each of some queries: see :func:`together`. All of them have moved it, or none."""
    query = queries[0]
    if query.analysis.is_ordered:
        if not moving.move(cursor, topics, query):
            return Moved((), queries)
        return Moved(queries, may_have_logs=not query.analysis.gives_table)
    if query.analysis.is_aggregation:
        topics = replace(topics, ends=places.known_ends())
        batches, idle = _next_batches(cursor, topics, queries, places)
        places.reached(_aggregate(cursor, topics.catalog, batches, places))
        return Moved([query for queries, _ in batches for query in queries], idle)
    # A stream's SELECT over rows is computed when it is read (see feeds.Selection).
    topic = topics.topic(query.analysis.source.topic)
    known = places.of(cursor, query.id)
    batch = next(topic.read_json(cursor, query.analysis.source, known, MOST_BYTES), None)
    if batch is None:
        return Moved((), queries)
    is_new = _append(cursor, topics, query, batch, places)
    places.reached({query.id: batch.positions})
    return Moved(queries, may_have_logs=is_new)


def together(catalog: Catalog, queries: Sequence[Query]) -> list[Query]:
    """The first query, and those of the others that can move in one transaction with it.

    These are aggregations, none of which reads what another one writes.
    """
    first, *others = queries
    if not first.analysis.is_plain_aggregation:
        return [first]
    chosen, ids, above = [first], {first.id}, catalog.above(first)
    for query in (other for other in others if other.analysis.is_plain_aggregation):
        reads = catalog.above(query)
        if query.id not in above and not reads & ids:
            chosen.append(query)
            ids.add(query.id)
            above |= reads
    return chosen


def _changed(
    cursor: duckdb.DuckDBPyConnection, reached: Mapping[str, Positions], places: KnownPositions
) -> dict[str, Positions]:
    """The positions that differ from the known ones."""
    return {
        reader_id: dict(new.items() - places.of(cursor, reader_id).items()) for reader_id, new in reached.items()
    }


def _next_batches(
    cursor: duckdb.DuckDBPyConnection, topics: StoredTopics, queries: Sequence[Query], places: KnownPositions
) -> tuple[list[tuple[list[Query], Batch]], list[Query]]:
    """The next batches of aggregations, each with the queries that read it, and the queries for which there is none.

    Only batches of rows are moved together. Another batch is the only one.
    """
    alike: dict[object, list[Query]] = {}
    for query in queries:
        place = frozenset(_of_records(places.of(cursor, query.id)).items())
        alike.setdefault((query.analysis.source, place), []).append(query)
    batches: list[tuple[list[Query], Batch]] = []
    idle: list[Query] = []
    for group in alike.values():
        source = group[0].analysis.source
        read = topics.topic(source.topic).read(cursor, source, places.of(cursor, group[0].id), MOST_BYTES)
        batch = next(read, None)
        if batch is None:
            idle += group
        elif isinstance(batch, RowBatch):
            batches.append((group, batch))
        elif not batches:
            return [(group, batch)], idle
    return batches, idle


def _of_records(known: Positions) -> Positions:
    """Positions without those counters that differ between queries which read the same records."""
    return {position: number for position, number in known.items() if position.feed not in (STREAM_TIME, LATE.feed)}


def move_unread(cursor: duckdb.DuckDBPyConnection, topics: StoredTopics, query: Query) -> bool:
    """Move the unread parts of files through a query, if the files have changed. False if none has changed."""
    if query.analysis.is_ordered:
        return moving.move(cursor, topics, query, unread=True)
    topic = topics.topic(query.analysis.source.topic)
    batch = topic.again(cursor, query.analysis.source, positions(cursor, query.id), unread(cursor, query.id))
    if batch is None:
        return False
    if query.analysis.is_aggregation:
        _aggregate(cursor, topics.catalog, [([query], batch)], KnownPositions())
    else:
        _append(cursor, topics, query, batch, KnownPositions())
    return True


def have_unread(cursor: duckdb.DuckDBPyConnection) -> list[str]:
    """The ids of the queries that have not read all of some file."""
    rows = cursor.execute("SELECT DISTINCT query FROM meta.unread").fetchall()
    return sorted({readers.query_of(reader) for (reader,) in rows})


def _append(
    cursor: duckdb.DuckDBPyConnection, topics: StoredTopics, query: Query, batch: Batch, places: KnownPositions
) -> bool:
    """Move JSON records through a stream's SELECT into its log, in one pass. True if they begin a table of the log."""
    analysis, sink_topic = query.analysis, topics.catalog.sources[query.sink].topic
    feed = feeds.json_log_id(query.id)
    log = feeds.json_log(topics.logs, sink_topic, feed)
    last = log.chunks[-1] if log else None
    base = chunks.next_base(last, places.rows_of_log(cursor, last.table)) if last else 0
    table = log_tables.chunk_table(sink_topic, feed, base)
    passed = passing.HAS_VALUE, UNREADABLE, RECORD
    is_new = last is None or base > last.base
    if is_new:
        empty = ", ".join(f"NULL::VARCHAR AS {name}" for name in UNREADABLE)
        nothing = f"SELECT * EXCLUDE (_off), {empty} FROM ({feeds.nothing(analysis.source)})"
        # Outside the transaction: DuckDB 2.0 loses rows that a transaction inserts into a table that the same
        # transaction has created with a CREATE TABLE AS without rows.
        cursor.execute(f"CREATE TABLE IF NOT EXISTS {table} AS {passing.rows(analysis, nothing, *passed)}")

    def consume(decoded: str) -> None:
        with transaction(cursor):
            before = places.rows_of_log(cursor, table)
            rows = passing.rows(analysis, decoded, *passed)
            (added,) = cursor.execute(f"INSERT INTO {table} {rows}").fetchone()  # type: ignore[misc]
            unreadable = f"SELECT {', '.join(UNREADABLE)} FROM {table} WHERE rowid >= {before}"
            processing_log.record(cursor, query.id, analysis.source.topic, unreadable)
            set_positions(cursor, query.id, batch.positions)
            batch.keep(cursor, query.id)
            log = log_tables.log_table(sink_topic, feed)
            chunks.note(cursor, log, base, analysis.source.topic, batch.whole_segments)
        places.added_to_log(table, int(added))

    batch.read(cursor, consume)
    batch.kept(query.id)
    return is_new


def _aggregate(
    cursor: duckdb.DuckDBPyConnection,
    catalog: Catalog,
    batches: Sequence[tuple[Sequence[Query], Batch]],
    places: KnownPositions,
) -> dict[str, Positions]:
    """Merge batches into the states of aggregations, in one transaction. Returns what they have reached.

    Of several batches, all have rows.
    """
    if not batches:
        return {}
    members: list[Member] = []
    reached: dict[str, Positions] = {}
    failed: list[Query] = []
    for queries, batch in batches:
        numbered = Numbered(cursor, _BATCH, places.of(cursor, queries[0].id).get(DECODED, 0))
        batch.read(cursor, numbered.take if not batch.is_decoded else numbered.take_rows)
        changes = batch.changes if isinstance(batch, RowBatch) else None
        for query in queries:
            members.append(Member(query, numbered.relation, places.of(cursor, query.id), changes))
            reached[query.id] = {**batch.positions, DECODED: numbered.next}
            if numbered.failed:
                failed.append(query)
    with transaction(cursor):
        for query in failed:
            unreadable = f"SELECT {', '.join(UNREADABLE)} FROM {_BATCH}"
            processing_log.record(cursor, query.id, query.analysis.source.topic, unreadable)
        counters = grouping.merge_all(cursor, catalog, members, places)
        reached = {query_id: {**positions, **counters[query_id]} for query_id, positions in reached.items()}
        for queries, batch in batches:
            for query in queries:
                batch.keep(cursor, query.id)
        set_positions_of(cursor, _changed(cursor, reached, places))
    for queries, batch in batches:
        for query in queries:
            batch.kept(query.id)
    return reached
