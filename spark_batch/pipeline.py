"""From a catalog to what has to be computed, and in which order. Pure.

A query reads a topic: the archive's (``raw``), or one that other queries write. Selections row by row
are put into the queries that read them; what is left are groupings, of two kinds: the ``first`` ones
are made of the archive's records in one pass, the ``later`` ones of the rows of other groupings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.spark_batch.narrowing import narrowed, paths_read
from opensea_metrics.spark_batch.period import Period, WindowChoice, choice
from opensea_metrics.sql.language.catalog.catalog import Catalog, Query
from opensea_metrics.sql.language.catalog.sources import Source, Window
from opensea_metrics.sql.language.project.project import Project
from opensea_metrics.sql.language.queries.analysis import makes_rows


class TargetError(OpenSeaMetricsError):
    """What was asked for is not in the project, or cannot be made of the archive."""


@dataclass(frozen=True)
class Pipeline:
    """What has to be computed.

    ``raw_topic`` is the archive's; ``selections`` are the queries that read it row by row, ``first`` and
    ``later`` the groupings in order; ``targets`` are the tables and streams that were asked for.
    """

    catalog: Catalog
    raw_topic: str
    selections: tuple[Query, ...]
    first: tuple[Query, ...]
    later: tuple[Query, ...]
    targets: tuple[Source, ...]

    def writers(self, topic: str) -> list[Query]:
        """The queries that write a topic."""
        return _writers(self.catalog, topic)

    def readers(self, topic: str) -> list[Query]:
        """The queries that read a topic."""
        return [q for q in self.catalog.queries.values() if q.analysis.source.topic == topic]

    def raw_sources(self) -> list[Source]:
        """The streams declared over the archive that are read."""
        return _raw_sources(self.catalog, self.raw_topic)

    def leaves(self) -> set[str]:
        """The fields of the archive's records that are read, by their paths (payload.sent_at)."""
        return {
            path
            for query in self.catalog.queries.values()
            if query.analysis.source.topic == self.raw_topic
            for path in paths_read(query.analysis)
        }

    def reading(self, source: Source, among: Sequence[Query]) -> list[Query]:
        """Those of some queries that read a source."""
        return [query for query in among if query.analysis.source.name == source.name]

    def is_kept(self, source: Source) -> bool:
        """Whether a source's records are kept as they are decoded: several queries read them, or one
        that leaves some out or makes more of them, which are counted as they are all the same."""
        readers = self.reading(source, (*self.selections, *self.first))
        return len(readers) > 1 or any(
            query in self.first
            or query.analysis.where is not None
            or any(makes_rows(each.expression) for each in query.analysis.projections)
            for query in readers
        )


def choose(project: Project, catalog: Catalog, wanted: str, windows: Sequence[WindowChoice]) -> list[str]:
    """The names of the tables and streams that ``global``, ``collections``, ``all`` or a name means.

    ``global`` and ``collections`` are the tables that the long-form topic of that name is made of,
    ``all`` every table of the windows (without any: of all windows). Raises TargetError.
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
        if chosen := [each for each in tables if catalog.sources[each].topic in read]:
            return chosen
    known = {name.upper(): source for name, source in catalog.sources.items()}
    exact = known.get(wanted.upper())
    if exact and _writers(catalog, exact.topic):
        own = _window(catalog, exact.topic)
        if own and not _is_asked_for(own, windows):
            own_text = choice(own.size, own.advance).text
            raise TargetError(
                f"{exact.name} has a window of its own, {own_text}: leave --window and --slide out"
            )
        return [exact.name]
    raise TargetError(
        f"there is no table '{wanted}' for this window. There are: global, collections, all, "
        + ", ".join(each.lower() for each in tables)
    )


def windows_of(catalog: Catalog, names: Sequence[str]) -> list[WindowChoice]:
    """The kinds of windows that some tables have, each once."""
    windows = (_window(catalog, catalog.sources[name].topic) for name in names)
    return list(dict.fromkeys(choice(w.size, w.advance) for w in windows if w))


def plan(catalog: Catalog, names: Sequence[str], raw_topic: str, period: Period) -> Pipeline:
    """What has to be computed for some tables and streams, its windows counted as the period says.

    Raises TargetError if one of them reads another topic than the archive's, takes its time from
    elsewhere than the records, or is no more than the records themselves.
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
            raise TargetError(f"{name} has a row for each event: recompute gives tables of groups")
    selections: list[Query] = []
    first: list[Query] = []
    later: list[Query] = []
    for query in reduced.queries.values():
        if query.analysis.is_aggregation:
            (first if _is_of_raw(reduced, query) else later).append(query)
        elif query.analysis.source.topic == raw_topic:
            selections.append(query)
    for source in _raw_sources(reduced, raw_topic):
        if source.timestamp is None:
            raise TargetError(
                f"{source.name} takes its time from Kafka, which files do not hold: declare it WITH "
                "(TIMESTAMP='…')"
            )
    return Pipeline(
        catalog=reduced,
        raw_topic=raw_topic,
        selections=tuple(selections),
        first=tuple(first),
        later=tuple(later),
        targets=targets,
    )


def window_of(pipeline: Pipeline, table: Source) -> tuple[Window, int | None] | None:
    """The windows of a table's rows, and how long a server keeps them (ms, None if not said)."""
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
    found = {
        query.analysis.source.name: query.analysis.source
        for query in catalog.queries.values()
        if query.analysis.source.topic == topic
    }
    return list(found.values())


def _need(catalog: Catalog, topic: str, raw: str, wanted: str, needed: set[str]) -> None:
    writers = _writers(catalog, topic)
    if not writers and topic != raw:
        raise TargetError(f"{wanted} reads the topic {topic}, which is not in this archive of {raw}")
    for query in writers:
        if query.id not in needed:
            needed.add(query.id)
            for source in _sources(query):
                _need(catalog, source.topic, raw, wanted, needed)


def _sources(query: Query) -> Iterator[Source]:
    yield query.analysis.source
    yield from query.analysis.joined


def _is_of_raw(catalog: Catalog, query: Query) -> bool:
    """Whether a query's rows come from the archive without a grouping in between."""
    return all(
        not writer.analysis.is_aggregation and _is_of_raw(catalog, writer)
        for writer in _writers(catalog, query.analysis.source.topic)
    )


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
    """The query whose windows the rows of a topic have: what is made of a grouping has its windows,
    though it may say others (those over the changes of hopping windows tumble)."""
    for query in _writers(catalog, topic):
        found = _grouping(catalog, query.analysis.source.topic)
        if found is not None:
            return found
        if query.analysis.is_aggregation and query.analysis.window is not None:
            return query
    return None


def _is_asked_for(window: Window | None, asked: Sequence[WindowChoice]) -> bool:
    if window is None or not asked:
        return window is not None
    return any((window.size, window.advance) == (w.size, w.advance) for w in asked)
