"""Readers: a query reads each of its sources with its own positions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from opensea_metrics.sql.language.catalog.catalog import Catalog, Query
from opensea_metrics.sql.language.catalog.sources import Source


@dataclass(frozen=True)
class Reader:
    """One source of a query. ``id`` names the reader in positions. The first source's reader has the query's id."""

    query: Query
    number: int
    source: Source

    @property
    def id(self) -> str:
        return self.query.id if self.number == 0 else f"{self.query.id} {self.number}"


def readers_of(query: Query) -> list[Reader]:
    """The readers of a query, in the order of FROM and JOIN."""
    return [Reader(query, number, source) for number, source in enumerate(query.analysis.sources)]


def readers(catalog: Catalog) -> Iterator[Reader]:
    """The readers of all queries."""
    for query in catalog.queries.values():
        yield from readers_of(query)


def query_of(reader_id: str) -> str:
    """The id of a reader's query."""
    return reader_id.partition(" ")[0]


def is_sent(catalog: Catalog, reader: Reader) -> bool:
    """True if the query that computes a table sends its changes to the reader, which then reads no topic."""
    return reader.query.analysis.is_ordered and reader.source.is_table and bool(catalog.writers(reader.source.name))


def receivers(catalog: Catalog, table: str) -> list[Reader]:
    """The readers to which the query that computes a table sends its changes."""
    reading = [reader for query in catalog.readers(table) for reader in readers_of(query)]
    return [reader for reader in reading if reader.source.name == table and is_sent(catalog, reader)]
