"""The queries that a run must compute, and their order. Pure.

A query reads a topic: the archive's (``raw``), or one that other queries write. Selections row by row become part
of the queries that read them. Of the groupings, the ``first`` ones read the archive's records in one pass. The
``later`` queries read the rows of other queries, or records in order: groupings, joins and queries over tables.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.spark_batch.narrowing import narrowed, paths_read
from opensea_metrics.spark_batch.period import Period, WindowChoice, choice
from opensea_metrics.sql.language.catalog.catalog import Catalog, Query
from opensea_metrics.sql.language.catalog.sources import Source, Window
from opensea_metrics.sql.language.project.project import Project
from opensea_metrics.sql.language.queries.analysis import makes_rows


class TargetError(OpenSeaMetricsError):
    """A requested table is not in the project, or cannot be computed from the archive."""


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
        return _writers(self.catalog, topic)

    def readers(self, topic: str) -> list[Query]:
        """The queries that read a topic."""
        return [q for q in self.catalog.queries.values() if any(s.topic == topic for s in q.analysis.sources)]

    def raw_sources(self) -> list[Source]:
        """The streams declared over the archive that are read."""
        return _raw_sources(self.catalog, self.raw_topic)

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


def choose(project: Project, catalog: Catalog, wanted: str, windows: Sequence[WindowChoice]) -> list[str]:
    """The names of the tables and streams for ``global``, ``collections``, ``all`` or a name.

    ``global`` and ``collections`` stand for the tables from which the long-form topic of that name is computed.
    ``all`` stands for every table of the given windows, or of any windows if none are given. Raises TargetError.
    """
    tables = [
        source.name
        for source in catalog.sources.values()
        if source.is_table and _is_asked_for(_window(catalog, source.topic), windows)
    ]
    name = wanted.lower()
    if name == "all" and tables:
        return tables
    if name in ("global", "collections"):
        topic = project.settings.get(f"{name}_topic")
        read = {
            query.analysis.source.topic
            for query in catalog.queries.values()
            if catalog.sources[query.sink].topic == topic
        }
        if chosen := [table for table in tables if catalog.sources[table].topic in read]:
            return chosen
    known = {name.upper(): source for name, source in catalog.sources.items()}
    exact = known.get(wanted.upper())
    if exact and _writers(catalog, exact.topic):
        own = _window(catalog, exact.topic)
        if own and not _is_asked_for(own, windows):
            own_text = "sessions" if own.is_session else choice(own.size, own.advance).text
            raise TargetError(
                f"{exact.name} has a window of its own, {own_text}: omit --window and --slide"
            )
        return [exact.name]
    raise TargetError(
        f"there is no table '{wanted}' for this window. Choose one of: global, collections, all, "
        + ", ".join(table.lower() for table in tables)
    )


def windows_of(catalog: Catalog, names: Sequence[str]) -> list[WindowChoice]:
    """The kinds of windows of some tables, without duplicates. Sessions have no fixed size, and are left out."""
    windows = (_window(catalog, catalog.sources[name].topic) for name in names)
    return list(dict.fromkeys(choice(w.size, w.advance) for w in windows if w and not w.is_session))


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
        writers = _writers(reduced, catalog.sources[name].topic)
        if not any(w.analysis.is_aggregation or not _is_of_raw(reduced, w) for w in writers):
            raise TargetError(f"{name} has a row for each event: recompute only computes tables of groups")
    selections: list[Query] = []
    first: list[Query] = []
    later: list[Query] = []
    for query in _sorted(reduced):
        if query.analysis.is_ordered:
            later.append(query)
        elif query.analysis.is_aggregation:
            is_first = _is_of_raw(reduced, query) and not (as_streamed and query.analysis.window)
            (first if is_first else later).append(query)
        elif query.analysis.source.topic == raw_topic:
            selections.append(query)
    for source in _raw_sources(reduced, raw_topic):
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
            if target.is_table and _window(reduced, target.topic) is None:
                raise TargetError(f"{target.name} has no window, so it depends on all records: omit --from and --to")
    histories = frozenset(query.id for query in (*first, *later) if _needs_history(reduced, query))
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
    queries = _sorted(catalog)
    sources = {source.name: source for query in queries for source in query.analysis.sources}
    return QueryPipeline(
        catalog=catalog,
        raw_topic="",
        selections=(),
        first=(),
        later=tuple(query for query in queries if query.analysis.is_aggregation or query.analysis.is_ordered),
        inputs=tuple(source for source in sources.values() if not _writers(catalog, source.topic)),
        histories=frozenset(query.id for query in queries if _needs_history(catalog, query)),
        targets=(),
        as_streamed=False,
    )


def window_of(pipeline: QueryPipeline, table: Source) -> tuple[Window, int | None] | None:
    """The windows of a table's rows, and how long a server keeps them (ms, None if the statement does not say)."""
    query = _grouping(pipeline.catalog, table.topic)
    if query is None or query.analysis.window is None:
        return None
    for node in query.analysis.statement.ast.walk():
        if (retention := node.args.get("retention")) is not None:
            return query.analysis.window, int(retention.this)
    return query.analysis.window, None


def _writers(catalog: Catalog, topic: str) -> list[Query]:
    return [q for q in catalog.queries.values() if catalog.sources[q.sink].topic == topic]


def _raw_sources(catalog: Catalog, topic: str) -> list[Source]:
    sources = {
        source.name: source
        for query in catalog.queries.values()
        for source in query.analysis.sources
        if source.topic == topic
    }
    return list(sources.values())


def _need(catalog: Catalog, topic: str, raw: str, wanted: str, needed: set[str]) -> None:
    writers = _writers(catalog, topic)
    if not writers and topic != raw:
        raise TargetError(f"{wanted} reads the topic {topic}, which is not in this archive of {raw}")
    for query in writers:
        if query.id not in needed:
            needed.add(query.id)
            for source in query.analysis.sources:
                _need(catalog, source.topic, raw, wanted, needed)


def _sorted(catalog: Catalog) -> list[Query]:
    """The queries, after those that write what they read."""
    result: dict[str, Query] = {}

    def visit(query: Query) -> None:
        if query.id not in result:
            for source in query.analysis.sources:
                for writer in _writers(catalog, source.topic):
                    visit(writer)
            result[query.id] = query

    for query in catalog.queries.values():
        visit(query)
    return list(result.values())


def _is_of_raw(catalog: Catalog, query: Query) -> bool:
    """Whether a query's rows come from the archive without a grouping or a join in between."""
    return not query.analysis.is_ordered and _are_records(catalog, query.analysis.source)


def _are_records(catalog: Catalog, source: Source) -> bool:
    """Whether a source's rows are records of the archive, selected row by row."""
    return all(
        not writer.analysis.is_aggregation and _is_of_raw(catalog, writer) for writer in _writers(catalog, source.topic)
    )


def _needs_history(catalog: Catalog, query: Query) -> bool:
    """Whether all changes of a table's rows are needed.

    They are if a stream is joined with the table or with what it gives. They also are if its rows are grouped, because
    a group stays when all its rows have left.
    """
    sink = catalog.sources[query.sink]
    readers = [other for other in catalog.queries.values() if sink.is_table and sink.name in other.reads]
    return any(
        not other.analysis.source.is_table or other.analysis.is_aggregation or _needs_history(catalog, other)
        for other in readers
    )


def _inputs(
    catalog: Catalog, later: Sequence[Query], histories: Collection[str], as_streamed: bool
) -> Iterator[Source]:
    """The streams of records whose order matters."""
    reading = [query for query in later if query.analysis.is_ordered or (as_streamed and query.analysis.window)]
    reading += [query for query in catalog.queries.values() if query.id in histories]
    sources = {source.name: source for query in reading for source in query.analysis.sources}
    for source in sources.values():
        if not source.is_table and _are_records(catalog, source):
            yield source


def _counted(query: Query, period: Period) -> Query:
    window = query.analysis.window
    if window is None or not query.analysis.is_aggregation:
        return query
    moved = replace(window, origin=period.origin(window))
    return replace(query, analysis=replace(query.analysis, window=moved))


def _window(catalog: Catalog, topic: str) -> Window | None:
    grouping = _grouping(catalog, topic)
    return grouping.analysis.window if grouping else None


def _grouping(catalog: Catalog, topic: str) -> Query | None:
    """The query whose windows the rows of a topic have.

    A query over a grouping has the grouping's windows, even if it declares others. For example, queries over the
    changes of hopping windows declare tumbling windows.
    """
    for query in _writers(catalog, topic):
        for source in query.analysis.sources:
            if (grouping := _grouping(catalog, source.topic)) is not None:
                return grouping
        if query.analysis.is_aggregation and query.analysis.window is not None:
            return query
    return None


def _is_asked_for(window: Window | None, asked: Sequence[WindowChoice]) -> bool:
    if window is None or not asked:
        return window is not None
    return not window.is_session and any((window.size, window.advance) == (w.size, w.advance) for w in asked)
