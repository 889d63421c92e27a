"""Deletes data that is too old from the server's database, as ksqlDB and Kafka would.

- Windows whose start is more than the window's RETENTION before stream time.
- Records of topics with RETENTION_MS that are older than this, by the clock. Logs lose whole chunks, as Kafka deletes
  whole segments. Without RETENTION_MS a topic keeps its records: Kafka's default of 7 days would immediately delete
  replayed events.
- Chunks of logs that all queries have read and that can be rebuilt from files: see :mod:`.chunks`.

It also merges the register's many small segments of a growing file into a few large segments.

Data that a running query has not read yet stays. Files of the archive stay, unless :func:`delete_read_files` runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise

import duckdb

from opensea_metrics.deploy.embedded.files.segments import FILES, merge_segments
from opensea_metrics.deploy.embedded.storage import transaction
from opensea_metrics.deploy.embedded.topics import (
    chunks,
    feeds,
    log_tables,
    readers,
    record_store,
    table_feeds,
)
from opensea_metrics.deploy.embedded.topics.feeds import LeftRows
from opensea_metrics.deploy.embedded.topics.json_records import RECORDS
from opensea_metrics.deploy.embedded.topics.logs import Log
from opensea_metrics.deploy.embedded.topics.positions import all_positions
from opensea_metrics.deploy.embedded.topics.record_topic import Positions, ReadPosition
from opensea_metrics.deploy.embedded.topics.stored_topic import StoredTopics
from opensea_metrics.sql.language.catalog.catalog import Query
from opensea_metrics.sql.language.lowering.duckdb import groupings

_ALL = 2**62


def sweep(
    cursor: duckdb.DuckDBPyConnection,
    topics: StoredTopics,
    now: int,
    clients: Mapping[str, Iterable[Positions]],
    files_stay: bool = True,
) -> None:
    """Delete data that is too old at ``now`` (epoch ms). No query may move data during this call.

    ``clients`` are the positions of clients' queries, by topic. If ``files_stay`` is false, rows that could be rebuilt
    from files stay in the database. Each step has its own transaction.
    """
    reached = _reached_by_all(cursor, topics)
    for query in topics.catalog.queries.values():
        if query.analysis.is_aggregation and query.analysis.window:
            keeps_replaced = table_feeds.keeps_replaced(topics.catalog, query)
            _forget_windows(cursor, query, _reached(topics, query.id, reached), keeps_replaced)
    rows = cursor.execute("SELECT name, retention FROM meta.topics WHERE retention >= 0").fetchall()
    for topic, retention in rows:
        _delete_records(cursor, topics, topic, now - retention, reached, clients)
    topics = replace(topics, logs=log_tables.logs(cursor))
    for topic in {topics.catalog.sources[query.sink].topic for query in topics.catalog.queries.values()}:
        for feed in feeds.feeds(topics.catalog, topics.logs, topic):
            if isinstance(feed, Log) and files_stay:
                read = min(_reached(topics, feed.id, reached), _read_by_clients(topics, feed, clients))
                _drop_chunks(cursor, log_tables.log_table(topic, feed.id), feed, read)
    for (topic,) in cursor.execute("SELECT DISTINCT topic FROM meta.segments").fetchall():
        reading = [*_readers(topics, topic, reached), *clients.get(topic, ())]
        with transaction(cursor):
            merge_segments(cursor, topic, _least(reading, FILES, range(topics.topic(topic).partitions())))


def delete_read_files(
    cursor: duckdb.DuckDBPyConnection,
    topics: StoredTopics,
    oldest: int,
    clients: Mapping[str, Iterable[Positions]],
) -> None:
    """Delete the files of topics that were last changed before ``oldest`` (epoch ms) and that have been read.

    A topic's files are deleted only if at least one query over the topic is running, and all of these have read them.
    The newest file of a topic stays. Files from which rows may have to be rebuilt stay too.
    """
    reached = _reached_by_all(cursor, topics)
    for topic in {reader.source.topic for reader in readers.readers(topics.catalog)}:
        reading = [*_readers(topics, topic, reached), *clients.get(topic, ())]
        read = _least(reading, FILES, range(topics.topic(topic).partitions()))
        topics.register.delete_read(cursor, topic, read, oldest, chunks.files_needed(cursor, topics.catalog, topic))


def _reached_by_all(cursor: duckdb.DuckDBPyConnection, topics: StoredTopics) -> dict[str, Positions]:
    """The positions of the readers of all running queries, by their ids."""
    known = all_positions(cursor)
    return {reader.id: known.get(reader.id, {}) for reader in readers.readers(topics.catalog)}


def _forget_windows(
    cursor: duckdb.DuckDBPyConnection, query: Query, reached: int, keeps_replaced: bool
) -> None:
    """Delete the rows of old windows from a state.

    The row of the last change stays, because its number must not be used again. Open windows of EMIT FINAL stay
    too: another partition may still close them.
    """
    window = query.analysis.window
    assert window is not None
    table = log_tables.state_table(query.id)
    at = "_we" if window.is_session else "_ws"
    newest, oldest = cursor.execute(f"SELECT max({at}), min({at}) FROM {table}").fetchone()  # type: ignore[misc]
    if newest is not None and oldest <= newest - window.kept:
        with transaction(cursor):
            keys = groupings.grouping(query.analysis).keys
            own, same = ", ".join(keys), " AND ".join(f"old.{key} = gone.{key}" for key in keys)
            cursor.execute(
                f"DELETE FROM {table} AS old USING (SELECT {own} FROM {table} WHERE {at} <= ? GROUP BY {own}"
                f" HAVING max(_off) < least(?, (SELECT max(_off) FROM {table}))) AS gone WHERE {same}",
                [newest - window.kept, reached],
            )
            if keeps_replaced:
                rows = table_feeds.replaced_table(query.id)
                cursor.execute(f"DELETE FROM {rows} WHERE _we <= ? AND _off < ?", [newest - window.kept, reached])


def _delete_records(
    cursor: duckdb.DuckDBPyConnection,
    topics: StoredTopics,
    topic: str,
    oldest: int,
    reached: Mapping[str, Positions],
    clients: Mapping[str, Iterable[Positions]],
) -> None:
    """Delete the records of a topic that are older than a time (epoch ms)."""
    with transaction(cursor):
        partitions = record_store.ends(cursor, topic)
        low = _least(_readers(topics, topic, reached), RECORDS, partitions)
        record_store.delete_before(cursor, topic, oldest, {p: low.get(p, end) for p, end in partitions.items()})
    for feed in feeds.feeds(topics.catalog, topics.logs, topic):
        read = _reached(topics, feed.id, reached)
        if isinstance(feed, Log):
            read = min(read, _read_by_clients(topics, feed, clients))
            _forget_chunks(cursor, log_tables.log_table(topic, feed.id), feed, oldest, read)
        elif isinstance(feed, LeftRows):
            with transaction(cursor):
                last = feed.end(cursor) - 1  # the last row stays, so that its number is not used again
                cursor.execute(
                    f"DELETE FROM {feed.table} WHERE ROWTIME < ? AND _off < ?", [oldest, min(read, last)]
                )


def _forget_chunks(
    cursor: duckdb.DuckDBPyConnection, name: str, log: Log, oldest: int, read: int
) -> None:
    """Drop the chunks of a log whose records are all too old and have been read. The last chunk stays."""
    for chunk, following in pairwise(log.chunks):
        if following.base > read:
            return
        newest = chunks.newest(cursor, name, chunk)
        if newest is None or newest < oldest:
            with transaction(cursor):
                chunks.forget(cursor, name, chunk)


def _drop_chunks(cursor: duckdb.DuckDBPyConnection, name: str, log: Log, read: int) -> None:
    """Drop the chunks of a log that can be rebuilt from files, except for the newest chunks."""
    of_files = chunks.droppable(cursor, name)
    older = log.chunks[: len(log.chunks) - chunks.KEPT]
    for chunk, following in pairwise(older):
        if chunk.base in of_files and following.base <= read:
            with transaction(cursor):
                chunks.drop(cursor, name, chunk)


def _readers(
    topics: StoredTopics, topic: str, reached: Mapping[str, Positions]
) -> list[Positions]:
    """The positions of the running queries that read a topic."""
    return [reached[reader.id] for reader in readers.readers(topics.catalog) if reader.source.topic == topic]


def _least(readers: Iterable[Positions], feed: str, partitions: Iterable[int]) -> dict[int, int]:
    """The positions up to which all readers have read a feed, by partition. Empty without readers."""
    read = list(readers)
    numbers = list(partitions)
    return {p: min(positions.get(ReadPosition(feed, p), 0) for positions in read) for p in numbers} if read else {}


def _reached(topics: StoredTopics, feed_id: str, reached: Mapping[str, Positions]) -> int:
    """The position up to which all running queries have read a feed of rows, directly or through a stream's SELECT."""
    low = _ALL
    for reader in readers.readers(topics.catalog):
        analysis = reader.query.analysis
        if not analysis.is_aggregation and not analysis.is_ordered:
            continue  # it stores no rows, so only its readers count
        if readers.is_sent(topics.catalog, reader):
            continue
        for feed in feeds.feeds(topics.catalog, topics.logs, reader.source.topic):
            if feeds.stored(feed).id == feed_id:
                low = min(low, reached[reader.id].get(ReadPosition(feed.id), 0))
    return low


def _read_by_clients(
    topics: StoredTopics, log: Log, clients: Mapping[str, Iterable[Positions]]
) -> int:
    """The position up to which all clients' queries have read a log, directly or through a stream's SELECT."""
    numbers = (
        positions.get(ReadPosition(feed.id), 0)
        for topic, readers in clients.items()
        for feed in feeds.feeds(topics.catalog, topics.logs, topic)
        if feeds.stored(feed).id == log.id
        for positions in readers
    )
    return min(numbers, default=_ALL)
