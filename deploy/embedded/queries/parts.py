"""Merges the parts of states, so that readers have few parts to merge.

Each batch adds a part to a state (:attr:`Grouping.is_in_parts`). When a state has several parts, they become one larger
part. Several of these become an even larger part, and so on. So a value is written again only a few times, however old
its window is, and a key has few parts.

A part that results from merging has the number of its newest change. So readers see no change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import duckdb

from opensea_metrics.deploy.embedded.topics.log_tables import state_table
from opensea_metrics.deploy.embedded.topics.positions import KnownPositions, PartSpan
from opensea_metrics.sql.language.catalog.catalog import Query
from opensea_metrics.sql.language.lowering.duckdb import selects

MOST = 16
"""Parts of about the same size that are merged."""


def note(places: KnownPositions, query_id: str, span: PartSpan) -> None:
    """Note a part that a batch has added to a state.

    The parts from before the server started count as one.
    """
    levels = places.parts.setdefault(query_id, [[], [span._replace(number=0)]])
    levels[0].append(span)


def merge_some(cursor: duckdb.DuckDBPyConnection, queries: Iterable[Query], places: KnownPositions) -> None:
    """Merge parts of one state, within a transaction. So a batch with many states does not take long.

    If the transaction fails, forget all ``places``.
    """
    due = [query for query in queries if len(places.parts.get(query.id, [()])[0]) >= MOST]
    if not due:
        return
    query = max(due, key=lambda query: len(places.parts[query.id][0]))
    span = _next(places.parts[query.id])
    grouping, table = selects.grouping(query.analysis), state_table(query.id)
    parts = f"FROM {table} WHERE _off >= {span.number} AND _ws BETWEEN {span.first} AND {span.last}"
    cursor.execute(f"CREATE OR REPLACE TEMP TABLE merged_parts AS {grouping.of_parts(f'SELECT * {parts}')}")
    cursor.execute(f"DELETE {parts}")
    cursor.execute(f"INSERT INTO {table} BY NAME SELECT * FROM merged_parts ORDER BY _off")


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
