"""The queries of a catalog as a graph: which query writes a topic, and what its rows are. Pure."""

from __future__ import annotations

from opensea_metrics.sql.language.catalog.catalog import Catalog, Query
from opensea_metrics.sql.language.catalog.sources import Source, Window


def writers_of(catalog: Catalog, topic: str) -> list[Query]:
    """The queries that write a topic."""
    return [q for q in catalog.queries.values() if catalog.sources[q.sink].topic == topic]


def sources_of(catalog: Catalog, topic: str) -> list[Source]:
    """The sources over a topic that queries read."""
    sources = {
        source.name: source
        for query in catalog.queries.values()
        for source in query.analysis.sources
        if source.topic == topic
    }
    return list(sources.values())


def writers_first(catalog: Catalog) -> list[Query]:
    """The queries, after those that write what they read."""
    result: dict[str, Query] = {}

    def visit(query: Query) -> None:
        if query.id not in result:
            for source in query.analysis.sources:
                for writer in writers_of(catalog, source.topic):
                    visit(writer)
            result[query.id] = query

    for query in catalog.queries.values():
        visit(query)
    return list(result.values())


def is_of_records(catalog: Catalog, query: Query) -> bool:
    """Whether a query's rows come from the archive without a grouping or a join in between."""
    return not query.analysis.is_ordered and are_records(catalog, query.analysis.source)


def are_records(catalog: Catalog, source: Source) -> bool:
    """Whether a source's rows are records of the archive, selected row by row."""
    return all(
        not writer.analysis.is_aggregation and is_of_records(catalog, writer)
        for writer in writers_of(catalog, source.topic)
    )


def needs_history(catalog: Catalog, query: Query) -> bool:
    """Whether all changes of a table's rows are needed.

    They are if a stream is joined with the table or with what it gives. They also are if its rows are grouped, because
    a group stays when all its rows have left.
    """
    sink = catalog.sources[query.sink]
    readers = [other for other in catalog.queries.values() if sink.is_table and sink.name in other.reads]
    return any(
        not other.analysis.source.is_table or other.analysis.is_aggregation or needs_history(catalog, other)
        for other in readers
    )


def window_of_rows(catalog: Catalog, topic: str) -> Window | None:
    """The windows of the rows of a topic, or None."""
    grouping = grouping_of(catalog, topic)
    return grouping.analysis.window if grouping else None


def grouping_of(catalog: Catalog, topic: str) -> Query | None:
    """The query whose windows the rows of a topic have.

    A query over a grouping has the grouping's windows, even if it declares others. For example, queries over the
    changes of hopping windows declare tumbling windows.
    """
    for query in writers_of(catalog, topic):
        for source in query.analysis.sources:
            if (grouping := grouping_of(catalog, source.topic)) is not None:
                return grouping
        if query.analysis.is_aggregation and query.analysis.window is not None:
            return query
    return None
