"""Slices: groups that differ in nothing but their windows are computed once, and merged upwards.

The rows of state of a small window are slices of every larger window whose bounds are among its own. So one pass over
the records gives the smallest window's rows, and the larger windows need these rows only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from opensea_metrics.sql.language.catalog.catalog import Query
from opensea_metrics.sql.language.catalog.sources import Window
from opensea_metrics.sql.language.lowering.duckdb import selects
from opensea_metrics.sql.language.lowering.duckdb.selects import Grouping


@dataclass(frozen=True)
class SlicedQuery:
    """A query that groups, with its temporary table ``delta`` of the rows of state that a batch gives.

    ``slices`` is another query's ``delta``, from which its own can be merged. None: it needs the records.
    """

    query: Query
    grouping: Grouping
    delta: str
    slices: str | None


def sliced(queries: Iterable[Query]) -> Iterator[SlicedQuery]:
    """The queries in an order in which each query comes after the one whose slices it merges.

    A name of a ``delta`` is used again when no later query needs its slices.
    """
    alike: dict[object, list[Query]] = {}
    for query in queries:
        alike.setdefault(_but_for_its_window(query), []).append(query)
    for group in alike.values():
        before: list[tuple[Window, str]] = []
        for query in sorted(group, key=_size):
            window, delta = query.analysis.window, f"delta_{len(before)}" if before else "delta"
            fitting = [name for smaller, name in before if window is not None and _is_cut_by(window, smaller)]
            yield SlicedQuery(query, selects.grouping(query.analysis), delta, fitting[-1] if fitting else None)
            if window is not None:
                before.append((window, delta))


def _but_for_its_window(query: Query) -> object:
    """Equal for queries whose rows of state can be merged from each other's. No other query's for the rest."""
    analysis, grouping = query.analysis, selects.grouping(query.analysis)
    window = analysis.window
    if window is None or window.is_session or analysis.emit == "FINAL" or grouping.is_ordered:
        return query.id
    return analysis.source, grouping.key_sql, grouping.where_sql, grouping.accumulators


def _size(query: Query) -> int:
    return query.analysis.window.size if query.analysis.window else 0


def _is_cut_by(window: Window, smaller: Window) -> bool:
    """True if the bounds of all windows are bounds of smaller, tumbling windows."""
    return (
        smaller.advance == smaller.size
        and smaller.origin == window.origin
        and window.size % smaller.size == 0
        and window.advance % smaller.size == 0
    )
