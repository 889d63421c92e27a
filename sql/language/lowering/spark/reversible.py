"""ksqlDB's aggregates over a table in Spark's SQL. When a row changes, they remove its old value.

Their rows have a column ``_sign``: 1 for a value to add, -1 for a value to remove.
"""

from __future__ import annotations

from sqlglot import exp

from opensea_metrics.core.types import DecimalType, KsqlType, spark
from opensea_metrics.sql.language.lowering.spark.aggregates import added, aggregate
from opensea_metrics.sql.language.lowering.spark.expressions import SparkLowering


def reversible(call: exp.Anonymous, lowering: SparkLowering, state: str, over: str = "") -> tuple[str, str]:
    """The aggregate of one call over the changes of a table, and the SQL of the result, as for ``aggregate``.

    Raises SqlError for an aggregate that cannot remove values, or not exactly.
    """
    name = str(call.this).upper()
    aggregate(call, lowering, state)  # raises SqlError for arguments that Spark does not support
    arguments = list(call.expressions)
    star = not arguments or isinstance(arguments[0], exp.Star)
    value = "1" if star else lowering.value(arguments[0])
    counted = f"CAST(sum(CASE WHEN ({value}) IS NOT NULL THEN _sign ELSE 0 END){over} AS BIGINT)"
    if name == "COUNT":
        return counted, state
    if name == "SUM":
        return _summed(value, lowering.type_of(call)) + over, added(lowering.type_of(call), state)
    if name == "SUM_LIST":
        start = f"CAST(0 AS {spark(lowering.type_of(call))})"
        value = f"aggregate(filter({value}, _x -> _x IS NOT NULL), {start}, (_x, _y) -> _x + _y)"
        return _summed(value, lowering.type_of(call)) + over, added(lowering.type_of(call), state)
    if name == "AVG":
        kind = lowering.type_of(arguments[0])
        total = f"CAST({added(kind, f'{state}.s')} AS DOUBLE)"
        both = f"named_struct('s', {_summed(value, kind)}{over}, 'n', {counted})"
        return both, f"CASE WHEN {state}.n > 0 THEN {total} / {state}.n ELSE CAST(0 AS DOUBLE) END"
    raise lowering.refused(call, f"{name} over a table")


def _summed(value: str, kind: KsqlType) -> str:
    if isinstance(kind, DecimalType):
        return f"sum(CASE WHEN _sign > 0 THEN {value} ELSE -({value}) END)"
    return f"sum(({value}) * _sign)"
