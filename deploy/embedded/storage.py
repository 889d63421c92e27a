"""The database of the embedded server: one DuckDB file in the data directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from sql.database import open_database
from sql.errors import OpenSeaMetricsError
from sql.lowering.macros import SETUP
from udfs import duckdb as udfs

_TABLES = """
CREATE SCHEMA IF NOT EXISTS meta;
-- The statements that made what there is, in order; the catalog is rebuilt from them at start.
CREATE TABLE IF NOT EXISTS meta.commands (
  seq BIGINT PRIMARY KEY, statement VARCHAR NOT NULL);
-- What a query has reached: up to where (exclusive) it has read each part of its topic, and the
-- counters of deploy/embedded/persistent.py.
CREATE TABLE IF NOT EXISTS meta.positions (
  query VARCHAR, part VARCHAR, position BIGINT, PRIMARY KEY (query, part));
-- Pieces of archive files, in the order in which they were found. Bytes count for files that grow.
CREATE TABLE IF NOT EXISTS meta.segments (
  topic VARCHAR, seq BIGINT, path VARCHAR, start_byte BIGINT, end_byte BIGINT,
  PRIMARY KEY (topic, path, start_byte));
-- Records put in by INSERT … VALUES: key and value as JSON objects.
CREATE TABLE IF NOT EXISTS meta.inserted (
  topic VARCHAR, _off BIGINT, ts BIGINT, key VARCHAR, value VARCHAR);
CREATE SEQUENCE IF NOT EXISTS meta.inserted_offset;
-- Topics that exist, and what makes them so: a statement, or a directory of the archive.
CREATE TABLE IF NOT EXISTS meta.topics (
  name VARCHAR PRIMARY KEY, partitions INTEGER, replicas INTEGER);
CREATE SCHEMA IF NOT EXISTS log;
CREATE SCHEMA IF NOT EXISTS state;
"""


class StorageError(OpenSeaMetricsError):
    """The data directory cannot be used; the message says why and what to do."""


class Storage:
    """Owns the DuckDB database; every thread takes its own :meth:`cursor`.

    Besides its own files the database can reach ``topics/`` and ``tmp/`` of the data directory only.
    """

    def __init__(self, directory: Path, memory_limit: str = "450MB") -> None:
        """Open or create the database.

        Raises StorageError if the directory cannot be written or another server holds it.
        """
        self.directory = directory
        try:
            directory.mkdir(parents=True, exist_ok=True)
            probe = directory / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StorageError(
                f"cannot write to the data directory {directory}: {error.strerror}; "
                "give another one with --data-dir"
            ) from error
        try:
            self._database = open_database(
                directory / "embedded.duckdb",
                directory / "tmp",
                directories=[directory / "topics"],
                settings={"memory_limit": memory_limit, "error_on_division_by_zero": False},
                setup=(_TABLES, *SETUP),
            )
        except duckdb.IOException as error:
            message = str(error).splitlines()[0]
            if "lock" in message.lower():
                message = "another server uses it; stop that one, or give another --data-dir"
            raise StorageError(f"cannot open {directory / 'embedded.duckdb'}: {message}") from error
        udfs.register(self._database)

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own to the database, for one thread."""
        return self._database.cursor()

    def close(self) -> None:
        """Write everything down and let go of the file."""
        self._database.close()


@contextmanager
def transaction(cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All or nothing: what stands inside is committed at the end, or undone on an exception."""
    cursor.execute("BEGIN")
    try:
        yield
    except BaseException:
        cursor.execute("ROLLBACK")
        raise
    cursor.execute("COMMIT")
