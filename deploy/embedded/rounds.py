"""Moves data through the running queries, round by round."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TypeVar

import duckdb

from opensea_metrics.deploy.embedded import health
from opensea_metrics.deploy.embedded.engine_state import EngineState
from opensea_metrics.deploy.embedded.files import refusals, walk
from opensea_metrics.deploy.embedded.health import ServerPart
from opensea_metrics.deploy.embedded.queries import persistent
from opensea_metrics.deploy.embedded.queries.persistent import Moved
from opensea_metrics.deploy.embedded.storage import CHECKPOINT_BYTES, transaction
from opensea_metrics.deploy.embedded.topics import log_tables, processing_log, readers, retention
from opensea_metrics.deploy.embedded.topics.processing_log import Report
from opensea_metrics.deploy.embedded.topics.record_topic import Positions
from opensea_metrics.sql.language.catalog.catalog import Query

T = TypeVar("T")

_IDLE = 0.15
"""Seconds between two searches for new data."""
_TURNS = 4
"""Batches of one query in a row, before the next query has its turn."""
_QUIET = 0.25
"""Seconds without statements before data is moved, so that queries created in a row start together."""
_PATIENCE = 10.0
"""The longest time, in seconds, for which statements can delay the moving of data."""
SWEEP = 10.0
"""Seconds between two searches for data that is too old."""
_REST = 1.5
"""The rest after a round that has moved all data, as a multiple of the round's time."""
_LONGEST_REST = 0.5
"""The longest rest, in seconds, after a round that has moved all data."""
_MUCH_WAL = CHECKPOINT_BYTES * 7 // 8
"""Bytes of the WAL after which a checkpoint is written in a rest. A round of 4,000 events adds about 5 MB."""
_AGAIN = 1.0
"""Seconds between two attempts to read files that queries have not read to their end."""


class Rounds(EngineState):
    """Looks for files, and moves data through the queries that are due. Each round does this once.

    It continues after every failure: ``health`` reports the failure, and the step is retried.
    """

    def _load(self) -> None:
        self._ends: dict[str, int] = {}
        self._next_again = 0.0
        self._next_sweep = time.monotonic() + SWEEP
        self._rest = _IDLE
        super()._load()

    def report(self, topic: str, paths: Iterable[str], reports: Sequence[Report]) -> None:
        """Write to the processing log which of ``paths``, files of a topic, a client's query could not read.

        A lasting problem is reported once, even if many queries meet it. If the log cannot be written, the next query
        reports the problem, and ``health`` reports the failure.
        """
        now = {(topic, item.path, item.reason): item for item in reports}
        if not now and not self._reported:
            return
        with self._turn, suppress(duckdb.Error):
            looked_at = set(paths)
            self._reported = {key for key in self._reported if key in now or key[1] not in looked_at}
            new = [item for key, item in now.items() if key not in self._reported]
            if new and not self._is_broken:
                with transaction(self._cursor):
                    processing_log.report(self._cursor, processing_log.FILES, topic, new)
                self._reported.update(now)
                self._feed(processing_log.TOPIC)

    def work(self) -> bool:
        """Look for files and move data once. True if there was data to move.

        The thread calls this repeatedly. Failures are not raised: see ``health``.
        """
        return self._safely(self._round) or False

    def _safely(self, step: Callable[[], T]) -> T | None:
        """The result of a step; None if it fails, which ``health`` then reports."""
        try:
            return step()
        except Exception as error:
            self._is_broken = self._is_broken or health.is_fatal(error)
            self.health.set(health.part_of(error), health.first_line(error))
            return None

    def _run(self) -> None:
        moved = time.monotonic()
        while not self._stop.is_set():
            now = time.monotonic()
            if now - self._last_statement < _QUIET and now - moved < _PATIENCE:
                self._stop.wait(0.05)
                continue
            moved = now
            worked = self.work()
            if not worked:
                self._stop.wait(self._rest)
            elif not self._due:
                # A round costs nearly as much for few events as for many.
                end = time.monotonic() + min(_REST * (time.monotonic() - moved), _LONGEST_REST)
                self._safely(self._write_checkpoint)
                self._stop.wait(max(0.0, end - time.monotonic()))

    def _write_checkpoint(self) -> None:
        """Write a checkpoint if the next COMMIT may write one, because clients wait for a COMMIT."""
        if self._storage.wal_bytes() >= _MUCH_WAL:
            # DuckDB refuses while a client's query registers files. The next rest tries again.
            with self._turn, suppress(duckdb.TransactionException):
                self._cursor.execute("CHECKPOINT")

    def _round(self) -> bool:
        if self._is_broken:
            self._open_again()
        try:
            self._look_for_files()
            self._look_at_unread_files()
        finally:
            worked = self._move_due()
        self._sweep()
        for part in (ServerPart.DATABASE, ServerPart.QUERIES):
            self.health.set(part, None)
        return worked

    def _sweep(self) -> None:
        """Delete data that is too old, every :data:`SWEEP` seconds."""
        if time.monotonic() < self._next_sweep:
            return
        with self._turn:
            clients: dict[str, list[Positions]] = {}
            for topic, positions in [(read.topic, read.positions) for read in list(self._clients)]:
                clients.setdefault(topic, []).append(dict(positions))
            now = time.time_ns() // 1_000_000
            files_stay = self._delete_read_files_after is None
            retention.sweep(self._cursor, self._topics(), now, clients, files_stay)
            self._logs = log_tables.logs(self._cursor)
            if self._delete_read_files_after is not None:
                oldest = now - self._delete_read_files_after
                retention.delete_read_files(self._cursor, self._topics(), oldest, clients)
        self._next_sweep = time.monotonic() + SWEEP

    def _look_at_unread_files(self) -> None:
        if time.monotonic() < self._next_again:
            return
        with self._turn:
            names = persistent.have_unread(self._cursor)
        for name in names:
            if query := self.catalog.queries.get(name):
                self._step(query, unread=True)
        self._next_again = time.monotonic() + _AGAIN

    def _look_for_files(self) -> None:
        """Register new files, and make the queries over their topics due.

        This includes files that a client's query or DESCRIBE EXTENDED has registered.
        """
        with self._turn:
            begun = time.monotonic()
            listings = {"": walk.strangers(self.root)}
            read = {reader.source.topic for reader in readers.readers(self.catalog)}
            partitions = {name: topic.partitions for name, topic in self._declared.items()}
            for topic in read | self.listeners.topics():
                listings[topic] = self.register.discover(self._cursor, topic, self._readers(topic), partitions)
                if self._ends.get(topic) != (end := self.register.end(topic)):
                    self._feed(topic)
                    self._ends[topic] = end
            # Listing a large archive takes long. Spend at most a tenth of the time on it.
            self._rest = max(_IDLE, 10 * (time.monotonic() - begun))
            unlisted = refusals.merged({t: listing.unlisted for t, listing in listings.items()})
            refused = unlisted | refusals.merged({t: listing.refused for t, listing in listings.items()})
            if refused != self._refused:
                refusals.keep(self._cursor, self.root, self._refused, refused)
                self._refused = refused
                self._feed(processing_log.TOPIC)
            places = [f"{self.root.joinpath(*where)}: {why}" for where, why in unlisted.items()]
            self.health.set(ServerPart.TOPICS, "; ".join(places) or None)

    def _move_due(self) -> bool:
        """Move batches through the queries that are due. False if there were none to move."""
        worked = False
        for query in list(self.catalog.queries.values()):
            for _ in range(_TURNS):
                if self._stop.is_set() or query.id not in self._due or self._must_wait(query):
                    break
                if not self._step(query):
                    break
                worked = True
        return worked

    def _must_wait(self, query: Query) -> bool:
        """True if a query puts records in order, and others still have some to move into what it reads.

        Otherwise its result would depend on how many records they move in a step. It does not wait for queries that
        are paused or fail.
        """
        if not query.analysis.is_ordered:
            return False
        moving = self.catalog.above(query) & (self._due - self.paused - self.failures.keys())
        return any(query.id not in self.catalog.above(self.catalog.queries[other]) for other in moving)

    def _step(self, query: Query, unread: bool = False) -> bool:
        """Move one batch of data through a query. False if there is none.

        With ``unread`` the batch holds parts of files that the query could not read before.
        """
        with self._turn:
            if self.catalog.queries.get(query.id) is not query or query.id in self.paused:
                return False
            if self._is_broken or self.health.must_wait(query.id):
                return False
            if unread:
                return self._move([query], unread)
            return self._move(self._together(query))

    def _together(self, query: Query) -> list[Query]:
        """A query, and the queries that can move records in one transaction with it."""
        if query.id in self.failures:
            return [query]
        ready = self._due - self.paused - self.failures.keys() - {query.id}
        others = [other for other in self.catalog.queries.values() if other.id in ready]
        return persistent.together(self.catalog, [query, *others])

    def _move(self, queries: Sequence[Query], unread: bool = False) -> bool:
        """Move one batch through queries together. If this fails, each is tried alone, and only some may fail."""
        try:
            if unread:
                self._places.forget()
                worked = persistent.move_unread(self._cursor, self._topics(), queries[0])
                moved = Moved(queries, may_have_logs=True) if worked else Moved(())
            else:
                moved = persistent.move(self._cursor, self._topics(), queries, self._places)
        except Exception as error:
            self._places.forget()
            if len(queries) > 1 and not health.is_fatal(error):
                return sum(self._move([query]) for query in queries) > 0
            return self._failed(queries[0], error)
        for query in (*moved.queries, *moved.idle):
            self.health.query_works(query.id)
        self._due.difference_update(query.id for query in moved.idle)
        if not moved.queries:
            return False
        if moved.may_have_logs:
            self._logs = log_tables.logs(self._cursor)
        for query in moved.queries:
            self._feed(self.catalog.sources[query.sink].topic)
        self._feed(processing_log.TOPIC)
        return True

    def _failed(self, query: Query, error: Exception) -> bool:
        self._is_broken = health.is_fatal(error)
        self.health.query_failed(query.id, error)
        return False
