"""A client's push query with a JOIN, or with GROUP BY over a table. Its state is in a database of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import duckdb

from opensea_metrics.core.database import open_database
from opensea_metrics.deploy.embedded.queries import aggregation
from opensea_metrics.deploy.embedded.queries.ordered import moving, results
from opensea_metrics.deploy.embedded.queries.ordered.queue import Queue, take
from opensea_metrics.deploy.embedded.queries.source_read import SourceRead
from opensea_metrics.deploy.embedded.topics.json_records import MOST_BYTES
from opensea_metrics.deploy.embedded.topics.log_tables import rows_of, state_table
from opensea_metrics.deploy.embedded.topics.readers import Reader
from opensea_metrics.sql.language.catalog.catalog import Query
from opensea_metrics.sql.language.lowering.duckdb import groupings
from opensea_metrics.sql.language.lowering.duckdb.setup import SETUP, register_functions
from opensea_metrics.udfs import duckdb as udfs

_INCOMING = "incoming"
_SCHEMAS = ("CREATE SCHEMA state", "CREATE SCHEMA log")


class OrderedRows:
    """The rows of a query. ``cursor`` is a connection to the query's own database, which is in memory."""

    def __init__(self, query: Query, reads: Sequence[SourceRead]) -> None:
        """``reads`` are the query's sources, in the order of FROM and JOIN. Raises duckdb.Error."""
        self._query = query
        self._reads = reads
        self._queues = [Queue(Reader(query, number, read.source)) for number, read in enumerate(reads)]
        self._folder = tempfile.TemporaryDirectory(prefix="push")
        self.cursor = open_database(
            None,
            Path(self._folder.name),
            settings={"memory_limit": "250MB", "error_on_division_by_zero": False},
            setup=(*_SCHEMAS, *SETUP),
        )
        udfs.register(self.cursor)
        register_functions(self.cursor)
        for queue in self._queues:
            queue.create(self.cursor)
        moving.create_state(self.cursor, query, "")
        self._next = [0] * len(reads)
        self._counts: list[tuple[int, int]] = [(0, 0)] * len(reads)
        self._grouped = 0
        self._times: dict[int, int] = {}

    def close(self) -> None:
        self.cursor.close()
        self._folder.cleanup()

    def arrived(self, source: duckdb.DuckDBPyConnection) -> str | None:
        """The rows that follow from what has arrived since the last call, as a relation of ``cursor`` with ``_off``.

        ``source`` is the connection of the sources. None if nothing has arrived.
        """
        has_arrived = False
        for number, (queue, read) in enumerate(zip(self._queues, self._reads, strict=True)):
            if read.is_computed:
                has_arrived |= self._take_table(source, number)
                continue
            for relation in read.unread(MOST_BYTES):
                has_arrived |= self._take(source, number, queue.records(relation, "_off", read.source.is_table))
        if not has_arrived:
            return None
        take(self.cursor, self._queues, [None] * len(self._queues), None)
        return self._rows()

    def _take(self, source: duckdb.DuckDBPyConnection, number: int, records: str) -> bool:
        """Copy records into a queue. False if there are none."""
        table = self._queues[number].table
        before = rows_of(self.cursor, table)
        self._copy(source, records, f"INSERT INTO {table} BY NAME SELECT * FROM")
        return rows_of(self.cursor, table) > before

    def _copy(self, source: duckdb.DuckDBPyConnection, relation: str, into: str) -> None:
        """Copy a relation of another connection. ``into`` is a statement without the relation's name at its end."""
        for cursor in (source, self.cursor):
            cursor.complete()
        self.cursor.register(_INCOMING, source.sql(relation).to_arrow_table())
        self.cursor.execute(f"{into} {_INCOMING}")
        self.cursor.unregister(_INCOMING)

    def _take_table(self, source: duckdb.DuckDBPyConnection, number: int) -> bool:
        """Copy the changes of a table that a persistent query computes. False if there are none.

        Such a table does not tell which rows are gone. They are those of the last call that it no longer has.
        """
        read, queue = self._reads[number], self._queues[number]
        feed = read.changes()
        counted = feed.end(source), sum(count for _, _, count in feed.counted(source, 0))
        if counted == self._counts[number]:
            return False
        (low, _), self._counts[number] = self._counts[number], counted
        rows = queue.records(feed.relation(read.source, None, None), "_off", has_tombstones=False)
        self._copy(source, rows, "CREATE OR REPLACE TABLE state.present AS SELECT * FROM")
        known = f"state.known_{number}"
        self.cursor.execute(f"CREATE TABLE IF NOT EXISTS {known} AS SELECT * FROM state.present LIMIT 0")
        names = {column.name for column in read.source.columns if column.is_key}
        written = [column for name, column in queue.input.columns if name in names]
        keys = ", ".join(dict.fromkeys([*written, *queue.input.bounds]))
        gone = (
            f"SELECT * REPLACE (true AS _gone, -1 AS _seq, (SELECT max(_time) FROM {known}) AS _time)"
            f" FROM {known} ANTI JOIN state.present USING ({keys})"
        )
        changed = f"SELECT * FROM state.present WHERE _seq >= {low} UNION ALL BY NAME {gone}"
        seq = f"{self._next[number]} + row_number() OVER (ORDER BY _seq) - 1 AS _seq"
        before = rows_of(self.cursor, queue.table)
        queue.add(self.cursor, f"SELECT * REPLACE ({seq}) FROM ({changed})")
        self.cursor.execute(f"CREATE OR REPLACE TABLE {known} AS SELECT * FROM state.present")
        arrived = rows_of(self.cursor, queue.table) - before
        self._next[number] += arrived
        return arrived > 0

    def _rows(self) -> str:
        query, analysis, cursor = self._query, self._query.analysis, self.cursor
        items = moving.run_joins(cursor, query)
        if analysis.is_aggregation:
            relation, self._grouped = moving.to_group(cursor, query, items, self._grouped)
            grouping, state = groupings.grouping(analysis), state_table(query.id)
            (seen,) = cursor.execute(f"SELECT coalesce(max(_off) + 1, 0) FROM {state}").fetchone()  # type: ignore[misc]
            self._times, _ = aggregation.absorb(cursor, grouping, state, relation, self._times)
            return grouping.finish(f"SELECT * FROM {state} WHERE _off >= {seen}")
        if items.is_table:
            return results.newest_rows(query, items.items)
        return results.stream_rows(query, items.items)
