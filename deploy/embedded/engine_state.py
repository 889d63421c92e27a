"""What the parts of the engine share: the database, the catalog, and which queries have data to move."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.embedded import metastore
from opensea_metrics.deploy.embedded.files import refusals
from opensea_metrics.deploy.embedded.files.archive import Register
from opensea_metrics.deploy.embedded.health import Health, ServerPart
from opensea_metrics.deploy.embedded.metastore import TopicInfo
from opensea_metrics.deploy.embedded.storage import Storage, damaged
from opensea_metrics.deploy.embedded.topics import log_tables, processing_log, readers, record_store
from opensea_metrics.deploy.embedded.topics.disk import DiskUse, disk_use
from opensea_metrics.deploy.embedded.topics.listeners import Listeners
from opensea_metrics.deploy.embedded.topics.logs import Counts
from opensea_metrics.deploy.embedded.topics.positions import KnownPositions
from opensea_metrics.deploy.embedded.topics.record_topic import Positions, RecordTopic
from opensea_metrics.deploy.embedded.topics.stored_topic import StoredTopics
from opensea_metrics.sql.language.catalog.catalog import Catalog


@dataclass(eq=False)
class OpenRead:
    """How far a client's query has read a topic."""

    topic: str
    positions: Positions


class EngineState:
    """Owns the catalog and the data.

    Code that reads or changes them must hold :meth:`turn`, so that statements and the moving of data take turns.
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
        self.register = Register(self.root)
        self._counts: dict[tuple[str, int, int], Counts] = {}
        self._record_ends: dict[str, dict[int, int]] = {}
        self._places = KnownPositions()
        try:
            self.catalog, self._next = metastore.load(self._cursor)
            self._logs = log_tables.logs(self._cursor)
            self._declared = metastore.declared_topics(self._cursor)
            self._with_records = {*record_store.topics_with_records(self._cursor), processing_log.TOPIC}
            self._refused = refusals.load(self._cursor)
        except duckdb.Error as error:
            raise damaged(self._storage.directory, error) from error
        self._due = set(self.catalog.queries)

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

    @property
    def failures(self) -> Mapping[str, str]:
        """The error messages of failing queries, by query id."""
        return self.health.queries

    def _check(self) -> None:
        if self._is_broken:
            why = self.health.faults().get(ServerPart.DATABASE, "it is being reopened; try again")
            raise SqlError(f"the embedded server cannot use its database: {why}", code=50000)

    def _open_again(self) -> None:
        """Reopen the database after a failed write, because DuckDB then refuses all further work.

        Raises StorageError as long as the database cannot be opened.
        """
        with self._turn:
            for cursor in list(self._cursors):  # these connections can no longer be used
                with suppress(duckdb.Error):
                    cursor.interrupt()
            with suppress(duckdb.Error):
                self._cursor.close()
            with suppress(duckdb.Error):
                self._storage.close()
            self._storage = Storage(self._storage.directory)
            self._load()

    def turn(self) -> AbstractContextManager[bool]:
        """A lock. While it is held, no other request's statements are carried out."""
        return self._turn

    @property
    def database_file(self) -> Path:
        """The path of the database file."""
        return self._storage.database_file

    def disk_use(self) -> DiskUse:
        """The disk space that the server uses."""
        cursor = self.cursor()
        try:
            return disk_use(cursor, self._storage.database_file, self.root)
        finally:
            cursor.close()

    def partitions(self, name: str) -> int:
        """The partitions of a topic."""
        with self._turn:
            return self.topic(name).partitions()

    def topics(self) -> dict[str, TopicInfo]:
        """All topics, by name. Raises SqlError if the archive's directories cannot be listed."""
        return metastore.all_topics(self._declared, self.root)

    def topic(self, name: str) -> RecordTopic:
        """A topic as it is now."""
        return self._topics().topic(name)

    def _topics(self, catalog: Catalog | None = None) -> StoredTopics:
        return StoredTopics(
            catalog or self.catalog,
            self._logs,
            self.register,
            self._declared,
            self._counts,
            self._with_records,
            record_ends=self._record_ends,
        )

    def _feed(self, topic: str) -> None:
        """Wake all readers of a topic, because it has new records."""
        self._due.update(self.catalog.fed_by(topic))
        self.listeners.wake(self.catalog.reached_from(topic))
