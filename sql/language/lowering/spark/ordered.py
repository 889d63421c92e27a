"""The pieces of Spark's SQL that the lowering of ordered queries (:mod:`sql.language.lowering.ordered`) needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opensea_metrics.core.quoting import spark_column
from opensea_metrics.sql.language.lowering import selects
from opensea_metrics.sql.language.lowering.ordered.items import OrderedSyntax
from opensea_metrics.sql.language.lowering.spark.expressions import SparkLowering
from opensea_metrics.sql.language.lowering.spark.selects import joined_columns
from opensea_metrics.sql.language.queries.analysis import Analysis


def _place(sources: int, number: int) -> str:
    return _struct({"t": "_turn", "s": f"CAST({number} AS INT)", "p": "CAST(_part AS INT)", "o": "_off"})


def _struct(fields: Mapping[str, str]) -> str:
    pairs = ", ".join(f"'{name}', {value}" for name, value in fields.items())
    return f"named_struct({pairs})"


def _key_sides(analysis: Analysis) -> Sequence[tuple[str, str]]:
    lowering = SparkLowering(selects.scope_of(analysis), joined_columns(analysis))
    return [(lowering.value(step.left), lowering.value(step.right)) for step in analysis.joins]


def _numbered(relation: str, order: str) -> str:
    """The numbers grow along the sorted partitions, so that one task need not have all rows."""
    return f"SELECT *, monotonically_increasing_id() AS _off FROM (SELECT * FROM ({relation}) ORDER BY {order})"


SYNTAX = OrderedSyntax(
    column=spark_column,
    place=_place,
    struct=_struct,
    last=lambda value: f"last_value({value}, true)",
    numbered=_numbered,
    key_sides=_key_sides,
)
