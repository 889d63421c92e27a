"""Drives ordered queries: takes what has arrived, puts it in order, and moves it through the joins into the result.

What is taken, the state and the result change in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from opensea_metrics.deploy.embedded import failures
from opensea_metrics.deploy.embedded.queries import aggregation, grouping
from opensea_metrics.deploy.embedded.queries.ordered import plan, results, undo
from opensea_metrics.deploy.embedded.queries.ordered.queue import Queue, take
from opensea_metrics.deploy.embedded.queries.ordered.sending import send
from opensea_metrics.deploy.embedded.queries.ordered.side import Side, create_rows
from opensea_metrics.deploy.embedded.storage import transaction
from opensea_metrics.deploy.embedded.topics import log_tables, processing_log, readers, table_feeds
from opensea_metrics.deploy.embedded.topics.json_records import MOST_BYTES
from opensea_metrics.deploy.embedded.topics.numbering import DECODED, Numbered
from opensea_metrics.deploy.embedded.topics.positions import ROWS, positions, set_positions
from opensea_metrics.deploy.embedded.topics.positions import unread as not_finished
from opensea_metrics.deploy.embedded.topics.readers import Reader
from opensea_metrics.deploy.embedded.topics.record_topic import UNREADABLE, Batch, ReadPosition
from opensea_metrics.deploy.embedded.topics.stored_topic import StoredTopics
from opensea_metrics.sql.language.catalog.catalog import Catalog, Query
from opensea_metrics.sql.language.lowering.duckdb import groupings, ordered

MOST_RECORDS = 2_000_000
"""The number of records that a query processes in one step."""
GROUPED = ReadPosition("grouped")
"""Not a position, but a counter: the number of the next row that is grouped."""


@dataclass(frozen=True)
class Arrival:
    """A batch of one reader, as a relation for its queue, and the number after its last record."""

    reader: Reader
    batch: Batch
    rows: str
    following: int
    failed: str | None


def check(cursor: duckdb.DuckDBPyConnection, query: Query, sink_topic: str) -> None:
    """Let DuckDB check the SQL of a query: create its tables, and undo that. Raises SqlError if DuckDB refuses it."""
    cursor.execute("BEGIN")
    try:
        for reader in readers.readers_of(query):
            Queue(reader).create(cursor)
        create_state(cursor, query, sink_topic)
    except duckdb.Error as error:
        raise failures.unreadable(error, query.analysis.statement.place) from error
    finally:
        cursor.execute("ROLLBACK")


def create(cursor: duckdb.DuckDBPyConnection, query: Query, catalog: Catalog) -> None:
    """Create the tables of a new query, which ``catalog`` has already, within a transaction.

    Its queue gets the newest rows of the tables that other queries compute.
    """
    for reader in readers.readers_of(query):
        queue = Queue(reader)
        if readers.is_sent(catalog, reader):
            relation = table_feeds.of_table(catalog, reader.source.name).relation(reader.source, None, None)
            number = "row_number() OVER (ORDER BY _off) - 1"
            queue.create(cursor, queue.records(relation, number, has_tombstones=False))
            set_positions(cursor, reader.id, {DECODED: queue.size(cursor)})
        else:
            queue.create(cursor)
    create_state(cursor, query, catalog.sources[query.sink].topic)


def create_state(cursor: duckdb.DuckDBPyConnection, query: Query, sink_topic: str) -> None:
    """Create the tables of the joins and of the result. The queue's tables exist."""
    analysis = query.analysis
    for reader in readers.readers_of(query):
        items = f"SELECT * FROM ({Queue(reader).items(None)}) LIMIT 0"
        cursor.execute(f"CREATE OR REPLACE TEMP TABLE items_{reader.number} AS {items}")
    joined = plan.first_side(query)
    for step in plan.joins(query):
        step.create(cursor)
        joined = step.result
    if not analysis.gives_table:
        results.create_chunk(cursor, query, joined.items, sink_topic, 0)
    elif not analysis.is_aggregation:
        results.create_rows(cursor, query, joined.items)
    else:
        if joined.is_table:
            create_rows(cursor, _rows_table(query), joined)
            undo.signed(cursor, joined, _rows_table(query), 0, "signed")
            relation = _ungrouped(query, "signed")
        else:
            relation = f"SELECT *, 0::BIGINT AS _off FROM ({ordered.rows(analysis, joined.items)})"
        parts = groupings.grouping(analysis)
        table = log_tables.state_table(query.id)
        aggregation.create(cursor, parts, table, relation=relation)
        cursor.execute(parts.finish(f"SELECT * FROM {table}"))


def move(cursor: duckdb.DuckDBPyConnection, topics: StoredTopics, query: Query, unread: bool = False) -> bool:
    """Move what has arrived through a query. False if nothing has.

    With ``unread`` it takes the parts of files that the query could not read before, if the files have changed.
    """
    catalog = topics.catalog
    queues = [Queue(reader) for reader in readers.readers_of(query)]
    arrivals: dict[int, Arrival] = {}
    has_more = False
    for queue in queues:
        reader = queue.reader
        known = positions(cursor, reader.id)
        topic = topics.topic(reader.source.topic)
        if unread:
            again = topic.again(cursor, reader.source, known, not_finished(cursor, reader.id))
            batches = iter([again] if again else [])
        else:
            batches = topic.read(cursor, reader.source, known, MOST_BYTES)
        if readers.is_sent(catalog, reader):  # it gets the rows of its topic from the query that computes them
            batches = (batch for batch in batches if not batch.is_decoded)
        if (batch := next(batches, None)) is not None:
            arrivals[reader.number] = _read(cursor, queue, batch, known.get(DECODED, 0))
            has_more = has_more or next(batches, None) is not None
    waiting = sum(queue.size(cursor) for queue in queues)
    arrived = sum(_size(cursor, arrival) for arrival in arrivals.values())
    if not waiting and not arrivals:
        return False
    sink_topic = catalog.sources[query.sink].topic
    base = 0 if query.analysis.gives_table else results.next_chunk(cursor, query, sink_topic)
    with transaction(cursor):
        for arrival in arrivals.values():
            _note(cursor, arrival)
        rows: Sequence[str | None] = [arrivals[n].rows if n in arrivals else None for n in range(len(queues))]
        most = MOST_RECORDS if waiting + arrived > MOST_RECORDS else None
        if has_more or most:
            for queue, one in zip(queues, rows, strict=True):
                if one:
                    queue.add(cursor, one)
        if not has_more:
            take(cursor, queues, rows, most)
            _process(cursor, catalog, query, base)
    for arrival in arrivals.values():
        arrival.batch.kept(arrival.reader.id)
    return True


def _read(cursor: duckdb.DuckDBPyConnection, queue: Queue, batch: Batch, first: int) -> Arrival:
    """Read a batch into a temporary table."""
    table = f"arrived_{queue.reader.number}"
    numbered = Numbered(cursor, table, first)
    if not batch.is_decoded:
        batch.read(cursor, numbered.take)
        rows = queue.records(numbered.relation, "_off", has_tombstones=queue.reader.source.is_table)
        failed = f"SELECT {', '.join(UNREADABLE)} FROM {table}" if numbered.failed else None
        return Arrival(queue.reader, batch, rows, numbered.next, failed)
    number = f"{first} + row_number() OVER (ORDER BY _off) - 1"

    def consume(relation: str) -> None:
        rows = queue.records(relation, number, has_tombstones=queue.reader.source.is_table)
        cursor.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {rows}")

    batch.read(cursor, consume)
    return Arrival(queue.reader, batch, f"SELECT * FROM {table}", first + log_tables.rows_of(cursor, table), None)


def _size(cursor: duckdb.DuckDBPyConnection, arrival: Arrival) -> int:
    return log_tables.rows_of(cursor, f"arrived_{arrival.reader.number}")


def _note(cursor: duckdb.DuckDBPyConnection, arrival: Arrival) -> None:
    """Save what a reader has read, and what it could not read."""
    reader = arrival.reader
    if arrival.failed:
        processing_log.record(cursor, reader.query.id, reader.source.topic, arrival.failed)
    set_positions(cursor, reader.id, {**arrival.batch.positions, DECODED: arrival.following})
    arrival.batch.keep(cursor, reader.id)


def run_joins(cursor: duckdb.DuckDBPyConnection, query: Query) -> Side:
    """Move the items that were taken from the queue through the joins. Returns the items of the result."""
    items = plan.first_side(query)
    for step in plan.joins(query):
        step.run(cursor)
        items = step.result
    return items


def _process(cursor: duckdb.DuckDBPyConnection, catalog: Catalog, query: Query, base: int) -> None:
    """Move the items of all sources through the joins, and write the result.

    A stream's rows go into the chunk of its log that begins at ``base``.
    """
    items = run_joins(cursor, query)
    if query.analysis.is_aggregation:
        _group(cursor, catalog, query, items)
    elif items.is_table:
        first = positions(cursor, query.id).get(ROWS, 0)
        following = results.merge(cursor, query, items.items, first, "changed")
        set_positions(cursor, query.id, {ROWS: following})
        send(cursor, readers.receivers(catalog, query.sink), results.sent("changed"))
    else:
        results.append(cursor, query, items.items, catalog.sources[query.sink].topic, base)


def _group(cursor: duckdb.DuckDBPyConnection, catalog: Catalog, query: Query, items: Side) -> None:
    """Merge items into the groups of an aggregation."""
    known = positions(cursor, query.id)
    relation, following = to_group(cursor, query, items, known.get(GROUPED, 0))
    counters = grouping.merge(cursor, catalog, query, relation, known)
    set_positions(cursor, query.id, {GROUPED: following, **counters})


def to_group(cursor: duckdb.DuckDBPyConnection, query: Query, items: Side, first: int) -> tuple[str, int]:
    """Items as the relation that a grouped SELECT reads, numbered from ``first`` on, and the number after the last."""
    if items.is_table:
        following = undo.signed(cursor, items, _rows_table(query), first, "signed")
        return _ungrouped(query, "signed"), following
    cursor.execute(
        f"CREATE OR REPLACE TEMP TABLE ungrouped AS SELECT *,"
        f" {first} + row_number() OVER (ORDER BY _n, _s) - 1 AS _off FROM ({items.items})"
    )
    following = first + log_tables.rows_of(cursor, "ungrouped")
    return ordered.rows(query.analysis, "SELECT * FROM ungrouped"), following


def _ungrouped(query: Query, table: str) -> str:
    """The signed rows of a table, as the relation that a grouped SELECT reads."""
    if query.analysis.joined:
        return ordered.rows(query.analysis, f"SELECT * FROM {table}")
    return f"SELECT * REPLACE (_time AS ROWTIME) FROM {table}"


def _rows_table(query: Query) -> str:
    """The newest rows of the table that a query groups."""
    return log_tables.state_table(f"{query.id} rows")
