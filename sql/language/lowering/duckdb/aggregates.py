"""ksqlDB's aggregate functions as DuckDB expressions that can be computed in parts.

An aggregate has accumulators: columns of the aggregation's state. ``partial`` computes an accumulator from rows,
and ``merge`` from several accumulators. Both are DuckDB aggregates, and ``tidy`` is applied to their results.
``finish`` is the aggregate's result. In ``partial``, ``{0}``, ``{1}`` … are the arguments and ``{off}`` is the
row's offset. In the others, ``{a}`` is the accumulator's own column and ``{b}`` is the next one's. In ``merge``,
``{src}`` is 0 for an older part and 1 for a newer one.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from opensea_metrics.core.definition import Definition
from opensea_metrics.core.types import BIGINT, DOUBLE, INTEGER, STRING, DecimalType, duckdb
from opensea_metrics.sql.language.functions import library as functions
from opensea_metrics.sql.language.lowering.duckdb.expressions import Lowering
from opensea_metrics.sql.language.lowering.duckdb.numbers import wrapped
from opensea_metrics.sql.language.lowering.duckdb.statistics import STATISTICS


@dataclass(frozen=True)
class Accumulator:
    """One column of an aggregation's state.

    ``repeated`` are expressions over a row that occur several times in ``partial``. Those within others come last.
    """

    partial: str
    merge: str
    tidy: str = "{a}"
    repeated: tuple[str, ...] = ()


@dataclass(frozen=True)
class Aggregate:
    """An aggregate function's accumulators, and its result from them."""

    accumulators: tuple[Accumulator, ...]
    finish: str


def _one(partial: str, merge: str, finish: str = "{a}", tidy: str = "{a}") -> Aggregate:
    return Aggregate((Accumulator(partial, merge, tidy),), finish)


# arg_max and arg_min omit NULLs. A FILTER would too, but it takes 0.15 ms per query and aggregate.
_IN_ORDER = "flatten(list({a} ORDER BY {src}))"
_SIMPLE: dict[str, Aggregate] = {
    "COUNT": _one("count({0})", "CAST(sum({a}) AS BIGINT)"),
    "MIN": _one("min({0})", "min({a})"),
    "MAX": _one("max({0})", "max({a})"),
    "COUNT_DISTINCT": _one(
        "list(DISTINCT {0}) FILTER ({0} IS NOT NULL)",
        "list_distinct(flatten(list({a})))",
        "CAST(coalesce(len({a}), 0) AS BIGINT)",
    ),
    "COLLECT_LIST": _one("list({0} ORDER BY {off})", _IN_ORDER, tidy="{a}[1:1000]"),
    "COLLECT_SET": _one(
        "list({0} ORDER BY {off})", _IN_ORDER, tidy="first_occurrences({a})"
    ),
    **{name: _one(*parts) for name, parts in STATISTICS.items()},
    "LATEST_BY_OFFSET": Aggregate(
        (
            Accumulator("arg_max({0}, {off})", "arg_max({a}, {b})"),
            Accumulator("max(CASE WHEN {0} IS NOT NULL THEN {off} END)", "max({a})"),
        ),
        "{a}",
    ),
    "EARLIEST_BY_OFFSET": Aggregate(
        (
            Accumulator("arg_min({0}, {off})", "arg_min({a}, {b})"),
            Accumulator("min(CASE WHEN {0} IS NOT NULL THEN {off} END)", "min({a})"),
        ),
        "{a}",
    ),
}


def aggregate(call: exp.Anonymous, lowering: Lowering) -> Aggregate:
    """The accumulators of one call, with its arguments inserted into ``partial``.

    Raises SqlError for an aggregate that the embedded server cannot compute exactly.
    """
    name = str(call.this).upper()
    arguments = list(call.expressions)
    if name == "COUNT" and (not arguments or isinstance(arguments[0], exp.Star)):
        return _one("count(*)", "CAST(sum({a}) AS BIGINT)")
    kind = lowering.type_of(call)
    written = [lowering.whole(argument) for argument in arguments]
    function = functions.find(name)
    if function and function.definition is None:
        lowering.check_runs(call)
    if name in ("ATTR", "COLLECT_SET", "COUNT_DISTINCT"):
        written = [lowering.normal(lowering.type_of(arguments[0]), written[0])]
    is_text = name in ("MIN", "MAX", "TOPK", "TOPKDISTINCT") and lowering.type_of(arguments[0]) == STRING
    if is_text := is_text and len(arguments) <= 2:
        written[0] = lowering.java_ordered(written[0])
    if name == "SUM":
        chosen = _sum(kind)
    elif name == "SUM_LIST":
        written = [f"list_sum({written[0]})"]
        chosen = _sum(kind)
    elif name in ("LATEST_BY_OFFSET", "EARLIEST_BY_OFFSET") and len(arguments) > 1:
        chosen = _by_offset(name == "LATEST_BY_OFFSET", arguments[1:])
    elif name == "AVG":
        chosen = _average(_sum(lowering.type_of(arguments[0])))
    elif name in ("TOPK", "TOPKDISTINCT"):
        count = str(arguments[-1].this)
        chosen = _greatest(name, count) if len(arguments) == 2 else _greatest_rows(len(arguments) - 1, count)
    elif name in _SIMPLE:
        chosen = _SIMPLE[name]
    elif function and function.definition:
        columns = function.definition.parameters
        chosen = _python(function.definition, written[len(columns) :])
        written = [
            f"CAST({value} AS {duckdb(column.type)})"
            for value, column in zip(written, columns, strict=False)
        ]
    else:
        raise lowering.refused(call, name)
    return Aggregate(
        tuple(
            Accumulator(
                part.partial.format(*written, off="_off"),
                part.merge,
                part.tidy,
                tuple(expression.format(*written) for expression in part.repeated),
            )
            for part in chosen.accumulators
        ),
        _in_java_order(name, lowering) if is_text else chosen.finish,
    )


def _in_java_order(name: str, lowering: Lowering) -> str:
    """The result of MIN, MAX, TOPK or TOPKDISTINCT of texts, which are in :meth:`Lowering.java_ordered` form."""
    if name in ("MIN", "MAX"):
        return lowering.of_java_ordered("{a}")
    return f"list_transform(coalesce({{a}}, []), lambda _e: {lowering.of_java_ordered('_e')})"


def _by_offset(is_latest: bool, constants: list[exp.Expression]) -> Aggregate:
    """The newest or oldest value, or the N newest or oldest values. NULLs count unless the call ignores them."""
    flags = [bool(constant.this) for constant in constants if isinstance(constant, exp.Boolean)]
    counts = [int(constant.this) for constant in constants if isinstance(constant, exp.Literal)]
    with_nulls = flags == [False]
    if counts:
        condition = "" if with_nulls else " FILTER ({0} IS NOT NULL)"
        kept = f"{{a}}[-{counts[0]}:]" if is_latest else f"{{a}}[1:{counts[0]}]"
        return _one(f"list({{0}} ORDER BY {{off}}){condition}", _IN_ORDER, "coalesce({a}, [])", kept)
    if not with_nulls:
        return _SIMPLE["LATEST_BY_OFFSET" if is_latest else "EARLIEST_BY_OFFSET"]
    name = "max" if is_latest else "min"
    return Aggregate(
        (
            Accumulator(f"arg_{name}_null({{0}}, {{off}})", f"arg_{name}_null({{a}}, {{b}})"),
            Accumulator(f"{name}({{off}})", f"{name}({{a}})"),
        ),
        "{a}",
    )


def _python(definition: Definition, constants: list[str]) -> Aggregate:
    """An aggregate of ``udfs``: its native form, or Python functions over a state as text."""
    parts = definition.in_duckdb(constants)
    arguments = (f"{{{number}}}" for number in range(len(definition.parameters)))
    repeated = (*parts.repeated, *(name for name in arguments if parts.partial.count(name) > 1))
    return Aggregate((Accumulator(parts.partial, parts.merge, parts.tidy, repeated),), parts.finish)


def _sum(kind: object) -> Aggregate:
    """The sum of no values is 0. Integers wrap around, as in Java."""
    if kind in (INTEGER, BIGINT):
        result = wrapped(BIGINT if kind == BIGINT else INTEGER, "coalesce({a}, 0)")
        return _one("sum({0})::HUGEINT", "sum({a})", result)
    if isinstance(kind, DecimalType):
        # A sum with too many digits is NULL here. ksqlDB omits the row that would make the sum too large.
        return _one("sum({0})", "sum({a})", f"TRY_CAST(coalesce({{a}}, 0) AS {duckdb(kind)})")
    assert kind == DOUBLE
    return _one("sum({0})", "sum({a})", "coalesce({a}, CAST(0 AS DOUBLE))")


def _average(total: Aggregate) -> Aggregate:
    """The sum, which wraps around, divided by the number of values. It is 0 for no values."""
    count = Accumulator("count({0})", "CAST(sum({a}) AS BIGINT)")
    result = f"CASE WHEN {{b}} > 0 THEN CAST({total.finish} AS DOUBLE) / {{b}} ELSE 0 END"
    return Aggregate((*total.accumulators, count), result)


def _greatest_rows(columns: int, count: str) -> Aggregate:
    """TOPK of several columns: the rows with the greatest first column. If values are equal, older rows win."""
    names = ["sort_col", *(f"col{number}" for number in range(columns - 1))]
    row = ", ".join(f"{name} := {{{number}}}" for number, name in enumerate(names))
    return _one(
        f"list(struct_pack(s := {{0}}, o := -{{off}}, r := struct_pack({row}))) FILTER ({{0}} IS NOT NULL)",
        "flatten(list({a}))",
        tidy=f"list_sort({{a}}, 'DESC')[1:{count}]",
        finish="list_transform(coalesce({a}, []), lambda _e: _e.r)",
    )


def _greatest(name: str, count: str) -> Aggregate:
    distinct = "list_distinct({a})" if name == "TOPKDISTINCT" else "{a}"
    return _one(
        "list({0}) FILTER ({0} IS NOT NULL)",
        "flatten(list({a}))",
        tidy=f"list_sort({distinct}, 'DESC')[1:{count}]",
        finish="coalesce({a}, [])",
    )
