"""The engine: statements change the catalog, and a thread moves data through the running queries."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.embedded import metastore
from opensea_metrics.deploy.embedded.health import ServerPart
from opensea_metrics.deploy.embedded.queries import replaced_rows
from opensea_metrics.deploy.embedded.rounds import Rounds
from opensea_metrics.deploy.embedded.statements import effects
from opensea_metrics.deploy.embedded.storage import transaction
from opensea_metrics.deploy.embedded.topics import log_tables, processing_log
from opensea_metrics.deploy.embedded.topics.record_topic import TopicRecord
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.statements.parser import parse_statement
from opensea_metrics.sql.language.statements.statements import Kind, Statement


@dataclass(frozen=True)
class StatementOutcome:
    """The outcome of a statement: the command's number, its message, and the query that it started."""

    number: int
    message: str
    query_id: str | None = None


class Engine(Rounds):
    """Carries out statements, between which a thread moves data."""

    def _load(self) -> None:
        super()._load()
        replaced_rows.prepare(self._cursor, self.catalog)  # of a database that an older release has written
        if processing_log.STREAM not in self.catalog.sources:
            self.execute(parse_statement(processing_log.STATEMENT), {})
            self._last_statement = 0.0

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

    def faults(self) -> Mapping[ServerPart, str]:
        """The current failures, by part."""
        faults = self.health.faults()
        if self._thread and not self._thread.is_alive() and not self._stop.is_set():
            faults[ServerPart.QUERIES] = "the thread that moves data has ended; restart the server"
        return faults

    @property
    def last_command(self) -> int:
        """The number of the newest statement that changed the catalog, or -1 before the first."""
        return self._next - 1

    def check(self, statement: Statement, before: Catalog, after: Catalog) -> None:
        """Raises Unsupported for a statement that the embedded server cannot run. Nothing is changed."""
        with self._turn:
            effects.check(self._cursor, statement, self._topics(before), after)

    def execute(
        self, statement: Statement, properties: Mapping[str, str], after: Catalog | None = None
    ) -> StatementOutcome:
        """Carry out a CREATE, DROP, INSERT … SELECT, TERMINATE, PAUSE or RESUME that has passed :meth:`check`.

        ``after`` is the catalog after the statement, if the caller has computed it in this :meth:`turn`.
        Raises SqlError if the statement is refused. In that case nothing has changed.
        """
        with self._turn:
            self._check()
            self._last_statement = time.monotonic()
            if statement.kind in (Kind.PAUSE, Kind.RESUME):
                return self._pause(statement)
            before, number = self.catalog, self._next
            after = after or applied(before, statement, number)
            if after is before:
                return StatementOutcome(number - 1, effects.unchanged(statement, before))
            partitions = {name: topic.partitions for name, topic in self._declared.items()}
            for name in after.queries.keys() - before.queries.keys():
                # A query that reads only later records needs to know the files that exist now.
                for source in after.queries[name].analysis.sources:
                    self.register.discover(self._cursor, source.topic, self._readers(source.topic), partitions)
            with transaction(self._cursor):
                message, query_id = effects.carry_out(
                    self._cursor, statement, self._topics(), after, properties
                )
                metastore.record(self._cursor, number, statement.text)
            self.catalog, self._next = after, number + 1
            self._places.forget()
            self.health.keep_only(after.queries)
            if effects.changes_logs(before, after):
                self._logs = log_tables.logs(self._cursor)
            self._declared = metastore.declared_topics(self._cursor)
            if query_id:
                self._due.add(query_id)
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

    def insert_values(self, statements: Sequence[Statement]) -> None:
        """Carry out INSERT … VALUES statements that have passed :meth:`check`, all or none. Raises SqlError."""
        with self._turn:
            self._check()
            self._last_statement = time.monotonic()
            with self._inserting():
                effects.insert(self._cursor, statements, self._topics())
            for name in {statement.name or "": None for statement in statements}:
                self._note_inserted(self.catalog.sources[name])

    def insert(self, source: Source, records: Sequence[TopicRecord]) -> None:
        """Add records to a source's topic, all or none. Raises SqlError if the source was dropped or replaced."""
        with self._turn:
            self._check()
            current = self.catalog.sources.get(source.name)
            if current is None or (current.topic, current.columns) != (source.topic, source.columns):
                raise SqlError(f"{source.name} was dropped or replaced while rows were inserted into it")
            with self._inserting():
                self.topic(source.topic).append(self._cursor, records)
            self._note_inserted(source)

    @contextmanager
    def _inserting(self) -> Iterator[None]:
        """A transaction that inserts records."""
        try:
            with transaction(self._cursor):
                yield
        except BaseException:
            self._record_ends.clear()
            raise

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
