"""The catalog as plain data: streams, tables, queries and topics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from opensea_metrics.sql.language.catalog.custom_types import Types
from opensea_metrics.sql.language.catalog.sources import Source, Topic
from opensea_metrics.sql.language.catalog.upgrade import SourceDefinition
from opensea_metrics.sql.language.queries.analysis import Analysis


@dataclass(frozen=True)
class Query:
    """A persistent query: its ``id`` on a server, the sink that it writes, and its resolved SELECT."""

    id: str
    sink: str
    analysis: Analysis

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of the sources."""
        return (self.analysis.source.name, *(source.name for source in self.analysis.joined))


@dataclass(frozen=True)
class Catalog:
    """Sources by name, running queries by id in order of creation, and topics by name.

    A topic outlives its sources, unless one of them is dropped with DELETE TOPIC.
    """

    sources: Mapping[str, Source] = field(default_factory=dict)
    queries: Mapping[str, Query] = field(default_factory=dict)
    topics: Mapping[str, Topic] = field(default_factory=dict)
    types: Types = field(default_factory=dict)

    def readers(self, name: str) -> list[Query]:
        """The queries that read a source."""
        return [query for query in self.queries.values() if name in query.reads]

    def definition(self, name: str) -> SourceDefinition | None:
        """A source with the SELECT that fills it, or None if the source does not exist."""
        if name not in self.sources:
            return None
        own = [query for query in self.writers(name) if not query.id.startswith("INSERT")]
        return SourceDefinition(self.sources[name], own[0].analysis if own else None)

    def writers(self, name: str) -> list[Query]:
        """The queries that write into a source."""
        return [query for query in self.queries.values() if query.sink == name]

    def above(self, query: Query) -> set[str]:
        """Ids of the other queries whose results a query reads, directly or through further queries."""
        ids: set[str] = set()
        pending = [query]
        while pending:
            reading = pending.pop()
            topics = {source.topic for source in reading.analysis.sources}
            for other in self.queries.values():
                if other.id not in ids and self.sources[other.sink].topic in topics:
                    ids.add(other.id)
                    pending.append(other)
        return ids - {query.id}

    def fed_by(self, topic: str) -> list[str]:
        """Ids of the queries that a record in a topic may affect, in order of creation. They read the topic, or
        streams that queries derive from it."""
        reached = self.reached_from(topic)
        return [
            query.id
            for query in self.queries.values()
            if any(source.topic in reached for source in query.analysis.sources)
        ]

    def reached_from(self, topic: str) -> set[str]:
        """The topics that a record in a topic may affect: the topic itself, and the topics of streams that
        queries derive from it."""
        copies = [q for q in self.queries.values() if not q.analysis.is_aggregation and not q.analysis.is_ordered]
        reached: set[str] = set()
        pending = {topic}
        while pending - reached:  # INSERT INTO may write into a source of an older query
            reached |= pending
            pending = {
                self.sources[query.sink].topic for query in copies if query.analysis.source.topic in reached
            }
        return reached
