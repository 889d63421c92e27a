"""ksqlDB's aggregates over a table. When a row changes, they remove its old value.

Their rows have a column ``_sign``: 1 for a value to add, -1 for a value to remove.
"""

from __future__ import annotations

from sqlglot import exp

from opensea_metrics.core.types import DOUBLE, DecimalType, KsqlType, duckdb
from opensea_metrics.sql.language.lowering.duckdb.aggregates import (
    Accumulator,
    Aggregate,
    aggregate,
)
from opensea_metrics.sql.language.lowering.duckdb.expressions import Lowering
from opensea_metrics.sql.language.lowering.duckdb.statistics import correlation, variance_of


def reversible(call: exp.Anonymous, lowering: Lowering) -> Aggregate:
    """The accumulators of one call over the changes of a table.

    Raises SqlError for an aggregate that the embedded server cannot compute exactly.
    """
    name = str(call.this).upper()
    given = aggregate(call, lowering)
    arguments = list(call.expressions)
    star = not arguments or isinstance(arguments[0], exp.Star)
    value = "1" if star else lowering.whole(arguments[0])
    if name == "COUNT":
        return _with_partials(given, _counted(value))
    if name == "SUM":
        return _with_partials(given, _summed(value, lowering.type_of(call)))
    if name == "AVG":
        return _with_partials(given, _summed(value, lowering.type_of(arguments[0])), _counted(value))
    if name == "SUM_LIST":
        return _with_partials(given, _summed(f"list_sum({value})", lowering.type_of(call)))
    if name == "CORRELATION":
        partial = correlation("_sign").partial.format(value, lowering.whole(arguments[1]))
        return _with_partials(given, partial)
    if name in _OF_LISTS:
        if name == "ATTR":
            value = lowering.normal(lowering.type_of(arguments[0]), value)
        return _listed(value, _OF_LISTS[name])
    raise lowering.refused(call, f"{name} over a table")


def _with_partials(given: Aggregate, *partials: str) -> Aggregate:
    parts = (
        Accumulator(partial, part.merge, part.tidy)
        for partial, part in zip(partials, given.accumulators, strict=True)
    )
    return Aggregate(tuple(parts), given.finish)


def _counted(value: str) -> str:
    return f"CAST(sum(CASE WHEN ({value}) IS NOT NULL THEN _sign ELSE 0 END) AS BIGINT)"


def _summed(value: str, kind: KsqlType) -> str:
    if kind == DOUBLE:
        return f"sum(({value}) * _sign)"
    if isinstance(kind, DecimalType):
        exact = f"CAST({value} AS {duckdb(kind)})"
        return f"sum(CASE WHEN _sign > 0 THEN {exact} ELSE -{exact} END)"
    return f"sum(CAST({value} AS HUGEINT) * _sign)"


_VALUES = "list_transform(list_filter({a}, lambda _e: _e.comes), lambda _e: _e.value)"
_KNOWN = "list_filter(" + _VALUES + ", lambda _e: _e IS NOT NULL)"
_TEXTS = "list_transform(" + _VALUES + ", lambda _e: coalesce(_e, 'null'))"
_DIFFERENT = "list_distinct(list_transform(" + _VALUES + ", lambda _e: struct_pack(v := _e)))"
_OF_LISTS = {
    "ATTR": f"CASE WHEN len({_DIFFERENT}) = 1 THEN {_DIFFERENT}[1].v END",
    "COLLECT_LIST": f"{_VALUES}[1:1000]",
    "HISTOGRAM": (
        f"map_from_entries(counts_of(first_occurrences({_TEXTS}), map_entries(list_aggregate({_TEXTS}, 'histogram'))))"
    ),
    "STDDEV_SAMP": variance_of(_KNOWN),
    "STDDEV_SAMPLE": f"sqrt({variance_of(_KNOWN)})",
}
"""Results that follow from the values that a group has, in the order in which they came."""


def _listed(value: str, finish: str) -> Aggregate:
    """The values in the order in which they came. One that goes out takes the last equal value with it.

    The accumulator is a list of values that came in, after values that went out and have not met an equal one yet.
    """
    ordered = f"list({{'comes': _sign > 0, 'value': {value}}} ORDER BY _off)"
    return Aggregate((Accumulator(ordered, "flatten(list({a} ORDER BY {src}))", "matched({a})"),), finish)
