"""The engine: statements change the catalog, and a thread moves data through the running queries."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.embedded import (
    effects,
    health,
    log_tables,
    metastore,
    persistent,
    processing_log,
    readers,
    record_store,
    refusals,
    retention,
    walk,
)
from opensea_metrics.deploy.embedded.archive import Register
from opensea_metrics.deploy.embedded.disk import DiskUse, disk_use
from opensea_metrics.deploy.embedded.health import Health, ServerPart
from opensea_metrics.deploy.embedded.listeners import Listeners
from opensea_metrics.deploy.embedded.logs import Counts
from opensea_metrics.deploy.embedded.metastore import TopicInfo
from opensea_metrics.deploy.embedded.positions import KnownPositions
from opensea_metrics.deploy.embedded.processing_log import Report
from opensea_metrics.deploy.embedded.storage import Storage, damaged, transaction
from opensea_metrics.deploy.embedded.stored_topic import StoredTopics
from opensea_metrics.deploy.embedded.topics import Positions, RecordTopic, TopicRecord
from opensea_metrics.sql.language.catalog.catalog import Catalog, Query
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.statements.parser import parse_statement
from opensea_metrics.sql.language.statements.statements import Kind, Statement

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
_AGAIN = 1.0
"""Seconds between two attempts to read files that queries have not read to their end."""


@dataclass(eq=False)
class OpenRead:
    """How far a client's query has read a topic."""

    topic: str
    positions: Positions


@dataclass(frozen=True)
class StatementOutcome:
    """The outcome of a statement: the command's number, its message, and the query that it started."""

    number: int
    message: str
    query_id: str | None = None


class Engine:
    """Owns the catalog and the data. Statements and the moving of data take turns.

    The thread that moves data continues after every failure: ``health`` reports the failure, and the step is retried.
    """

    def __init__(self, storage: Storage, delete_read_files_after: int | None = None) -> None:
        """``delete_read_files_after``: when to delete a file of the archive that all queries over its topic have read.

        It counts milliseconds since the file's last change. None means never.

        Raises StorageError if the database is damaged.
        """
        self._delete_read_files_after = delete_read_files_after
        self._storage = storage
        self._turn = threading.RLock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._last_statement = 0.0
        self.root: Path = storage.directory / "topics"
        self.health = Health()
        self.listeners = Listeners()
        self.paused: set[str] = set()
        self._reported: set[tuple[str, str, str]] = set()
        self._clients: weakref.WeakSet[OpenRead] = weakref.WeakSet()
        self._cursors: weakref.WeakSet[duckdb.DuckDBPyConnection] = weakref.WeakSet()
        try:
            self._load()
        except BaseException:
            storage.close()
            raise

    def _load(self) -> None:
        """Load the catalog and the state of the server from the database."""
        self._is_broken = False
        self._cursor = self._storage.cursor()
        self._behind: set[str] = set()
        self._ends: dict[str, int] = {}
        self._next_again = 0.0
        self._next_sweep = time.monotonic() + SWEEP
        self._rest = _IDLE
        self.register = Register(self.root)
        self._counts: dict[tuple[str, int, int], Counts] = {}
        self._places = KnownPositions()
        try:
            self.catalog, self._next = metastore.load(self._cursor)
            self._logs = log_tables.logs(self._cursor)
            self._with_records = {*record_store.topics_with_records(self._cursor), processing_log.TOPIC}
            self._refused = refusals.load(self._cursor)
        except duckdb.Error as error:
            raise damaged(self._storage.directory, error) from error
        self._due = set(self.catalog.queries)
        if processing_log.STREAM not in self.catalog.sources:
            self.execute(parse_statement(processing_log.STATEMENT), {})
            self._last_statement = 0.0

    # -- life ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to move data."""
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the current step, then stop and write all data to disk."""
        self._stop.set()
        if self._thread:
            self._thread.join()
        with self._turn:
            self._cursor.close()
            self._storage.close()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A new connection for one query. Raises SqlError if the database cannot be used at the moment."""
        self._check()
        cursor = self._storage.cursor()
        self._cursors.add(cursor)
        return cursor

    def follow(self, read: OpenRead) -> None:
        """Keep the data that a client's query has not read yet, as long as ``read`` exists."""
        self._clients.add(read)

    def discover(self, cursor: duckdb.DuckDBPyConnection, topic: str) -> None:
        """Register the new files of a topic for a client's query, on the query's own connection.

        If the register cannot be written, the query sees only registered files, and ``health`` reports the failure.
        """
        readers = self._readers(topic)
        with suppress(duckdb.Error):
            self.register.discover(cursor, topic, None if readers else ())

    def _readers(self, topic: str) -> list[str]:
        """The ids under which queries read a topic."""
        return [reader.id for reader in readers.readers(self.catalog) if reader.source.topic == topic]

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

    def faults(self) -> Mapping[ServerPart, str]:
        """The current failures, by part."""
        faults = self.health.faults()
        if self._thread and not self._thread.is_alive() and not self._stop.is_set():
            faults[ServerPart.QUERIES] = "the thread that moves data has ended; restart the server"
        return faults

    @property
    def failures(self) -> Mapping[str, str]:
        """The error messages of failing queries, by query id."""
        return self.health.queries

    def _check(self) -> None:
        if self._is_broken:
            why = self.health.faults().get(ServerPart.DATABASE, "it is being reopened; try again")
            raise SqlError(f"the embedded server cannot use its database: {why}", code=50000)

    def _open_again(self) -> None:
        """Reopen the database after DuckDB could not write and refuses all further work.

        Raises StorageError as long as this is impossible.
        """
        with self._turn:
            for cursor in list(self._cursors):  # they can no longer be used
                with suppress(duckdb.Error):
                    cursor.interrupt()
            with suppress(duckdb.Error):
                self._cursor.close()
            with suppress(duckdb.Error):
                self._storage.close()
            self._storage = Storage(self._storage.directory)
            self._load()

    # -- statements ---------------------------------------------------------------------------

    def turn(self) -> AbstractContextManager[bool]:
        """A lock. While it is held, no other request's statements are carried out."""
        return self._turn

    @property
    def last_command(self) -> int:
        """The number of the newest statement that changed the catalog, or -1 before the first."""
        return self._next - 1

    @property
    def database_file(self) -> Path:
        """The database."""
        return self._storage.database_file

    def disk_use(self) -> DiskUse:
        """How much of the disk the server uses."""
        cursor = self.cursor()
        try:
            return disk_use(cursor, self._storage.database_file, self.root)
        finally:
            cursor.close()

    def topics(self) -> dict[str, TopicInfo]:
        """All topics, by name. Call it only while holding :meth:`turn`."""
        return {topic.name: topic for topic in metastore.list_topics(self._cursor, self.root)}

    def check(self, statement: Statement, before: Catalog, after: Catalog) -> None:
        """Raises Unsupported for a statement that the embedded server cannot run. Nothing is changed."""
        with self._turn:
            effects.check(self._cursor, statement, self._topics(before), after)

    def execute(self, statement: Statement, properties: Mapping[str, str]) -> StatementOutcome:
        """Carry out a CREATE, DROP, INSERT, TERMINATE, PAUSE or RESUME, which :meth:`check` has passed.

        Raises SqlError if the statement is refused. Nothing has changed then.
        """
        with self._turn:
            self._check()
            self._last_statement = time.monotonic()
            if statement.kind is Kind.INSERT_VALUES:
                return self._insert(statement)
            if statement.kind in (Kind.PAUSE, Kind.RESUME):
                return self._pause(statement)
            before, number = self.catalog, self._next
            after = applied(before, statement, number)
            if after is before:
                return StatementOutcome(number - 1, effects.unchanged(statement, before))
            for name in after.queries.keys() - before.queries.keys():
                # A query that reads only later records needs to know the files that exist now.
                for source in after.queries[name].analysis.sources:
                    self.register.discover(self._cursor, source.topic, self._readers(source.topic))
            with transaction(self._cursor):
                message, query_id = effects.carry_out(
                    self._cursor, statement, self._topics(), after, properties
                )
                metastore.record(self._cursor, number, statement.text)
            self.catalog, self._next = after, number + 1
            self._places.forget()
            self.health.keep_only(after.queries)
            self._logs = log_tables.logs(self._cursor)
            if query_id:
                self._due |= after.queries.keys()
                self._feed(after.sources[statement.name or ""].topic)
            return StatementOutcome(number, message, query_id)

    def _pause(self, statement: Statement) -> StatementOutcome:
        name = statement.name or ""
        chosen = set(self.catalog.queries) if name == "ALL" else {name}
        if unknown := chosen - set(self.catalog.queries):
            raise SqlError(f"Unknown queryId: {unknown.pop()}", statement.place)
        if statement.kind is Kind.PAUSE:
            self.paused |= chosen
            return StatementOutcome(self._next - 1, "Query paused.")
        self.paused -= chosen
        self._due |= chosen
        return StatementOutcome(self._next - 1, "Query resumed.")

    def _insert(self, statement: Statement) -> StatementOutcome:
        with transaction(self._cursor):
            effects.insert(self._cursor, statement, self._topics())
        self._note_inserted(self.catalog.sources[statement.name or ""])
        return StatementOutcome(self._next - 1, "")

    def insert(self, source: Source, records: Sequence[TopicRecord]) -> None:
        """Add records to a source's topic, all or none. Raises SqlError if the source was dropped or replaced."""
        with self._turn:
            self._check()
            current = self.catalog.sources.get(source.name)
            if current is None or (current.topic, current.columns) != (source.topic, source.columns):
                raise SqlError(f"{source.name} was dropped or replaced while rows were inserted into it")
            with transaction(self._cursor):
                self.topic(source.topic).append(self._cursor, records)
            self._note_inserted(source)

    def _note_inserted(self, source: Source) -> None:
        self._feed(source.topic)
        pending = [source.name]
        while pending:
            for query in self.catalog.readers(pending.pop()):
                if query.id not in self._behind:
                    self._behind.add(query.id)
                    pending.append(query.sink)

    def catch_up(self, name: str) -> None:
        """Move the records that clients have inserted, directly or through queries, into the sources of a table.

        So a client that inserts a record and then reads the table sees it. The migration tool needs this.
        """
        with self._turn:
            for query in self.catalog.writers(name):
                if query.id in self._behind:
                    self._behind.discard(query.id)
                    for source in query.reads:
                        self.catch_up(source)
                    while self._step(query):
                        pass

    # -- data ---------------------------------------------------------------------------------

    def _feed(self, topic: str) -> None:
        """Wake all readers of a topic, because it has new records."""
        self._due.update(self.catalog.fed_by(topic))
        self.listeners.wake(self.catalog.reached_from(topic))

    def partitions(self, name: str) -> int:
        """The partitions of a topic."""
        with self._turn:
            return self.topic(name).partitions(self._cursor)

    def topic(self, name: str) -> RecordTopic:
        """A topic as it is now."""
        return self._topics().topic(name)

    def _topics(self, catalog: Catalog | None = None) -> StoredTopics:
        return StoredTopics(catalog or self.catalog, self._logs, self.register, self._counts, self._with_records)

    def _run(self) -> None:
        moved = time.monotonic()
        while not self._stop.is_set():
            now = time.monotonic()
            if now - self._last_statement < _QUIET and now - moved < _PATIENCE:
                self._stop.wait(0.05)
                continue
            moved = now
            if not self.work():
                self._stop.wait(self._rest)

    def work(self) -> bool:
        """Look for files and move data once. True if there was data to move.

        The thread calls this repeatedly. Failures are not raised: see ``health``.
        """
        try:
            return self._round()
        except Exception as error:
            self._is_broken = self._is_broken or health.is_fatal(error)
            self.health.set(health.part_of(error), health.first_line(error))
            return False

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
            partitions = metastore.partitions_by_topic(self._cursor)
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
            try:
                together = self._reading_alike(query)
            except duckdb.Error as error:
                return self._failed(query, error)
            return self._move(together)

    def _reading_alike(self, query: Query) -> list[Query]:
        """A query, and the queries that can move the same records together with it."""
        ready = self._due - self.paused - self.failures.keys() - {query.id}
        others = [other for other in self.catalog.queries.values() if other.id in ready]
        return [query] if query.id in self.failures else persistent.reading_alike(
            self._cursor, [query, *others], self._places
        )

    def _move(self, queries: Sequence[Query], unread: bool = False) -> bool:
        """Move one batch through queries together. If this fails, each is tried alone, and only some may fail."""
        try:
            if unread:
                self._places.forget()
                worked = persistent.move_unread(self._cursor, self._topics(), queries[0])
            else:
                worked = persistent.move(self._cursor, self._topics(), queries, self._places)
        except Exception as error:
            self._places.forget()
            if len(queries) > 1 and not health.is_fatal(error):
                return sum(self._move([query]) for query in queries) > 0
            return self._failed(queries[0], error)
        for query in queries:
            self.health.query_works(query.id)
        if not worked:
            if not unread:
                self._due.difference_update(query.id for query in queries)
            return False
        if not queries[0].analysis.gives_table:
            self._logs = log_tables.logs(self._cursor)  # the first batch of a query creates its log
        for query in queries:
            self._feed(self.catalog.sources[query.sink].topic)
        self._feed(processing_log.TOPIC)
        return True

    def _failed(self, query: Query, error: Exception) -> bool:
        self._is_broken = health.is_fatal(error)
        self.health.query_failed(query.id, error)
        return False
