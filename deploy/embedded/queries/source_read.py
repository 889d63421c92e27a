"""A source as a client's query reads it: each record once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import duckdb

from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.engine_state import OpenRead
from opensea_metrics.deploy.embedded.files.unread import Unread
from opensea_metrics.deploy.embedded.topics import table_feeds
from opensea_metrics.deploy.embedded.topics.numbering import DECODED, Numbered
from opensea_metrics.deploy.embedded.topics.record_topic import ReadPosition
from opensea_metrics.deploy.embedded.topics.table_feeds import Changes, TableRows
from opensea_metrics.sql.language.catalog.sources import Source


class SourceRead:
    """``is_computed`` is true for a table that a persistent query computes.

    ``table`` is the name of a temporary table for the records, on the query's own connection.
    """

    def __init__(self, engine: Engine, cursor: duckdb.DuckDBPyConnection, source: Source, table: str) -> None:
        self.source = source
        self.is_computed = source.is_table and bool(engine.catalog.writers(source.name))
        self._engine = engine
        self._cursor = cursor
        self._table = table
        self._read = OpenRead(source.topic, {})
        self._unread_files: dict[int, Unread] = {}  # by segment
        engine.follow(self._read)

    def skip(self) -> None:
        """Leave out the records that exist now."""
        if self.is_computed:
            feed = self.changes()
            self._read.positions = {ReadPosition(feed.id): feed.end(self._cursor)}
        else:
            self._engine.discover(self._cursor, self.source.topic)
            self._read.positions = dict(self._engine.topic(self.source.topic).ends(self._cursor))

    def changes(self) -> Changes | TableRows:
        """The newest rows of a table that a persistent query computes."""
        return table_feeds.of_table(self._engine.catalog, self.source.name)

    def unread(self, most: int) -> Iterator[str]:
        """Relations of the records that have arrived since the last call, with ``_off``: at most ``most`` bytes each.

        Of a table that a persistent query computes, these are the rows that have changed.
        """
        if self.is_computed:
            feed = self.changes()
            low, high = self._read.positions.get(ReadPosition(feed.id), 0), feed.end(self._cursor)
            if low < high:
                self._read.positions = {ReadPosition(feed.id): high}
                yield feed.relation(self.source, low, high)
            return
        self._engine.discover(self._cursor, self.source.topic)
        topic = self._engine.topic(self.source.topic)
        unread = self._unread_files.values()
        again = topic.again(self._cursor, self.source, self._read.positions, unread) if unread else None
        for batch in chain(
            [again] if again else [], topic.read(self._cursor, self.source, self._read.positions, most)
        ):
            numbered = Numbered(self._cursor, self._table, self._read.positions.get(DECODED, 0))
            batch.read(self._cursor, numbered.take_rows if batch.is_decoded else numbered.take)
            self._read.positions = {**self._read.positions, **batch.positions, DECODED: numbered.next}
            for number, item in batch.outcome.items():
                self._unread_files.pop(number, None)
                if item:
                    self._unread_files[number] = item
            self._engine.report(self.source.topic, batch.paths, batch.reports)
            yield numbered.relation
