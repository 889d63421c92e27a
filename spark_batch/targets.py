"""The tables that a run was asked for, and the windows of their rows. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.spark_batch.period import WindowChoice, choice
from opensea_metrics.spark_batch.query_graph import grouping_of, window_of_rows, writers_of
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.sources import Source, Window
from opensea_metrics.sql.language.project.project import Project

LONG_FORM = ("global", "collections")
"""The kinds of streams of the long form."""


class TargetError(OpenSeaMetricsError):
    """A requested table is not in the project, or cannot be computed from the archive."""


def choose(project: Project, catalog: Catalog, wanted: str, windows: Sequence[WindowChoice]) -> list[str]:
    """The names of the tables and streams for ``global``, ``collections``, ``all`` or a name.

    ``global`` and ``collections`` stand for the tables from which the long-form topic of that name is computed.
    ``all`` stands for every table of the given windows, or of any windows if none are given. Raises TargetError.
    """
    tables = [
        source.name
        for source in catalog.sources.values()
        if source.is_table and _is_asked_for(window_of_rows(catalog, source.topic), windows)
    ]
    name = wanted.lower()
    if name == "all" and tables:
        return tables
    if name in LONG_FORM:
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
    if exact and writers_of(catalog, exact.topic):
        own = window_of_rows(catalog, exact.topic)
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


def long_form_of(project: Project, catalog: Catalog, wanted: str) -> list[str]:
    """The names of the long-form streams for ``global``, ``collections`` or ``all``. Raises TargetError."""
    kinds = LONG_FORM if wanted.lower() == "all" else (wanted.lower(),)
    topics = {project.settings.get(f"{kind}_topic") for kind in kinds}
    names = [source.name for source in catalog.sources.values() if source.topic in topics]
    if not names:
        raise TargetError(f"{wanted} has no long form: choose global, collections or all")
    return names


def windows_of(catalog: Catalog, names: Sequence[str]) -> list[WindowChoice]:
    """The kinds of windows of some tables, without duplicates. Sessions have no fixed size, and are left out."""
    windows = (window_of_rows(catalog, catalog.sources[name].topic) for name in names)
    return list(dict.fromkeys(choice(w.size, w.advance) for w in windows if w and not w.is_session))


def window_of(catalog: Catalog, table: Source) -> tuple[Window, int | None] | None:
    """The windows of a table's rows, and how long a server keeps them (ms, None if the statement does not say)."""
    query = grouping_of(catalog, table.topic)
    if query is None or query.analysis.window is None:
        return None
    for node in query.analysis.statement.ast.walk():
        if (retention := node.args.get("retention")) is not None:
            return query.analysis.window, int(retention.this)
    return query.analysis.window, None


def _is_asked_for(window: Window | None, asked: Sequence[WindowChoice]) -> bool:
    if window is None or not asked:
        return window is not None
    return not window.is_session and any((window.size, window.advance) == (w.size, w.advance) for w in asked)
