"""The pieces of DuckDB's SQL that the lowering of ordered queries (:mod:`sql.language.lowering.ordered`) needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opensea_metrics.core.quoting import column
from opensea_metrics.sql.language.lowering import selects
from opensea_metrics.sql.language.lowering.duckdb.expressions import Lowering
from opensea_metrics.sql.language.lowering.duckdb.selects import joined_columns
from opensea_metrics.sql.language.lowering.ordered.items import OrderedSyntax
from opensea_metrics.sql.language.queries.analysis import Analysis

_PARTITIONS = 1 << 16
_NUMBERS = 1 << 44


def _place(sources: int, number: int) -> str:
    return f"((_turn::HUGEINT * {sources} + {number}) * {_PARTITIONS} + _part) * {_NUMBERS} + _off"


def _struct(fields: Mapping[str, str]) -> str:
    return f"struct_pack({', '.join(f'{name} := {value}' for name, value in fields.items())})"


def _key_sides(analysis: Analysis) -> Sequence[tuple[str, str]]:
    lowering = Lowering(selects.scope_of(analysis), joined_columns(analysis))
    return [(lowering.whole(step.left), lowering.whole(step.right)) for step in analysis.joins]


ITEMS = OrderedSyntax(
    column=column,
    place=_place,
    struct=_struct,
    last=lambda value: f"last_value({value} IGNORE NULLS)",
    numbered=lambda relation, order: f"SELECT *, row_number() OVER (ORDER BY {order}) AS _off FROM ({relation})",
    key_sides=_key_sides,
)
