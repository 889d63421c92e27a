"""The database of the embedded server: one DuckDB file in the data directory."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import duckdb

from opensea_metrics.core.database import open_database
from opensea_metrics.core.errors import OpenSeaMetricsError, os_reason
from opensea_metrics.core.quoting import quoted, text
from opensea_metrics.sql.language.lowering.duckdb.setup import SETUP, register_functions
from opensea_metrics.udfs import duckdb as udfs

_DATABASE = "embedded.duckdb"
_BUSY = 0.01
"""Seconds between attempts to close the database while statements still run."""
_HEADERS = 3 * 4096
"""The number of bytes before the first block of a DuckDB file."""
_TABLES = """
CREATE SCHEMA IF NOT EXISTS meta;
CREATE TABLE IF NOT EXISTS meta.layout (version INTEGER);
-- The statements that have changed the catalog, in order. The server rebuilds the catalog from them when it starts.
CREATE TABLE IF NOT EXISTS meta.commands (
  seq BIGINT PRIMARY KEY, statement VARCHAR NOT NULL);
-- The positions up to which (exclusive) a query has read each feed of its topic in each partition, and the
-- counters of deploy/embedded/queries/persistent.py.
CREATE TABLE IF NOT EXISTS meta.positions (
  query VARCHAR, feed VARCHAR, partition INTEGER, position BIGINT, PRIMARY KEY (query, feed, partition));
-- The register of deploy/embedded/files/segments.py: pieces of archive files, in the order in which they
-- appeared. Paths are relative to the topic's directory, and first is the offset of the first record.
CREATE TABLE IF NOT EXISTS meta.segments (
  topic VARCHAR, seq BIGINT, partition INTEGER, first BIGINT, path VARCHAR, start_byte BIGINT,
  end_byte BIGINT, tail BIGINT, records BIGINT);
-- The segments that a query has not read to their end (Unread of deploy/embedded/files/lines.py).
CREATE TABLE IF NOT EXISTS meta.unread (
  query VARCHAR, seq BIGINT, taken BIGINT, checksum BIGINT, tried BIGINT, why VARCHAR);
-- Files and directories that are refused at the moment. Each refusal has been reported once.
CREATE TABLE IF NOT EXISTS meta.refused (topic VARCHAR, path VARCHAR, reason VARCHAR);
-- Records that clients and the server insert into topics, in the order of seq. Key and value are JSON objects, and
-- the value of a tombstone is NULL.
CREATE TABLE IF NOT EXISTS meta.records (
  topic VARCHAR, seq BIGINT, partition INTEGER, "offset" BIGINT, ts BIGINT, key VARCHAR, value VARCHAR);
CREATE SEQUENCE IF NOT EXISTS meta.record_numbers;
-- For each partition: the offset after the last record that was deleted because it was too old.
CREATE TABLE IF NOT EXISTS meta.deleted (
  topic VARCHAR, partition INTEGER, next BIGINT, PRIMARY KEY (topic, partition));
-- Topics that a statement has declared. retention is RETENTION_MS, or NULL if the statement gives none.
CREATE TABLE IF NOT EXISTS meta.topics (
  name VARCHAR PRIMARY KEY, partitions INTEGER, replicas INTEGER, retention BIGINT);
-- Chunks of logs (deploy/embedded/topics/chunks.py). is_of_files: the chunk holds only whole segments of files, which
-- chunk_files lists. dropped: NULL, or the newest ROWTIME of a chunk that was dropped because it can be rebuilt.
CREATE TABLE IF NOT EXISTS meta.chunks (
  log VARCHAR, base BIGINT, is_of_files BOOLEAN, dropped BIGINT, PRIMARY KEY (log, base));
CREATE TABLE IF NOT EXISTS meta.chunk_files (
  log VARCHAR, base BIGINT, number BIGINT, path VARCHAR, start_byte BIGINT, end_byte BIGINT,
  partition INTEGER, first BIGINT, tail BIGINT);
CREATE SCHEMA IF NOT EXISTS log;
CREATE SCHEMA IF NOT EXISTS state;
"""


CHECKPOINT_BYTES = 64_000_000
"""Bytes of the WAL after which a COMMIT writes a checkpoint."""
_SETTINGS: dict[str, str | int] = {"threads": 1, "checkpoint_threshold": f"{CHECKPOINT_BYTES}B"}
"""Figures of `python -m tests.bench.replay` over a million events (2026-11-30).

Within the memory of a server a second thread makes DuckDB move data to disk. That takes 18 % more CPU time, and as
long. Every connection still has a thread of its own. With 16 MB, the default, checkpoints take 8 % more CPU time.

It does not pay to move independent queries on two connections at the same time either. While one of them writes, the
other one's COMMIT does not write a checkpoint. So the changes of both stay in memory, and DuckDB moves them to disk.
With a checkpoint after each pair of transactions, reading takes as long as on one connection (19 s), and 40 % more CPU
time. With 400 MB of memory it takes 16 s. Row groups of 16,384 rows instead of 122,880 (an option
of ATTACH) do not help. DuckDB writes 20 % less then, in the same time. With them, each of two connections can move a
family of queries at a time. That takes 5 % less time and 20 % more CPU time, because the two slow each other down.

Nor does it pay to decode the next files in another thread, in a database of its own, whose rows wait in a file. The
engine's thread then uses 5 % less CPU time, and the server 10 % more. Half of the gain is lost again: the queries begin
with fewer rows, so they write rows of state more often.
"""
_VERSION = 4
"""The version of the tables above. Increase it when a server can no longer read the tables of an earlier version."""


class StorageError(OpenSeaMetricsError):
    """The data directory cannot be used. The message says why and what to do."""


class Storage:
    """Owns the DuckDB database. Every thread takes its own :meth:`cursor`.

    The database can open only its own files and ``tmp/`` of the data directory. It does not read the files of topics:
    deploy/embedded/files/lines.py passes their lines to it.
    """

    def __init__(self, directory: Path, memory_limit: str = "160MB") -> None:
        """Open or create the database.

        Raises StorageError if the directory cannot be written, another server holds it, or the database is
        damaged.
        """
        self.directory = directory
        try:
            directory.mkdir(parents=True, exist_ok=True)
            probe = directory / ".writable"
            probe.touch()
            probe.unlink()
            self._lock = _locked(directory)
        except OSError as error:
            raise StorageError(
                f"cannot write to the data directory {directory}: {os_reason(error)}; "
                "give another one with --data-dir"
            ) from error
        try:
            self._database = open_database(
                directory / _DATABASE,
                directory / "tmp",
                settings={"memory_limit": memory_limit, **_SETTINGS, "error_on_division_by_zero": False},
                setup=(_TABLES, *SETUP),
            )
            try:
                self._check_version()
                self._check_size()
                udfs.register(self._database)
                register_functions(self._database)
            except BaseException:
                self._database.close()
                raise
        except StorageError:
            self._lock.close()
            raise
        except duckdb.Error as error:
            self._lock.close()
            raise damaged(directory, error) from error

    def _check_version(self) -> None:
        """Raise StorageError if an earlier version created the database. Write the version into a new database."""
        query = self._database.execute
        versions = query("SELECT version FROM meta.layout").fetchall()
        if not versions and not query("SELECT 1 FROM meta.commands LIMIT 1").fetchall():
            query("INSERT INTO meta.layout VALUES (?)", [_VERSION])
        elif versions != [(_VERSION,)]:
            path = self.directory / _DATABASE
            raise StorageError(
                f"an earlier version of the server created {path}, and this version cannot read it\n"
                f"  hint: move {_DATABASE} and {_DATABASE}.wal away and run `opensea-metrics apply`, which rebuilds the"
                f" metrics from the files in {self.directory / 'topics'}. Records of INSERT … VALUES are not rebuilt."
                " To keep them, first start the earlier version and read their streams"
            )

    def _check_size(self) -> None:
        """Raise duckdb.IOException if the file is shorter than its tables need.

        DuckDB itself notices this only when it reads the missing part.
        """
        present = (self.directory / _DATABASE).stat().st_size
        if present <= _HEADERS:
            return  # no table has been written yet
        query = self._database.execute
        ((size,),) = query("SELECT block_size FROM pragma_database_size()").fetchall()
        names = query("SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT temporary").fetchall()
        segments = (f"FROM pragma_storage_info({text(f'{quoted(schema)}.{quoted(table)}')})" for schema, table in names)
        ((blocks,),) = query(
            "SELECT coalesce(max(greatest(block_id, coalesce(list_max(additional_block_ids), -1))) + 1, 0)"
            f" FROM ({' UNION ALL '.join(segments)}) WHERE persistent"
        ).fetchall()
        if present < (needed := _HEADERS + blocks * size):
            raise duckdb.IOException(f"it has {present:,} bytes, and its tables need {needed:,}")

    @property
    def database_file(self) -> Path:
        """The path of the database file."""
        return self.directory / _DATABASE

    def wal_bytes(self) -> int:
        """The size of the database's WAL; 0 if there is none."""
        try:
            return self.directory.joinpath(f"{_DATABASE}.wal").stat().st_size
        except FileNotFoundError:
            return 0

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A new connection to the database, for one thread."""
        return self._database.cursor()

    def close(self) -> None:
        """Write all data to disk and release the directory. Waits for the statements of requests that have no client.

        Such requests get no further cursor, because the first call of DuckDB's ``close`` closes the connection.
        """
        try:
            while not self._is_closed():
                time.sleep(_BUSY)
        finally:
            self._lock.close()

    def _is_closed(self) -> bool:
        try:
            self._database.close()
        except duckdb.ResourceInUseException:
            return False
        return True


def damaged(directory: Path, error: duckdb.Error) -> StorageError:
    """The error for a database that cannot be read. Its message says what to do."""
    path = directory / _DATABASE
    return StorageError(
        f"cannot use {path}: {str(error).splitlines()[0]}\n"
        f"If the file is damaged, restore a copy of it, or move {_DATABASE} and {_DATABASE}.wal away. The"
        " server then starts empty, and `opensea-metrics apply` rebuilds the metrics from the files in"
        f" {directory / 'topics'}. Records of INSERT … VALUES are lost then."
    )


def _locked(directory: Path) -> BinaryIO:
    """The lock of a data directory. It is held until it is closed or the process ends.

    DuckDB's own lock is not enough, because it is released when any descriptor of the file is closed.
    """
    lock = open(directory / ".lock", "ab")  # noqa: SIM115 - open until the storage is closed
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise StorageError(
            f"another server uses the data directory {directory}; "
            "stop that server, or give another directory with --data-dir"
        ) from error
    return lock


@contextmanager
def transaction(cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Run the statements within this context in one transaction. An exception undoes them."""
    cursor.execute("BEGIN")
    try:
        yield
    except BaseException:
        with suppress(duckdb.Error):  # DuckDB may already have rolled back
            cursor.execute("ROLLBACK")
        raise
    cursor.execute("COMMIT")
