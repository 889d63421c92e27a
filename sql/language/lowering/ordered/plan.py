"""The path of items through the joins of a SELECT, as relations. Each relation reads earlier ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from opensea_metrics.core.types import name_of
from opensea_metrics.sql.language.lowering.ordered import tables
from opensea_metrics.sql.language.lowering.ordered.items import (
    ORDER,
    ItemRelation,
    OrderedSyntax,
    inputs,
    items,
)
from opensea_metrics.sql.language.lowering.ordered.stream_stream import WithinJoin
from opensea_metrics.sql.language.lowering.ordered.tables import FOREIGN
from opensea_metrics.sql.language.queries.analysis import Analysis
from opensea_metrics.sql.language.statements.statements import Kind


@dataclass(frozen=True)
class ItemPlan:
    """The relations of a SELECT with their SQL, in order, and the last one: its items after all joins."""

    steps: tuple[tuple[str, str], ...]
    result: ItemRelation


def planned(syntax: OrderedSyntax, analysis: Analysis, rows: Sequence[str], prefix: str) -> ItemPlan:
    """The plan of a SELECT over several sources, or over a table.

    ``rows`` are the relations of the rows of its sources (see :mod:`items`). The names of the plan's relations
    begin with ``prefix`` and need no quotes.
    """
    steps: list[tuple[str, str]] = []
    sides: list[ItemRelation] = []
    for number, (source, relation) in enumerate(zip(inputs(syntax, analysis), rows, strict=True)):
        name = f"{prefix}_items_{number}"
        steps.append((name, items(syntax, analysis, number, relation)))
        sides.append(ItemRelation(name, source.names, source.source.is_table))
    left = sides[0]
    keys = syntax.key_sides(analysis)
    for number in range(len(analysis.joins)):
        joined = list(_join(syntax, analysis, number, left, sides[number + 1], keys[number], f"{prefix}_{number}"))
        steps += joined
        names = tuple(name for name in left.names if name != FOREIGN) + sides[number + 1].names
        left = ItemRelation(joined[-1][0], names, left.is_table)
    return ItemPlan(tuple(steps), left)


def relation(syntax: OrderedSyntax, analysis: Analysis, table: str) -> str:
    """The rows that a SELECT reads from the relation ``table`` of items, with ROWTIME and the key that joins add."""
    if not analysis.joined:
        return f"SELECT * FROM {table}"
    hidden = ["_time AS ROWTIME"]
    if analysis.synthetic:
        hidden.append(f"_key AS {syntax.column(analysis.synthetic[0])}")
    return f"SELECT *, {', '.join(hidden)} FROM {table}"


def _join(
    syntax: OrderedSyntax,
    analysis: Analysis,
    number: int,
    left: ItemRelation,
    right: ItemRelation,
    keys: tuple[str, str],
    prefix: str,
) -> Iterator[tuple[str, str]]:
    step = analysis.joins[number]
    if not left.is_table and not step.keeps_key:
        of_left, left = _keyed(left, keys[0]), replace(left, table=f"{prefix}_left")
        yield left.table, of_left
    elif step.is_foreign:
        of_left = f"SELECT *, {keys[0]} AS {FOREIGN} FROM {left.table}"
        left = ItemRelation(f"{prefix}_left", (*left.names, FOREIGN), is_table=True)
        yield left.table, of_left
    if not right.is_table:
        of_right, right = _keyed(right, keys[1]), replace(right, table=f"{prefix}_right")
        yield right.table, of_right
    if step.window is not None:
        by_partition = joins_within_partitions(analysis, number)
        yield from WithinJoin(left, right, step.window, step.side, by_partition, prefix).steps()
    elif not left.is_table:
        yield prefix, tables.stream_table(syntax, left, right, step.side == "LEFT")
    elif step.is_foreign:
        yield prefix, tables.foreign(left, right, step.side == "LEFT")
    else:
        yield prefix, tables.table_table(syntax, left, right, step.side)


def _keyed(side: ItemRelation, key: str) -> str:
    """Items of a stream with the key of a join."""
    return f"SELECT {', '.join([*side.names, *ORDER])}, {key} AS _key FROM {side.table}"


def joins_within_partitions(analysis: Analysis, number: int) -> bool:
    """True if the rows of a join of streams match only within a partition.

    This holds if neither side must be repartitioned and no query has written either side. ksqlDB writes all rows of
    one key into one partition. Here rows keep the partitions of their original records.
    """
    step = analysis.joins[number]
    own = []
    for alias, source, side in zip(analysis.aliases, analysis.sources, (step.left, step.right), strict=False):
        keys = [column.name for column in source.columns if column.is_key]
        named = (name_of(side.args["table"]), name_of(side.this)) if side.args.get("table") else None
        is_declared = source.statement.kind is Kind.CREATE_STREAM
        own.append(is_declared and [named] == [(alias, key) for key in keys])
    return number == 0 and all(own)
