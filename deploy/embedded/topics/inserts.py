"""Records that clients insert into topics, with INSERT … VALUES or /inserts-stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.embedded import wire
from opensea_metrics.deploy.embedded.topics import partitioner, processing_log
from opensea_metrics.deploy.embedded.topics.record_topic import TopicRecord
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.sources import KEY_ROLES, Source
from opensea_metrics.sql.language.values.coercion import Mismatch, Names, coercer, identifier

_OBJECT = msgspec.json.Decoder(dict)


def target(catalog: Catalog, written: str) -> Source:
    """The stream or table that a client names as the target of rows. Raises SqlError."""
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
    """Raises SqlError if clients may not add records to a source's topic."""
    if source.topic == processing_log.TOPIC:
        raise SqlError(f"Cannot insert values into read-only topic: {source.topic}")


class RowReader:
    """Turns rows that clients send as JSON objects into records of a source.

    Names match columns in upper or lower case, unless they are quoted. Fields that the source does not have are
    ignored. Missing fields are NULL, but key columns must be present.
    """

    def __init__(self, source: Source, partitions: int = 1) -> None:
        self._source = source
        self._partitions = partitions
        self._names = Names()
        columns = [(c, coercer(c.type, self._names)) for c in source.columns if not c.is_header]
        self._keys = [(column.name, read) for column, read in columns if column.role in KEY_ROLES]
        self._values = [(column.name, read) for column, read in columns if column.role is None]

    def record(self, line: bytes, time: int) -> TopicRecord:
        """The record of a row that arrived at ``time`` (epoch ms). Raises Mismatch."""
        try:
            row = _OBJECT.decode(line)
        except (msgspec.DecodeError, RecursionError):
            raise Mismatch("Invalid JSON in inserts stream") from None
        given = self._names.columns(row)
        for name, _ in self._keys:
            if given.get(name) is None:
                raise Mismatch(f"Key field must be specified: {name}")
        key = self._fields(self._keys, given)
        fields = self._fields(self._values, given)
        value = wire.dump(fields).decode() if self._source.has_value(fields) else None
        partition = partitioner.partition(self._source, key, self._partitions)
        return TopicRecord(time, wire.dump(key).decode() if key else None, value, partition)

    @staticmethod
    def _fields(columns: Sequence[tuple[str, Any]], given: Mapping[str, Any]) -> dict[str, Any]:
        return {name: read(given.get(name)) for name, read in columns}
