"""The rows of an aggregation's state, as its readers see them: one for each key and window.

A state may have several rows for a key and window (:attr:`Grouping.is_in_parts`). Readers merge these parts. Only
windows with rows in which ``_part`` is true have such keys. The rows of other windows are read without merging, because
DuckDB cannot keep the lists of a whole table in memory.
"""

from __future__ import annotations

from opensea_metrics.deploy.embedded.topics.log_tables import state_table
from opensea_metrics.sql.language.catalog.catalog import Query
from opensea_metrics.sql.language.lowering.duckdb import groupings
from opensea_metrics.sql.language.lowering.duckdb.groupings import Grouping

_RANGES = 8
"""Ranges of keys in which whole tables are read."""


def rows(query: Query, low: int | None = None, high: int | None = None, keys: str | None = None) -> str:
    """The rows whose last change has a number in [low, high).

    ``keys`` is a SELECT of the values of the only group key whose rows are needed.
    """
    grouping, table = groupings.grouping(query.analysis), state_table(query.id)
    wanted = f" WHERE _k0 IN ({keys})" if keys else ""
    if not grouping.is_in_parts:
        rows = f"SELECT * FROM {table}{between(low, high)}"
        return f"SELECT * FROM ({rows}){wanted}" if wanted else rows
    rows = f"SELECT * EXCLUDE (_part) FROM {table}{wanted}"
    in_parts = f"(SELECT DISTINCT _ws FROM {table} WHERE _part) USING (_ws)"
    whole = f"SELECT * FROM ({rows}) ANTI JOIN {in_parts}{between(low, high)}"
    parts = f"SELECT * FROM ({rows}) SEMI JOIN {in_parts}"
    if low:
        own = ", ".join(grouping.keys)
        parts = f"SELECT * FROM ({parts}) SEMI JOIN (SELECT {own} FROM {table} WHERE _off >= {low}) USING ({own})"
    merged = " UNION ALL BY NAME ".join(ranges_of(grouping, parts, 1 if keys or low else _RANGES))
    merged = f"SELECT * FROM ({merged}){between(None, high)}"
    return f"SELECT * FROM ({whole}) UNION ALL BY NAME {merged}"


def ranges_of(grouping: Grouping, parts: str, count: int) -> list[str]:
    """The rows that parts become, in ranges of keys: DuckDB has to keep the lists of a range in memory."""
    if count <= 1:
        return [grouping.of_parts(parts)]
    range_of = f"hash({', '.join(grouping.keys)}) % {count}"
    return [grouping.of_parts(f"SELECT * FROM ({parts}) WHERE {range_of} = {number}") for number in range(count)]


def numbers(query: Query) -> str:
    """The numbers of the last changes of all rows, as ``_off``."""
    grouping, table = groupings.grouping(query.analysis), state_table(query.id)
    if not grouping.is_in_parts:
        return f"SELECT _off FROM {table}"
    return f"SELECT max(_off) AS _off FROM {table} GROUP BY {', '.join(grouping.keys)}"


def between(low: int | None, high: int | None) -> str:
    """A WHERE clause for numbers in [low, high). It is empty without bounds."""
    bounds = []
    if low:
        bounds.append(f"_off >= {low}")
    if high is not None:
        bounds.append(f"_off < {high}")
    return f" WHERE {' AND '.join(bounds)}" if bounds else ""
