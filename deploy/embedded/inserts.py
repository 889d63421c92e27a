"""Records that clients put into topics, by INSERT … VALUES or by /inserts-stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import duckdb
import msgspec

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.embedded import processing_log, wire
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.sources import KEY_ROLES, Source
from opensea_metrics.sql.language.values.coercion import Mismatch, Names, coercer, identifier

_OBJECT = msgspec.json.Decoder(dict)


class Record(NamedTuple):
    """A record: its time (epoch ms), and its key (None: none) and value as JSON objects."""

    time: int
    key: str | None
    value: str


def append(cursor: duckdb.DuckDBPyConnection, topic: str, records: Sequence[Record]) -> None:
    """Add records to a topic in their order, within the caller's transaction."""
    times, keys, values = zip(*records, strict=True)
    cursor.execute(
        "INSERT INTO meta.inserted SELECT $topic, nextval('meta.inserted_offset'), time, key, value FROM ("
        "SELECT unnest($times::BIGINT[]) AS time, unnest($keys::VARCHAR[]) AS key,"
        " unnest($values::VARCHAR[]) AS value)",
        {"topic": topic, "times": times, "keys": keys, "values": values},
    )


def target(catalog: Catalog, written: str) -> Source:
    """The stream or table that rows are to go into. Raises SqlError."""
    try:
        name = identifier(written)
    except ValueError as error:
        raise SqlError(f"Invalid target name: {error}") from None
    source = catalog.sources.get(name)
    if source is None:
        raise SqlError(f"Cannot insert values into an unknown stream/table: `{name}`")
    if source.window:
        raise SqlError("Cannot insert values into windowed stream/table")
    if source.is_read_only:
        raise SqlError(f"Cannot insert values into read-only {source.kind.lower()}: {name}")
    check_topic(source)
    return source


def check_topic(source: Source) -> None:
    """Raises SqlError if nobody may add records to a source's topic."""
    if source.topic == processing_log.TOPIC:
        raise SqlError(f"Cannot insert values into read-only topic: {source.topic}")


class RowReader:
    """Makes records of a source from rows as clients send them: JSON objects.

    Names match columns in any case, unless quoted. Fields that the source does not have are ignored, and
    missing ones are NULL, except key columns.
    """

    def __init__(self, source: Source) -> None:
        self._names = Names()
        columns = [(c, coercer(c.type, self._names)) for c in source.columns if not c.is_header]
        self._keys = [(column.name, read) for column, read in columns if column.role in KEY_ROLES]
        self._values = [(column.name, read) for column, read in columns if column.role is None]

    def record(self, line: bytes, time: int) -> Record:
        """The record of a row that came at ``time`` (epoch ms). Raises Mismatch."""
        try:
            row = _OBJECT.decode(line)
        except (msgspec.DecodeError, RecursionError):
            raise Mismatch("Invalid JSON in inserts stream") from None
        given = self._names.columns(row)
        for name, _ in self._keys:
            if given.get(name) is None:
                raise Mismatch(f"Key field must be specified: {name}")
        key = self._object(self._keys, given) if self._keys else None
        return Record(time, key, self._object(self._values, given))

    @staticmethod
    def _object(columns: Sequence[tuple[str, Any]], given: Mapping[str, Any]) -> str:
        fields: dict[str, Any] = {}
        for name, read in columns:
            try:
                fields[name] = read(given.get(name))
            except Mismatch as error:
                raise Mismatch(f"{error}\nColumn {name}") from None
        return wire.dump(fields).decode()
