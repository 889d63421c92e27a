"""The items of a SELECT over several sources, or over a table: records of streams and changes of tables, in one order.

A relation of rows has the columns of a source under the engine's names, and:

- ROWTIME (epoch ms)
- ``_off``: the record's number, which grows in the order in which a server reads the source
- ``_part``: the record's partition
- ``_gone``: true if the row deletes its key (only of a table)

A relation of items has the columns of :class:`ItemInput`, and ``_n``, ``_s``, ``_part``, ``_time``, ``_gone`` and
``_key``, as :mod:`sql.language.lowering.duckdb.ordered` describes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from opensea_metrics.core.types import name_of
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.queries.analysis import Analysis

ORDER = ("_n", "_s", "_part", "_time", "_gone")
"""Columns of items in addition to those of their source, and to ``_key``."""
_OF_RECORDS = ("ROWPARTITION", "ROWOFFSET")


@dataclass(frozen=True)
class OrderedSyntax:
    """The pieces of an engine's SQL that the lowering of ordered queries needs.

    ``column`` writes a column's name. ``place`` is the value that orders the items of all sources. Its arguments are
    the number of sources and the number of the item's source. The value depends on ``_turn``, ``_part`` and ``_off``.
    ``struct`` packs values under field names. ``last`` is the last value that is not NULL, as a window function.
    ``numbered`` adds ``_off`` to a relation, in the order of some columns. ``key_sides`` are the two sides of the ON of
    each join.
    """

    column: Callable[[str], str]
    place: Callable[[int, int], str]
    struct: Callable[[Mapping[str, str]], str]
    last: Callable[[str], str]
    numbered: Callable[[str, str], str]
    key_sides: Callable[[Analysis], Sequence[tuple[str, str]]]


@dataclass(frozen=True)
class ItemInput:
    """One source of a SELECT. ``columns`` are names of the source, with their columns in the items."""

    source: Source
    columns: tuple[tuple[str, str], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of the items that come from the source."""
        return tuple(name for _, name in self.columns)


@dataclass(frozen=True)
class ItemRelation:
    """A relation of items as the name of a view or table. ``names`` are the columns that come from sources."""

    table: str
    names: tuple[str, ...]
    is_table: bool


def qualified_columns(analysis: Analysis) -> set[tuple[str, str]]:
    """The columns that a SELECT with joins reads, by alias and name."""
    read = [projection.expression for projection in analysis.projections]
    read += [*analysis.group, *analysis.partition]
    read += [clause for clause in (analysis.where, analysis.having) if clause is not None]
    for step in analysis.joins:
        read += [step.left, step.right]
    return {
        (name_of(column.args["table"]), name_of(column.this))
        for expression in read
        for column in expression.find_all(exp.Column)
        if column.args.get("table")
    }


def names_read(analysis: Analysis, number: int) -> list[str]:
    """The columns of source ``number`` that its items have: those that the SELECT reads, and a table's key.

    Without a join these are all columns. ROWPARTITION and ROWOFFSET are not among them.
    """
    alias, source = analysis.aliases[number], analysis.sources[number]
    keys = [column.name for column in source.columns if column.is_key]
    headers = [column.name for column in source.columns if column.is_header]
    names = [name for name in source.readable() if name not in (*_OF_RECORDS, *headers)]
    if not analysis.joined:
        return names
    read = qualified_columns(analysis)
    return [name for name in names if (alias, name) in read or (source.is_table and name in keys)]


def inputs(syntax: OrderedSyntax, analysis: Analysis) -> tuple[ItemInput, ...]:
    """The sources of a SELECT, each with the columns that the SELECT reads."""
    return tuple(
        ItemInput(
            source,
            tuple(
                (name, syntax.column(f"{alias}.{name}" if analysis.joined else name))
                for name in names_read(analysis, number)
            ),
        )
        for number, (alias, source) in enumerate(zip(analysis.aliases, analysis.sources, strict=True))
    )


def items(syntax: OrderedSyntax, analysis: Analysis, number: int, rows: str) -> str:
    """The items of source ``number`` from its rows.

    The records of a partition keep their order, so the turn of a record is the greatest time in its partition so far.
    The item with the least turn comes first. If turns are equal, the first source comes first. A table's record
    without a key advances the time of its partition, but it is not an item.
    """
    source = inputs(syntax, analysis)[number]
    columns = [f"{syntax.column(name)} AS {written}" for name, written in source.columns]
    gone = "_gone" if source.source.is_table else "false AS _gone"
    turn = "max(ROWTIME) OVER (PARTITION BY _part ORDER BY _off ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    place = syntax.place(len(analysis.sources), number)
    order = [f"{place} AS _n", "CAST(0 AS BIGINT) AS _s", "_part", "ROWTIME AS _time", gone]
    turned = f"SELECT *, {turn} AS _turn FROM ({rows})"
    if not source.source.is_table:
        return f"SELECT {', '.join([*columns, *order])} FROM ({turned})"
    keys = [syntax.column(column.name) for column in source.source.columns if column.is_key]
    known = " AND ".join(f"{key} IS NOT NULL" for key in keys)
    return f"SELECT {', '.join([*columns, *order, f'{_key(syntax, keys)} AS _key'])} FROM ({turned}) WHERE {known}"


def _key(syntax: OrderedSyntax, columns: list[str]) -> str:
    """A key of one or several columns as one value."""
    if len(columns) == 1:
        return columns[0]
    return syntax.struct({f"k{number}": column for number, column in enumerate(columns)})
