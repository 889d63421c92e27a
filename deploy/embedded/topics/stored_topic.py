"""The topics of a data directory: files, the table of records, and the rows that queries have written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import duckdb

from opensea_metrics.core.quoting import quoted
from opensea_metrics.deploy.embedded.files.archive import Register
from opensea_metrics.deploy.embedded.files.segments import FILES
from opensea_metrics.deploy.embedded.files.unread import Unread
from opensea_metrics.deploy.embedded.metastore import TopicInfo
from opensea_metrics.deploy.embedded.topics import chunks, feeds, log_tables, record_store
from opensea_metrics.deploy.embedded.topics.batches import RowBatch
from opensea_metrics.deploy.embedded.topics.feeds import RowFeed, Selection
from opensea_metrics.deploy.embedded.topics.json_records import (
    MOST_BYTES,
    RECORDS,
    JsonRecords,
    of_feed,
)
from opensea_metrics.deploy.embedded.topics.logs import Counts, Log, LogChunk
from opensea_metrics.deploy.embedded.topics.record_topic import (
    RECORD,
    TOMBSTONE,
    Batch,
    PartitionOffsets,
    Positions,
    ReadPosition,
    RecordTopic,
    TopicRecord,
)
from opensea_metrics.deploy.embedded.topics.table_feeds import Changes, ChangesRead, TableRows
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.sources import Source

_MOST_ROWS = 100_000
_MOST_COUNTS = 10_000
@dataclass(frozen=True)
class StoredTopics:
    """The topics at one point in time. ``logs`` are the log tables, and ``register`` has the files.

    ``declared`` are the topics that statements have created. ``with_records`` are the topics that may have records in
    the table of records; None means any. ``counts`` caches the counts of feeds of rows, because clients that wait for
    queries to catch up ask repeatedly. ``ends`` has known ends of feeds: see :meth:`KnownPositions.known_ends`.
    ``record_ends`` remembers where the inserted records of a topic end, because a request may insert only one record.
    Whoever rolls back a transaction that inserts records must clear it.
    """

    catalog: Catalog
    logs: Mapping[str, tuple[str, ...]]
    register: Register
    declared: Mapping[str, TopicInfo] = field(default_factory=dict)
    counts: dict[tuple[str, int, int], Counts] = field(default_factory=dict)
    with_records: set[str] | None = None
    ends: Mapping[str, int] = field(default_factory=dict)
    record_ends: dict[str, dict[int, int]] = field(default_factory=dict)

    def topic(self, name: str) -> RecordTopic:
        """The topic with this name."""
        return StoredTopic(name, self)

    def leave_rows(self, cursor: duckdb.DuckDBPyConnection, query_id: str) -> None:
        """Keep the rows that an ending query has written so far in its topic, within the caller's transaction."""
        sink = self.catalog.sources[self.catalog.queries[query_id].sink]
        StoredTopic(sink.topic, self).leave_rows(cursor, query_id, sink)


@dataclass(frozen=True)
class StoredTopic:
    """A topic of a data directory. It has only the files that are registered: see :meth:`Register.discover`."""

    name: str
    all: StoredTopics

    @property
    def _json(self) -> JsonRecords:
        return JsonRecords(self.name, self.all.register, self.all.with_records)

    def partitions(self) -> int:
        known = self.all.declared.get(self.name)
        return known.partitions if known else 1

    def ends(self, cursor: duckdb.DuckDBPyConnection) -> Positions:
        ends = {ReadPosition(feed.id): feed.end(cursor) for feed in self._feeds()}
        files = self.all.register.end(self.name)
        ends |= {ReadPosition(FILES, number): files for number in range(self.partitions()) if files}
        stored = self._json.ends_of_records(cursor)
        return ends | {ReadPosition(RECORDS, number): end for number, end in stored.items()}

    def read(
        self,
        cursor: duckdb.DuckDBPyConnection,
        source: Source,
        positions: Positions,
        most_bytes: int = MOST_BYTES,
    ) -> Iterator[Batch]:
        yield from self.read_json(cursor, source, positions, most_bytes)
        carried = (*RECORD, TOMBSTONE) if source.is_table else RECORD
        for feed in self._feeds():
            position = ReadPosition(feed.id)
            low, end = positions.get(position, 0), self._end(cursor, feed)
            log = feeds.stored(feed)
            spans = log.spans(low, end) if isinstance(log, Log) else [(low, end, None)] if low < end else []
            for start, stop, chunk in spans:
                if chunk is not None:
                    yield self._again(cursor, source, feed, chunk, stop)
                    continue
                while start < stop:
                    high = min(stop, start + _MOST_ROWS)
                    relation = feed.relation(source, start, high, carried)
                    changes = ChangesRead(feed, source, start, high, carried) if isinstance(feed, Changes) else None
                    yield RowBatch({position: high}, relation, changes)
                    start = high

    def _end(self, cursor: duckdb.DuckDBPyConnection, feed: RowFeed) -> int:
        if isinstance(feed, Changes):
            known = self.all.ends.get(feed.id)
            return feed.end(cursor) if known is None else known
        last = log.chunks[-1] if isinstance(log := feeds.stored(feed), Log) else None
        rows = self.all.ends.get(last.table) if last else None
        return feed.end(cursor) if last is None or rows is None else last.base + rows

    def read_json(
        self, cursor: duckdb.DuckDBPyConnection, source: Source, positions: Positions, most_bytes: int
    ) -> Iterator[Batch]:
        return self._json.read(cursor, source, positions, most_bytes)

    def again(
        self, cursor: duckdb.DuckDBPyConnection, source: Source, positions: Positions, unread: Iterable[Unread]
    ) -> Batch | None:
        return self._json.again(cursor, source, positions, unread)

    def offsets(
        self, cursor: duckdb.DuckDBPyConnection, positions: Positions, keeps_rows: bool
    ) -> list[PartitionOffsets]:
        ends: Counter[int] = Counter()
        behind: Counter[int] = Counter()
        first: dict[int, int] = {}
        for number, deleted, end, unread in self._json.counted_records(cursor, positions):
            first[number], ends[number], behind[number] = deleted, end, unread
        rows = self.all.register.counted(cursor, self.name, of_feed(positions, FILES))
        for feed in self._feeds():
            reached = positions.get(ReadPosition(feed.id), 0) if keeps_rows else None
            rows += self._counted(cursor, feed, reached)
        for number, end, unread in rows:
            ends[number] = max(ends[number], end)
            behind[number] += unread
        numbers = range(max([self.partitions(), *(number + 1 for number in ends)]))
        return [
            PartitionOffsets(number, first.get(number, 0), ends[number], ends[number] - behind[number])
            for number in numbers
        ]

    def _counted(self, cursor: duckdb.DuckDBPyConnection, feed: RowFeed, reached: int | None) -> Counts:
        """The result of :meth:`RowFeed.counted`, cached as long as the feed has the same end.

        A ``reached`` of None means that all rows have been read.
        """
        end = feed.end(cursor)
        reached = end if reached is None else reached
        key = f"{self.name} {feed.id}", end, reached
        if key not in self.all.counts:
            if len(self.all.counts) >= _MOST_COUNTS:
                self.all.counts.clear()
            self.all.counts[key] = feed.counted(cursor, reached)
        return self.all.counts[key]

    def append(self, cursor: duckdb.DuckDBPyConnection, records: Sequence[TopicRecord]) -> None:
        if self.all.with_records is not None:
            self.all.with_records.add(self.name)
        known, floors = self.all.record_ends, self.all.register.offsets(self.name)
        known[self.name] = record_store.append(cursor, self.name, records, floors, known.get(self.name))

    def ensure(
        self,
        cursor: duckdb.DuckDBPyConnection,
        partitions: int,
        replicas: int,
        retention: int | None,
    ) -> None:
        if self.name not in self.all.declared:
            row = [self.name, partitions, replicas, retention]
            cursor.execute("INSERT INTO meta.topics VALUES (?, ?, ?, ?)", row)

    def delete(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Delete the topic. Files of the archive stay, because the server did not create them."""
        self.all.record_ends.pop(self.name, None)
        cursor.execute("DELETE FROM meta.topics WHERE name = ?", [self.name])
        record_store.delete(cursor, self.name)
        log_tables.delete_logs(cursor, self.name)

    def _feeds(self) -> list[RowFeed]:
        return feeds.feeds(self.all.catalog, self.all.logs, self.name)

    def leave_rows(self, cursor: duckdb.DuckDBPyConnection, query_id: str, sink: Source) -> None:
        """Keep the rows that an ending query has written so far, as rows of the topic of ``sink``.

        Dropped chunks are rebuilt now, because this needs the query's SELECT.
        """
        carried = (*RECORD, TOMBSTONE)
        for feed in self._feeds():
            dropped = self._dropped(cursor, sink, feed)
            if isinstance(feed, Log) and feed.id == feeds.json_log_id(query_id):
                for rebuilt in dropped:
                    chunks.restore(cursor, rebuilt.chunk, rebuilt, log_tables.log_table(self.name, feed.id))
            elif isinstance(feed, Changes | Selection | TableRows) and feed.query.id == query_id:
                rows = [feed.relation(sink, None, None, carried)]
                if isinstance(feed, Changes):
                    rows = [feed.left(sink, carried)]
                rows += [rebuilt.relation(cursor, f"left_{number}", carried) for number, rebuilt in enumerate(dropped)]
                table = f"log.{quoted(log_tables.log_table(self.name, feed.id))}"
                cursor.execute(f"CREATE TABLE {table} AS {' UNION ALL '.join(rows)}")

    def _dropped(
        self, cursor: duckdb.DuckDBPyConnection, source: Source, feed: RowFeed
    ) -> Iterator[chunks.ChunkAgain]:
        """The dropped chunks of the log that stores a feed's rows."""
        log = feeds.stored(feed)
        if isinstance(log, Log):
            for chunk in log.chunks:
                if chunk.is_dropped:
                    yield self._again(cursor, source, feed, chunk, 0)

    def _again(
        self, cursor: duckdb.DuckDBPyConnection, source: Source, feed: RowFeed, chunk: LogChunk, stop: int
    ) -> chunks.ChunkAgain:
        """A batch that rebuilds a dropped chunk, which ends before the number ``stop``."""
        assert isinstance(feed, Log | Selection)
        log = feeds.stored(feed)
        query = next(q for q in self.all.catalog.queries.values() if feeds.json_log_id(q.id) == log.id)
        topic = StoredTopic(query.analysis.source.topic, self.all)
        name = log_tables.log_table(self.all.catalog.sources[query.sink].topic, log.id)
        folder = self.all.register.root / topic.name
        segments, changed = chunks.segments_of(cursor, name, chunk.base, folder)
        files = topic._json.of_files(query.analysis.source, {}, segments)
        reached = {ReadPosition(feed.id): stop}
        return chunks.ChunkAgain(reached, chunk, query.analysis, files, changed, feed, source)
