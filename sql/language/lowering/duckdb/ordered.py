"""The parts of a SELECT over several sources, or over a table, in DuckDB's SQL.

Such a SELECT reads *items*: the records of streams and the changes of tables, in one order. A relation of items has
the columns of :class:`Input`, and:

- ``_n`` and ``_s``: the number of the record that the item comes from, and the item's place within that record
- ``_part``: the record's partition
- ``_time``: ROWTIME (epoch ms)
- ``_gone``: true if the item deletes its key; always false in a stream
- ``_key``: the key, after the first join or for a table. If the source's keys have windows, it is a struct of the key
  and the window's bounds (:func:`windowed_key`)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from opensea_metrics.core.quoting import column as column_of
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering import selects
from opensea_metrics.sql.language.lowering.duckdb.expressions import Lowering
from opensea_metrics.sql.language.lowering.duckdb.selects import (
    joined_columns,
    key_of_join,
    selected,
)
from opensea_metrics.sql.language.lowering.ordered.items import OrderedSyntax, qualified_columns
from opensea_metrics.sql.language.queries.analysis import Analysis

ORDER = ("_n", "_s", "_part", "_time", "_gone")
"""Columns of items in addition to those of their source, and to ``_key``."""
BOUNDS = ("WINDOWSTART", "WINDOWEND")
_PARTITIONS = 1 << 16
_NUMBERS = 1 << 44


@dataclass(frozen=True)
class Input:
    """One source of a SELECT. ``columns`` are names of the source, with their columns in the items.

    ``key_sql`` is a table's key, and ``bounds`` are the columns of the window of a key that has one.
    """

    source: Source
    columns: tuple[tuple[str, str], ...]
    key_sql: str
    bounds: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The columns of the items that come from the source."""
        return [name for _, name in self.columns]


@dataclass(frozen=True)
class StepKeys:
    """The two sides of a join's ON, as SQL."""

    left: str
    right: str


@lru_cache(maxsize=1_000)
def inputs(analysis: Analysis) -> tuple[Input, ...]:
    """The sources of a SELECT, each with the columns that the SELECT reads."""
    read = qualified_columns(analysis)
    result = []
    for alias, source in zip(analysis.aliases, analysis.sources, strict=True):
        keys = [column.name for column in source.columns if column.is_key]
        names = list(source.readable())
        bounds = BOUNDS if source.window else ()
        if analysis.joined:
            needed = {*bounds, *(keys if source.is_table else ())}
            names = [name for name in names if (alias, name) in read or name in needed]
        written = {name: column_of(f"{alias}.{name}" if analysis.joined else name) for name in names}
        window = tuple(written[name] for name in bounds)
        key = _key([written[name] for name in keys]) if source.is_table else "NULL"
        result.append(
            Input(
                source=source,
                columns=tuple(written.items()),
                key_sql=windowed_key(key, window) if source.is_table and window else key,
                bounds=window,
            )
        )
    return tuple(result)


@lru_cache(maxsize=1_000)
def step_keys(analysis: Analysis) -> tuple[StepKeys, ...]:
    """The keys of each join, from left to right."""
    return tuple(StepKeys(left, right) for left, right in _key_sides(analysis))


def _key_sides(analysis: Analysis) -> list[tuple[str, str]]:
    lowering = Lowering(selects.scope_of(analysis), joined_columns(analysis))
    return [(lowering.whole(step.left), lowering.whole(step.right)) for step in analysis.joins]


def rows(analysis: Analysis, items: str) -> str:
    """The relation of items that the SELECT reads, with ROWTIME, ROWPARTITION, ROWOFFSET, and the key of a join."""
    hidden = ["_time AS ROWTIME", "_part AS ROWPARTITION"]
    if analysis.joined:
        hidden.append("_s AS ROWOFFSET")
        if analysis.synthetic:
            hidden.append(f"{key_of_join(analysis)} AS {column_of(analysis.synthetic[0])}")
        if analysis.source.window:
            hidden += [f"_key.{name} AS {name}" for name in BOUNDS]
    else:
        hidden = []
    return f"SELECT {', '.join(['*', *hidden])} FROM ({items})"


def changes(analysis: Analysis, items: str) -> str:
    """The changes of the table that a SELECT without groups defines: its columns, and the order of the items.

    A row that the WHERE clause excludes is deleted.
    """
    fields, columns, kept = selected(analysis)
    relation = rows(analysis, items)
    if fields:
        relation = f"SELECT *, {', '.join(fields)} FROM ({relation})"
    order = f"_n, _s, _part, _time, _gone OR ({kept}) IS NOT TRUE AS _gone"
    return f"SELECT {', '.join([*columns, order])} FROM ({relation})"


def windowed_key(key: str, bounds: Sequence[str]) -> str:
    """A key with the bounds of its window as one value. It is NULL if the key is."""
    start, end = bounds
    return f"CASE WHEN ({key}) IS NOT NULL THEN struct_pack(k := {key}, WINDOWSTART := {start}, WINDOWEND := {end}) END"


def _key(columns: list[str]) -> str:
    """A key of one or several columns as one value. It is NULL if any of them is."""
    if len(columns) == 1:
        return columns[0]
    known = " AND ".join(f"{column} IS NOT NULL" for column in columns)
    return f"CASE WHEN {known} THEN row({', '.join(columns)}) END"


def _place(sources: int, number: int) -> str:
    return f"((_turn::HUGEINT * {sources} + {number}) * {_PARTITIONS} + _part) * {_NUMBERS} + _off"


def _struct(fields: Mapping[str, str]) -> str:
    return f"struct_pack({', '.join(f'{name} := {value}' for name, value in fields.items())})"


SYNTAX = OrderedSyntax(
    column=column_of,
    place=_place,
    struct=_struct,
    last=lambda value: f"last_value({value} IGNORE NULLS)",
    numbered=lambda relation, order: f"SELECT *, row_number() OVER (ORDER BY {order}) AS _off FROM ({relation})",
    key_sides=_key_sides,
)
"""What :mod:`sql.language.lowering.ordered` needs of DuckDB's SQL."""
