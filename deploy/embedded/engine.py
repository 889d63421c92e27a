"""The engine: statements change the catalog, a thread moves data through the running queries."""

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
    archive,
    effects,
    health,
    inserts,
    metastore,
    persistent,
    processing_log,
    refusals,
    walk,
)
from opensea_metrics.deploy.embedded.archive import Register
from opensea_metrics.deploy.embedded.health import Health, Part
from opensea_metrics.deploy.embedded.inserts import Record
from opensea_metrics.deploy.embedded.listeners import Listeners
from opensea_metrics.deploy.embedded.metastore import TopicInfo
from opensea_metrics.deploy.embedded.processing_log import Report
from opensea_metrics.deploy.embedded.reader import Reader
from opensea_metrics.deploy.embedded.storage import Storage, damaged, transaction
from opensea_metrics.sql.language.catalog.catalog import Catalog, Query
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.statements.parser import parse_statement
from opensea_metrics.sql.language.statements.statements import Kind, Statement

_IDLE = 0.15
"""Seconds between two looks for new data."""
_TURNS = 4
"""Pieces of one query in a row, before the next one has its turn."""
_QUIET = 0.25
"""Seconds without statements before data is moved, so that queries made in a row start together."""
_PATIENCE = 10.0
"""Seconds, at most, for which statements keep data from being moved."""
_AGAIN = 1.0
"""Seconds between two looks at the files that queries have not read to their end."""


@dataclass(frozen=True)
class Outcome:
    """What a statement did: the command's number, its message, the query that it started."""

    number: int
    message: str
    query_id: str | None = None


class Engine:
    """Owns the catalog and the data. Statements and the moving of data take turns.

    Whatever fails, the thread that moves data goes on: ``health`` says what fails, and it is tried again.
    """

    def __init__(self, storage: Storage) -> None:
        """Raises StorageError if the database is damaged."""
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
        self._cursors: weakref.WeakSet[duckdb.DuckDBPyConnection] = weakref.WeakSet()
        try:
            self._load()
        except BaseException:
            storage.close()
            raise

    def _load(self) -> None:
        """Take what there is from the database."""
        self._is_broken = False
        self._cursor = self._storage.cursor()
        self._behind: set[str] = set()
        self._ends: dict[str, int] = {}
        self._next_again = 0.0
        self._rest = _IDLE
        self.register = Register(self.root)
        try:
            archive.upgrade(self._cursor)
            self.catalog, self._next = metastore.load(self._cursor)
            self._logs = metastore.logs(self._cursor)
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
        """Finish the step under way, then stop and write everything down."""
        self._stop.set()
        if self._thread:
            self._thread.join()
        with self._turn:
            self._cursor.close()
            self._storage.close()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection for a query of its own. Raises SqlError if there is none at the moment."""
        self._check()
        cursor = self._storage.cursor()
        self._cursors.add(cursor)
        return cursor

    def discover(self, cursor: duckdb.DuckDBPyConnection, topic: str) -> None:
        """Register the new files of a topic for a client's query, on the query's own connection.

        If that cannot be written, the query sees the files that are registered; ``health`` says what fails.
        """
        readers = self._readers(topic)
        with suppress(duckdb.Error):
            self.register.discover(cursor, topic, None if readers else ())

    def _readers(self, topic: str) -> list[str]:
        """The queries that read a topic."""
        queries = self.catalog.queries.values()
        return [query.id for query in queries if query.analysis.source.topic == topic]

    def report(self, topic: str, paths: Iterable[str], reports: Sequence[Report]) -> None:
        """Put on the processing log what a client's query could not read of ``paths``, files of a topic.

        A problem that lasts is reported once, however many queries meet it. If that cannot be written, the
        next query reports it; ``health`` says what fails.
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

    def faults(self) -> Mapping[Part, str]:
        """What is wrong at the moment, by part."""
        faults = self.health.faults()
        if self._thread and not self._thread.is_alive() and not self._stop.is_set():
            faults[Part.QUERIES] = "the thread that moves data has ended; restart the server"
        return faults

    @property
    def failures(self) -> Mapping[str, str]:
        """The messages of the queries that fail, by their ids."""
        return self.health.queries

    def _check(self) -> None:
        if self._is_broken:
            why = self.health.faults().get(Part.DATABASE, "it is opened again")
            raise SqlError(f"the embedded server cannot use its database: {why}", code=50000)

    def _open_again(self) -> None:
        """Open the database again, which DuckDB closes to all work when it cannot write.

        Raises StorageError as long as that is impossible.
        """
        with self._turn:
            for cursor in list(self._cursors):  # they are no good any more
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
        """Hold this while several statements must see no other request's in between."""
        return self._turn

    @property
    def last_command(self) -> int:
        """The number of the newest statement that changed something, -1 before the first."""
        return self._next - 1

    def topics(self) -> dict[str, TopicInfo]:
        """The topics that there are, by name. To be called while holding :meth:`turn`."""
        return {topic.name: topic for topic in metastore.list_topics(self._cursor, self.root)}

    def check(self, statement: Statement, before: Catalog, after: Catalog) -> None:
        """Raises Unsupported for a statement that the embedded server cannot run; nothing is changed."""
        with self._turn:
            reader = Reader(before, self._logs, self.register)
            effects.check(self._cursor, statement, reader, after)

    def execute(self, statement: Statement, properties: Mapping[str, str]) -> Outcome:
        """Carry out a CREATE, DROP, INSERT, TERMINATE, PAUSE or RESUME, which :meth:`check` has passed.

        Raises SqlError if it is refused; then nothing has changed.
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
                return Outcome(number - 1, effects.unchanged(statement))
            for name in after.queries.keys() - before.queries.keys():
                # A query that reads only what comes later needs to know what there is.
                topic = after.queries[name].analysis.source.topic
                self.register.discover(self._cursor, topic, self._readers(topic))
            with transaction(self._cursor):
                message, query_id = effects.carry_out(
                    self._cursor, statement, self.reader(), after, properties
                )
                metastore.record(self._cursor, number, statement.text)
            self.catalog, self._next = after, number + 1
            self.health.keep_only(after.queries)
            self._logs = metastore.logs(self._cursor)
            if query_id:
                self._due |= after.queries.keys()
                self._feed(after.sources[statement.name or ""].topic)
            return Outcome(number, message, query_id)

    def _pause(self, statement: Statement) -> Outcome:
        name = statement.name or ""
        chosen = set(self.catalog.queries) if name == "ALL" else {name}
        if unknown := chosen - set(self.catalog.queries):
            raise SqlError(f"Unknown queryId: {unknown.pop()}", statement.place)
        if statement.kind is Kind.PAUSE:
            self.paused |= chosen
            return Outcome(self._next - 1, "Query paused.")
        self.paused -= chosen
        self._due |= chosen
        return Outcome(self._next - 1, "Query resumed.")

    def _insert(self, statement: Statement) -> Outcome:
        with transaction(self._cursor):
            effects.insert(self._cursor, statement, self.catalog)
        self._note_inserted(self.catalog.sources[statement.name or ""])
        return Outcome(self._next - 1, "")

    def insert(self, source: Source, records: Sequence[Record]) -> None:
        """Add records to a source's topic, all or none. Raises SqlError if the source is not what it was."""
        with self._turn:
            self._check()
            current = self.catalog.sources.get(source.name)
            if current is None or (current.topic, current.columns) != (source.topic, source.columns):
                raise SqlError(f"{source.name} was dropped or replaced while rows were inserted into it")
            with transaction(self._cursor):
                inserts.append(self._cursor, source.topic, records)
            self._note_inserted(source)

    def _note_inserted(self, source: Source) -> None:
        self._feed(source.topic)
        self._behind.update(query.id for query in self.catalog.readers(source.name))

    def catch_up(self, name: str) -> None:
        """Move what INSERT … VALUES has put into the sources of a table: who inserts and then asks
        the table, such as the migration tool of its record, finds it there."""
        with self._turn:
            for query in self.catalog.writers(name):
                if query.id in self._behind:
                    while self._step(query):
                        pass
                    self._behind.discard(query.id)

    # -- data ---------------------------------------------------------------------------------

    def _feed(self, topic: str) -> None:
        """Records have come into a topic: whoever reads it should look."""
        self._due.update(self.catalog.fed_by(topic))
        self.listeners.wake(self.catalog.reached_from(topic))

    def reader(self) -> Reader:
        """A reader of the topics as they are now."""
        return Reader(self.catalog, self._logs, self.register)

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
        """Look for files and move data, once; True if there was some to move.

        The thread does this again and again. Nothing that fails is raised: see ``health``.
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
        for part in (Part.DATABASE, Part.QUERIES):
            self.health.set(part, None)
        return worked

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
        """Register new files; those of a topic make the queries over it due, whoever discovered them: a
        client's DESCRIBE EXTENDED looks for files too."""
        with self._turn:
            begun = time.monotonic()
            listings = {"": walk.strangers(self.root)}
            read = {query.analysis.source.topic for query in self.catalog.queries.values()}
            for topic in read | self.listeners.topics():
                listings[topic] = self.register.discover(self._cursor, topic, self._readers(topic))
                if self._ends.get(topic) != (end := self.register.end(topic)):
                    self._feed(topic)
                    self._ends[topic] = end
            # A large archive takes long to walk through: not more than a tenth of the time.
            self._rest = max(_IDLE, 10 * (time.monotonic() - begun))
            unlisted = refusals.merged({t: each.unlisted for t, each in listings.items()})
            refused = unlisted | refusals.merged({t: each.refused for t, each in listings.items()})
            if refused != self._refused:
                refusals.keep(self._cursor, self.root, self._refused, refused)
                self._refused = refused
                self._feed(processing_log.TOPIC)
            places = [f"{self.root.joinpath(*where)}: {why}" for where, why in unlisted.items()]
            self.health.set(Part.TOPICS, "; ".join(places) or None)

    def _move_due(self) -> bool:
        """Move pieces through the queries that are due; False if there were none to move."""
        worked = False
        for query in list(self.catalog.queries.values()):
            for _ in range(_TURNS):
                if self._stop.is_set() or query.id not in self._due or not self._step(query):
                    break
                worked = True
        return worked

    def _step(self, query: Query, unread: bool = False) -> bool:
        """Move one piece of data through a query; False if there is none.

        With ``unread`` that is what it has not read of files.
        """
        with self._turn:
            if self.catalog.queries.get(query.id) is not query or query.id in self.paused:
                return False
            if self._is_broken or self.health.must_wait(query.id):
                return False
            sink = self.catalog.sources[query.sink]
            move = persistent.move_unread if unread else persistent.move
            try:
                worked = move(self._cursor, self.reader(), query, sink.topic)
            except Exception as error:
                self._is_broken = health.is_fatal(error)
                self.health.query_failed(query.id, error)
                return False
            self.health.query_works(query.id)
            if not worked:
                if not unread:
                    self._due.discard(query.id)
                return False
            if not query.analysis.is_aggregation:
                self._logs = metastore.logs(self._cursor)  # its first piece makes its log
            self._feed(sink.topic)
            self._feed(processing_log.TOPIC)
            return True
