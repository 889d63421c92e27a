"""The queries that a run must compute, and their order. Pure.

A query reads a topic: the archive's (``raw``), or one that other queries write. Selections row by row become part
of the queries that read them. Of the groupings, the ``first`` ones read the archive's records in one pass. The
``later`` queries read the rows of other queries, or records in order: groupings, joins and queries over tables.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from opensea_metrics.spark_batch.narrowing import columns_read, narrowed, paths_read
from opensea_metrics.spark_batch.period import Period
from opensea_metrics.spark_batch.query_graph import (
    are_records,
    is_of_records,
    needs_history,
    sources_of,
    window_of_rows,
    writers_first,
    writers_of,
)
from opensea_metrics.spark_batch.targets import TargetError
from opensea_metrics.sql.language.catalog.catalog import Catalog, Query
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.queries.analysis import makes_rows


@dataclass(frozen=True)
class QueryPipeline:
    """The queries that a run must compute.

    ``raw_topic`` is the archive's topic, and ``selections`` are the queries that read it row by row. ``first`` and
    ``later`` are the other queries in order. ``inputs`` are the streams of records that later queries read in order.
    ``histories`` are the ids of groupings of whose rows these need all changes. ``targets`` are the requested tables
    and streams. With ``as_streamed``, records that come after their window's grace period do not count.
    """

    catalog: Catalog
    raw_topic: str
    selections: tuple[Query, ...]
    first: tuple[Query, ...]
    later: tuple[Query, ...]
    inputs: tuple[Source, ...]
    histories: frozenset[str]
    targets: tuple[Source, ...]
    as_streamed: bool

    @property
    def is_ordered(self) -> bool:
        """True if the results depend on the order of all records: for joins, queries over tables, and late records."""
        return self.as_streamed or any(query.analysis.is_ordered for query in self.later)

    def drops_late(self, query: Query) -> bool:
        """Whether a query leaves out late records."""
        return self.as_streamed and query.analysis.is_aggregation and query.analysis.window is not None

    def writers(self, topic: str) -> list[Query]:
        """The queries that write a topic."""
        return writers_of(self.catalog, topic)

    def readers(self, topic: str) -> list[Query]:
        """The queries that read a topic."""
        return [q for q in self.catalog.queries.values() if any(s.topic == topic for s in q.analysis.sources)]

    def raw_sources(self) -> list[Source]:
        """The streams declared over the archive that are read."""
        return sources_of(self.catalog, self.raw_topic)

    def leaves(self) -> set[str]:
        """The fields of the archive's records that are read, by their paths (payload.sent_at)."""
        return {
            path
            for query in self.catalog.queries.values()
            for source in query.analysis.sources
            if source.topic == self.raw_topic
            for path in paths_read(query.analysis, source)
        }

    def reading(self, source: Source, among: Sequence[Query]) -> list[Query]:
        """The queries of ``among`` that read a source."""
        return [query for query in among if source.name in query.reads]

    def is_kept(self, source: Source) -> bool:
        """Whether a source's decoded records are kept.

        They are if several queries read them. They are also if the only query drops or multiplies records, because
        the run still counts each record once.
        """
        readers = self.reading(source, (*self.selections, *self.first))
        return source in self.inputs or len(readers) > 1 or any(
            query in self.first
            or query.analysis.where is not None
            or any(makes_rows(projection.expression) for projection in query.analysis.projections)
            for query in readers
        )

    def kept_columns(self, source: Source) -> set[str]:
        """The kept columns of a source's decoded records: all if their order matters, or those that are read."""
        names = {column.name for column in source.columns if source in self.inputs}
        for query in self.reading(source, (*self.selections, *self.first, *self.later)):
            names |= columns_read(query.analysis)
        return names & set(source.readable())


def plan(
    catalog: Catalog, names: Sequence[str], raw_topic: str, period: Period, as_streamed: bool = False
) -> QueryPipeline:
    """The queries for some tables and streams. Their windows are counted from the period's origin.

    Raises TargetError if a table reads a topic that is not in the archive, takes its time from anything but the
    records, or only has one row for each record.
    """
    needed: set[str] = set()
    for name in names:
        _need(catalog, catalog.sources[name].topic, raw_topic, name, needed)
    queries = {
        id_: _counted(query, period) for id_, query in catalog.queries.items() if id_ in needed
    }
    targets = tuple(catalog.sources[name] for name in names)
    reduced = narrowed(Catalog(catalog.sources, queries), raw_topic, targets)
    for name in names:
        writers = writers_of(reduced, catalog.sources[name].topic)
        if not any(w.analysis.is_aggregation or not is_of_records(reduced, w) for w in writers):
            raise TargetError(f"{name} has a row for each event: recompute only computes tables of groups")
    selections: list[Query] = []
    first: list[Query] = []
    later: list[Query] = []
    for query in writers_first(reduced):
        if query.analysis.is_ordered:
            later.append(query)
        elif query.analysis.is_aggregation:
            is_first = is_of_records(reduced, query) and not (as_streamed and query.analysis.window)
            (first if is_first else later).append(query)
        elif query.analysis.source.topic == raw_topic:
            selections.append(query)
    for source in sources_of(reduced, raw_topic):
        if source.is_table:
            raise TargetError(f"{source.name} is a table of the archive's records, whose keys are not read")
        if source.window is not None:
            raise TargetError(
                f"{source.name} has windows in its keys, which an archive does not have: omit WINDOW_TYPE"
            )
        if source.timestamp is None:
            raise TargetError(
                f"{source.name} takes its time from Kafka, which files do not have: declare it WITH "
                "(TIMESTAMP='…')"
            )
    is_ordered = as_streamed or any(query.analysis.is_ordered for query in later)
    if is_ordered and (period.is_cut_before or period.is_cut_after):
        for target in targets:
            if target.is_table and window_of_rows(reduced, target.topic) is None:
                raise TargetError(f"{target.name} has no window, so it depends on all records: omit --from and --to")
    histories = frozenset(query.id for query in (*first, *later) if needs_history(reduced, query))
    return QueryPipeline(
        catalog=reduced,
        raw_topic=raw_topic,
        selections=tuple(selections),
        first=tuple(first),
        later=tuple(later),
        inputs=tuple(_inputs(reduced, later, histories, as_streamed)),
        histories=histories,
        targets=targets,
        as_streamed=as_streamed,
    )


def pipeline_of_records(catalog: Catalog) -> QueryPipeline:
    """A pipeline of all queries of a catalog, over the records of every source that no query writes."""
    queries = writers_first(catalog)
    sources = {source.name: source for query in queries for source in query.analysis.sources}
    return QueryPipeline(
        catalog=catalog,
        raw_topic="",
        selections=(),
        first=(),
        later=tuple(query for query in queries if query.analysis.is_aggregation or query.analysis.is_ordered),
        inputs=tuple(source for source in sources.values() if not writers_of(catalog, source.topic)),
        histories=frozenset(query.id for query in queries if needs_history(catalog, query)),
        targets=(),
        as_streamed=False,
    )


def _need(catalog: Catalog, topic: str, raw: str, wanted: str, needed: set[str]) -> None:
    writers = writers_of(catalog, topic)
    if not writers and topic != raw:
        raise TargetError(f"{wanted} reads the topic {topic}, which is not in this archive of {raw}")
    for query in writers:
        if query.id not in needed:
            needed.add(query.id)
            for source in query.analysis.sources:
                _need(catalog, source.topic, raw, wanted, needed)


def _inputs(
    catalog: Catalog, later: Sequence[Query], histories: Collection[str], as_streamed: bool
) -> Iterator[Source]:
    """The streams of records whose order matters."""
    reading = [query for query in later if query.analysis.is_ordered or (as_streamed and query.analysis.window)]
    reading += [query for query in catalog.queries.values() if query.id in histories]
    sources = {source.name: source for query in reading for source in query.analysis.sources}
    for source in sources.values():
        if not source.is_table and are_records(catalog, source):
            yield source


def _counted(query: Query, period: Period) -> Query:
    window = query.analysis.window
    if window is None or not query.analysis.is_aggregation:
        return query
    moved = replace(window, origin=period.origin(window))
    return replace(query, analysis=replace(query.analysis, window=moved))
