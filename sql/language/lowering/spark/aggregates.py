"""ksqlDB's aggregate functions in Spark's SQL.

In a template, ``{0}`` is the argument, and ``{n}`` is the number of values that TOPK keeps. ``{over}`` is empty, or an
OVER clause that aggregates the rows up to the current one. Spark allows no FILTER with OVER, so NULL replaces the
values of rows that do not count.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from opensea_metrics.core.definition import OF_LIST, Definition
from opensea_metrics.core.quoting import spark_quoted
from opensea_metrics.core.types import BIGINT, DOUBLE, INTEGER, STRING, DecimalType, spark
from opensea_metrics.sql.language.functions import library as functions
from opensea_metrics.sql.language.lowering.spark.expressions import SparkLowering

_IN_ORDER = "transform(sort_array(collect_list(named_struct('o', _off, 'x', {0})){over}), _e -> _e.x)"
_TEMPLATES = {
    "COUNT": "count({0}){over}",
    "MIN": "min({0}){over}",
    "MAX": "max({0}){over}",
    "COUNT_DISTINCT": "CAST(size(collect_set({0}){over}) AS BIGINT)",
    "COLLECT_LIST": f"slice({_IN_ORDER}, 1, 1000)",
    "COLLECT_SET": f"slice(array_distinct({_IN_ORDER}), 1, 1000)",
    "LATEST_BY_OFFSET": "max_by({0}, CASE WHEN {0} IS NOT NULL THEN _off END){over}",
    "EARLIEST_BY_OFFSET": "min_by({0}, CASE WHEN {0} IS NOT NULL THEN _off END){over}",
    "ATTR": "collect_set(named_struct('v', {0})){over}",
    "HISTOGRAM": _IN_ORDER.replace("{0}", "coalesce({0}, 'null')"),
    "STDDEV_SAMP": "var_samp({0}){over}",  # observed: the variance
    "STDDEV_SAMPLE": "stddev_samp({0}){over}",
    "TOPK": "slice(sort_array(collect_list({0}){over}, false), 1, {n})",
    "TOPKDISTINCT": "slice(sort_array(collect_set({0}){over}, false), 1, {n})",
}


_RESULTS = {
    "ATTR": "CASE WHEN size({a}) = 1 THEN {a}[0].v END",
    "HISTOGRAM": "map_from_entries(transform(slice(array_distinct({a}), 1, 1000),"
    " _k -> struct(_k, CAST(size(filter({a}, _e -> _e = _k)) AS BIGINT))))",
    "STDDEV_SAMP": "coalesce({a}, CAST(0 AS DOUBLE))",
    "STDDEV_SAMPLE": "coalesce({a}, CAST(0 AS DOUBLE))",
}
"""The results of aggregates that are not Spark's own. ``{a}`` is the aggregate that Spark computes."""


def aggregate(call: exp.Anonymous, lowering: SparkLowering, state: str, over: str = "") -> tuple[str, str]:
    """The aggregate that Spark computes, and the SQL of the call's result. ``state`` names the aggregate in that SQL.

    With ``over``, a window, the aggregate covers the rows up to the current one.

    Raises SqlError for an aggregate that Spark cannot compute exactly.
    """
    name = str(call.this).upper()
    arguments = list(call.expressions)
    if name == "COUNT" and (not arguments or isinstance(arguments[0], exp.Star)):
        return f"count(*){over}", state
    kind = lowering.type_of(call)
    written = [lowering.value(argument) for argument in arguments]
    function = functions.find(name)
    if function and function.definition is None:
        lowering.check_runs(call)
    if name in ("ATTR", "COLLECT_SET", "COUNT_DISTINCT"):
        lowering.check_comparable(call)
    if name == "SUM_LIST":
        start = f"CAST(0 AS {spark(kind)})"
        there = f"filter({written[0]}, _x -> _x IS NOT NULL)"
        return f"sum(aggregate({there}, {start}, (_x, _y) -> _x + _y)){over}", added(kind, state)
    if name in ("LATEST_BY_OFFSET", "EARLIEST_BY_OFFSET") and len(arguments) > 1:
        return _by_offset(name == "LATEST_BY_OFFSET", written[0], arguments[1:], over), state
    if name == "SUM":
        return f"sum({written[0]}){over}", added(kind, state)
    if name == "AVG":
        kind = lowering.type_of(arguments[0])
        both = f"named_struct('s', sum({written[0]}){over}, 'n', count({written[0]}){over})"
        total = f"CAST({added(kind, f'{state}.s')} AS DOUBLE)"
        return both, f"CASE WHEN {state}.n > 0 THEN {total} / {state}.n ELSE CAST(0 AS DOUBLE) END"
    if name == "CORRELATION":
        return _correlation(written, lowering, state, over)
    if name == "TOPK" and len(arguments) > 2:
        return _greatest_rows(written, over), f"transform({state}, _e -> _e.r)"
    result = _RESULTS.get(name, "{a}")
    if name in ("MIN", "MAX", "TOPK", "TOPKDISTINCT") and lowering.type_of(arguments[0]) == STRING:
        written[0] = lowering.java_ordered(written[0])
        result = lowering.of_java_ordered(result)
        if name not in ("MIN", "MAX"):
            result = f"transform({{a}}, _e -> {lowering.of_java_ordered('_e')})"
    if name in _TEMPLATES:
        count = arguments[-1]
        if "{n}" in _TEMPLATES[name] and (not isinstance(count, exp.Literal) or count.is_string):
            raise lowering.refused(call, f"{name} with a count that is not a literal")
        template = _TEMPLATES[name].replace("{over}", over).replace("{n}", written[-1])
        return template.replace("{0}", written[0]), result.replace("{a}", state)
    if function and function.definition:
        return _python(function.definition, written, state, over)
    raise lowering.refused(call, name)


def _correlation(written: Sequence[str], lowering: SparkLowering, state: str, over: str) -> tuple[str, str]:
    """Pearson's coefficient from sums over the rows that have both values, as ksqlDB computes it."""
    x, y = (f"CAST({value} AS DOUBLE)" for value in written)
    products = {"x": x, "y": y, "xx": f"{x} * {x}", "yy": f"{y} * {y}", "xy": f"{x} * {y}"}
    there = f"CASE WHEN {written[0]} IS NOT NULL AND {written[1]} IS NOT NULL THEN"
    sums = ", ".join(
        f"'{name}', coalesce(sum({there} {product} END){over}, CAST(0 AS DOUBLE))"
        for name, product in products.items()
    )
    numerator = f"({state}.n * {state}.xy - {state}.x * {state}.y)"
    squares = (f"({state}.n * {state}.{name}{name} - {state}.{name} * {state}.{name})" for name in "xy")
    return (
        f"named_struct('n', CAST(count({there} 1 END){over} AS DOUBLE), {sums})",
        lowering.double(numerator, "/", f"sqrt({' * '.join(squares)})"),
    )


def _greatest_rows(written: Sequence[str], over: str) -> str:
    """TOPK of several columns: the rows with the greatest first column, and of equal ones the older."""
    names = ["sort_col", *(f"col{number}" for number in range(len(written) - 2))]
    row = ", ".join(f"'{name}', {value}" for name, value in zip(names, written[:-1], strict=True))
    value = f"named_struct('s', {written[0]}, 'o', -_off, 'r', named_struct({row}))"
    listed = f"collect_list(CASE WHEN {written[0]} IS NOT NULL THEN {value} END){over}"
    return f"slice(sort_array({listed}, false), 1, {written[-1]})"


def _by_offset(is_latest: bool, value: str, constants: list[exp.Expression], over: str) -> str:
    """The newest or oldest value, or so many of them; NULLs count unless they are to be ignored."""
    flags = [bool(constant.this) for constant in constants if isinstance(constant, exp.Boolean)]
    counts = [int(constant.this) for constant in constants if isinstance(constant, exp.Literal)]
    is_counted = flags != [False]
    if not counts:
        place = f"CASE WHEN {value} IS NOT NULL THEN _off END" if is_counted else "_off"
        return f"({'max' if is_latest else 'min'}_by(named_struct('x', {value}), {place}){over}).x"
    row = f"named_struct('o', _off, 'x', {value})"
    row = f"CASE WHEN {value} IS NOT NULL THEN {row} END" if is_counted else row
    listed = f"collect_list({row}){over}"
    ordered = f"sort_array({listed}, {str(not is_latest).lower()})"
    kept = f"slice({ordered}, 1, {counts[0]})"
    return f"transform({f'reverse({kept})' if is_latest else kept}, _e -> _e.x)"


def added(kind: object, total: str) -> str:
    """The sum of no values is 0. Integers wrap around, as in Java."""
    if kind == INTEGER:
        return f"CAST(coalesce({total}, 0) AS INT)"
    if kind == BIGINT:
        return f"coalesce({total}, CAST(0 AS BIGINT))"
    if isinstance(kind, DecimalType):
        return f"TRY_CAST(coalesce({total}, 0) AS {spark(kind)})"
    assert kind == DOUBLE
    return f"coalesce({total}, CAST(0 AS DOUBLE))"


def _python(definition: Definition, written: Sequence[str], state: str, over: str) -> tuple[str, str]:
    """An aggregate of ``udfs``: its native form, or the Python function over the rows in order."""
    count = len(definition.parameters)
    columns = [
        f"CAST({value} AS {spark(parameter.type)})"
        for value, parameter in zip(written, definition.parameters, strict=False)
    ]
    native = definition.in_spark(columns, written[count:], "_off", state)
    if native and not over:
        return native
    fields = [f"'c{i}', {column}" for i, column in enumerate(columns)]
    listed = _IN_ORDER.replace("{over}", over).replace("{0}", f"named_struct({', '.join(fields)})")
    constants = [
        f"CAST({value} AS {spark(constant.type)})"
        for value, constant in zip(written[count:], definition.constants, strict=True)
    ]
    called = spark_quoted(definition.name + OF_LIST)
    return listed, f"{called}({', '.join([state, *constants])})"
