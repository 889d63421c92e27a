"""The engine: statements change the catalog, a thread moves data through the running queries."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import structlog

from deploy.embedded import archive, effects, inserts, metastore, persistent, processing_log
from deploy.embedded.inserts import Record
from deploy.embedded.listeners import Listeners
from deploy.embedded.metastore import TopicInfo
from deploy.embedded.reader import Reader
from deploy.embedded.storage import Storage, transaction
from sql.catalog import Catalog, Query
from sql.changes import applied
from sql.errors import SqlError
from sql.parser import parse_statement
from sql.sources import Source
from sql.statements import Kind, Statement

log = structlog.get_logger()

_IDLE = 0.15
"""Seconds between two looks for new data."""
_TURNS = 4
"""Pieces of one query in a row, before the next one has its turn."""
_QUIET = 0.25
"""Seconds without statements before data is moved, so that queries made in a row start together."""


@dataclass(frozen=True)
class Outcome:
    """What a statement did: the command's number, its message, the query that it started."""

    number: int
    message: str
    query_id: str | None = None


class Engine:
    """Owns the catalog and the data. Statements and the moving of data take turns."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._cursor = storage.cursor()
        self._turn = threading.RLock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._last_statement = 0.0
        self.root: Path = storage.directory / "topics"
        self.catalog, self._next = metastore.load(self._cursor)
        self.listeners = Listeners()
        self.failures: dict[str, str] = {}
        self.paused: set[str] = set()
        self._behind: set[str] = set()
        self._logs = metastore.logs(self._cursor)
        self._due = set(self.catalog.queries)
        self._segments: dict[str, int] = {}
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
        """A connection for a query of its own."""
        return self._storage.cursor()

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
            reader = Reader(before, self._logs, self.root)
            effects.check(self._cursor, statement, reader, after)

    def execute(self, statement: Statement, properties: Mapping[str, str]) -> Outcome:
        """Carry out a CREATE, DROP, INSERT, TERMINATE, PAUSE or RESUME, which :meth:`check` has passed.

        Raises SqlError if it is refused; then nothing has changed.
        """
        with self._turn:
            self._last_statement = time.monotonic()
            if statement.kind is Kind.INSERT_VALUES:
                return self._insert(statement)
            if statement.kind in (Kind.PAUSE, Kind.RESUME):
                return self._pause(statement)
            before, number = self.catalog, self._next
            after = applied(before, statement, number)
            if after is before:
                return Outcome(number - 1, effects.unchanged(statement))
            with transaction(self._cursor):
                message, query_id = effects.carry_out(
                    self._cursor, statement, self.reader(), after, properties
                )
                metastore.record(self._cursor, number, statement.text)
            self.catalog, self._next = after, number + 1
            self.failures = {i: why for i, why in self.failures.items() if i in after.queries}
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
            if self.catalog.sources.get(source.name) is not source:
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
        return Reader(self.catalog, self._logs, self.root)

    def _run(self) -> None:
        while not self._stop.is_set():
            if time.monotonic() - self._last_statement < _QUIET:
                self._stop.wait(0.05)
                continue
            begun = time.monotonic()
            self._look_for_files()
            looking = time.monotonic() - begun
            if not self._move_due():
                # A large archive takes long to walk through: not more than a tenth of the time.
                self._stop.wait(max(_IDLE, 10 * looking))

    def _look_for_files(self) -> None:
        """New files of a topic make the queries over it due, whoever found them: a client's
        DESCRIBE EXTENDED looks for files too."""
        with self._turn:
            read = {query.analysis.source.topic for query in self.catalog.queries.values()}
            for topic in read | self.listeners.topics():
                archive.discover(self._cursor, self.root, topic)
            ends = archive.ends(self._cursor)
            for topic, end in ends.items():
                if self._segments.get(topic) != end:
                    self._feed(topic)
            self._segments = ends

    def _move_due(self) -> bool:
        """Move pieces through the queries that are due; False if there were none to move."""
        worked = False
        for query in list(self.catalog.queries.values()):
            for _ in range(_TURNS):
                if self._stop.is_set() or query.id not in self._due or not self._step(query):
                    break
                worked = True
        return worked

    def _step(self, query: Query) -> bool:
        """Move one piece of data through a query; False if there is none."""
        with self._turn:
            if self.catalog.queries.get(query.id) is not query or query.id in self.paused:
                return False
            sink = self.catalog.sources[query.sink]
            try:
                worked = persistent.move(self._cursor, self.reader(), query, sink.topic)
            except Exception as error:
                message = str(error).splitlines()[0]
                if self.failures.get(query.id) != message:
                    log.error("query failed; it is tried again", query=query.id, error=message)
                self.failures[query.id] = message
                return False
            self.failures.pop(query.id, None)
            if not worked:
                self._due.discard(query.id)
                return False
            if not query.analysis.is_aggregation:
                self._logs = metastore.logs(self._cursor)  # its first piece makes its log
            self._feed(sink.topic)
            self._feed(processing_log.TOPIC)
            return True
