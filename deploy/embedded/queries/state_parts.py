"""Merges the parts of states, so that readers have few parts to merge.

Each batch adds a part to a state (:attr:`Grouping.is_in_parts`). When a state has several parts, they become one larger
part. Several of these become an even larger part, and so on. So a value is written again only a few times, however old
its window is, and a key has few parts.

A part that results from merging has the number of its newest change. So readers see no change. All parts of a window
that has ended are merged. So only few windows have parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import duckdb

from opensea_metrics.deploy.embedded.topics.log_tables import state_table
from opensea_metrics.deploy.embedded.topics.positions import KnownPositions, PartSpan
from opensea_metrics.deploy.embedded.topics.state_rows import ranges_of
from opensea_metrics.sql.language.catalog.catalog import Query
from opensea_metrics.sql.language.lowering.duckdb import groupings

MOST = 16
"""Parts of about the same size that are merged."""
MOST_ROWS = 50_000
"""Rows of new parts that are merged, even if the parts are few. More rows are merged in ranges of keys."""
_MOST_RANGES = 16


def note(places: KnownPositions, query_id: str, span: PartSpan) -> None:
    """Note a part that a batch has added to a state.

    The parts from before the server started count as one. Their windows may have ended long before this part's.
    """
    levels = places.parts.setdefault(query_id, [[], [span._replace(number=0, first=0)]])
    levels[0].append(span)


def merge_some(cursor: duckdb.DuckDBPyConnection, queries: Iterable[Query], places: KnownPositions) -> None:
    """Merge parts, within a transaction: those of one state, and those with many rows.

    So a batch with many states does not take long. If the transaction fails, forget all ``places``.
    """
    new = {query: levels[0] for query in queries if (levels := places.parts.get(query.id)) and levels[0]}
    longest = max(new, key=lambda query: len(new[query]), default=None)
    for query, spans in new.items():
        rows = places.end_of_state(cursor, query.id).number - spans[0].number
        if rows >= MOST_ROWS or (query is longest and len(spans) >= MOST):
            _merge(cursor, query, _next(places.parts[query.id]), places)


def _merge(cursor: duckdb.DuckDBPyConnection, query: Query, span: PartSpan, places: KnownPositions) -> None:
    grouping, table, window = groupings.grouping(query.analysis), state_table(query.id), query.analysis.window
    newest = places.end_of_state(cursor, query.id).window
    assert window is not None
    assert newest is not None
    is_open = f"_ws > {newest - window.size}"
    parts = f"FROM {table} WHERE _ws BETWEEN {span.first} AND {span.last}"
    parts += f" AND _ws IN (SELECT _ws FROM {table} WHERE _part)"
    if span.number:
        parts += f" AND (_off >= {span.number} OR NOT {is_open})"
    ranges = (places.end_of_state(cursor, query.id).number - span.number) // MOST_ROWS
    for number, merged in enumerate(ranges_of(grouping, f"SELECT * {parts}", min(ranges, _MOST_RANGES))):
        into = "INSERT INTO merged_parts BY NAME" if number else "CREATE OR REPLACE TEMP TABLE merged_parts AS"
        cursor.execute(f"{into} {merged}")
    cursor.execute(f"DELETE {parts}")
    part = is_open if span.number else "false"
    cursor.execute(f"INSERT INTO {table} BY NAME SELECT *, {part} AS _part FROM merged_parts ORDER BY _off")


def _next(levels: list[list[PartSpan]]) -> PartSpan:
    """The parts to merge. Afterwards, ``levels`` has one part instead of them."""
    span = _together(levels[0])
    levels[0] = []
    for number in range(1, len(levels)):
        if len(levels[number]) + 1 < MOST:
            levels[number].append(span)
            return span
        span = _together([*levels[number], span])
        levels[number] = []
    levels.append([span])
    return span


def _together(spans: Sequence[PartSpan]) -> PartSpan:
    first, last = min(span.first for span in spans), max(span.last for span in spans)
    return PartSpan(spans[0].number, first, last)
