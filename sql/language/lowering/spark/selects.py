"""Whole SELECTs in Spark's SQL: row by row, and grouped in one go.

A source is given as a relation, as in ``selects``: its columns under the names that
``core.quoting.column_name`` gives them, ``ROWTIME`` (epoch ms) and ``_off`` (growing along the topic); of a
windowed source WINDOWSTART and WINDOWEND too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlglot import exp

from opensea_metrics.core.definition import OF_LIST, Definition
from opensea_metrics.core.quoting import spark_column, spark_quoted
from opensea_metrics.core.types import BIGINT, DOUBLE, INTEGER, DecimalType, spark
from opensea_metrics.sql.language.catalog.sources import Source, Window
from opensea_metrics.sql.language.functions import library as functions
from opensea_metrics.sql.language.lowering.duckdb import selects
from opensea_metrics.sql.language.lowering.duckdb.selects import (
    check_supported,
    hidden_columns,
    scope_of,
    windowed,
)
from opensea_metrics.sql.language.lowering.expressions import owner
from opensea_metrics.sql.language.lowering.spark.expressions import SparkLowering
from opensea_metrics.sql.language.lowering.times import spark_event_time
from opensea_metrics.sql.language.queries.analysis import (
    Analysis,
    aggregates,
    is_aggregate,
    makes_rows,
    table_calls,
)

_IN_ORDER = "transform(sort_array(collect_list(named_struct('o', _off, 'x', {0}))), _e -> _e.x)"
_SIMPLE = {
    "COUNT": "count({0})",
    "MIN": "min({0})",
    "MAX": "max({0})",
    "COUNT_DISTINCT": "CAST(size(collect_set({0})) AS BIGINT)",
    "COLLECT_LIST": f"slice({_IN_ORDER}, 1, 1000)",
    "COLLECT_SET": f"slice(array_distinct({_IN_ORDER}), 1, 1000)",
    "LATEST_BY_OFFSET": "max_by({0}, _off) FILTER (WHERE {0} IS NOT NULL)",
    "EARLIEST_BY_OFFSET": "min_by({0}, _off) FILTER (WHERE {0} IS NOT NULL)",
    "TOPK": "slice(sort_array(collect_list({0}), false), 1, {n})",
    "TOPKDISTINCT": "slice(sort_array(collect_set({0}), false), 1, {n})",
}


def as_source(source: Source, relation: str, available: Sequence[str]) -> str:
    """``selects.as_source`` in Spark's SQL."""
    return selects.as_source(source, relation, available, spark_column, spark, spark_event_time)


def rows(analysis: Analysis, relation: str, passed: Sequence[str] = ()) -> str:
    """A SELECT without groups over a relation: its columns, ROWTIME and ``_off``.

    ``passed`` are further columns of the relation that are passed on; rows in which the first of them
    is not NULL are kept, whatever the WHERE clause says.
    """
    check_supported(analysis, SparkLowering.engine)
    scope = scope_of(analysis)
    exploding = _exploding(analysis)
    lowering = SparkLowering(scope)
    if exploding:
        # Spark has one generator a SELECT, and none inside expressions: all arrays side by side.
        lists = []
        for i, call in enumerate(exploding):
            array = lowering.value(call.expressions[0]) if _is_explode(call) else _table(lowering, call)
            lists.append(f"{array} AS _l{i}")
        zipped = f"arrays_zip({', '.join(f'_l{i}' for i in range(len(lists)))})"
        relation = (
            f"SELECT *, explode({zipped}) AS _row FROM (SELECT *, {', '.join(lists)} FROM ({relation}))"
        )
        lowering = SparkLowering(scope, {call: f"_row._l{i}" for i, call in enumerate(exploding)})
    wanted = [projection.expression for projection in analysis.projections]
    relation, lowering = _bound([*wanted, *_given(analysis.where)], relation, lowering)
    columns = [
        f"{lowering.value(projection.expression)} AS {spark_column(projection.column.name)}"
        for projection in analysis.projections
    ]
    kept = lowering.condition(analysis.where) if analysis.where is not None else "true"
    if passed:
        kept = f"({kept}) OR {passed[0]} IS NOT NULL"
    selected = ", ".join([*columns, *hidden_columns(analysis), "_off", *passed])
    return f"SELECT {selected} FROM ({relation}) WHERE {kept}"


def grouped(analysis: Analysis, relation: str) -> str:
    """A grouped SELECT over a relation: its columns, WINDOWSTART, WINDOWEND, ROWTIME and ``_off``."""
    check_supported(analysis, SparkLowering.engine)
    calls: dict[exp.Expression, str] = {}
    wanted = [projection.expression for projection in analysis.projections]
    if analysis.having is not None:
        wanted.append(analysis.having)
    for expression in wanted:
        calls |= dict.fromkeys(aggregates(expression), "")
    arguments = [argument for call in calls for argument in call.expressions]
    relation, lowering = _bound(
        [*arguments, *analysis.group, *_given(analysis.where)],
        windowed(relation, analysis.window, _hops),
        SparkLowering(scope_of(analysis)),
    )
    made: list[str] = []
    for index, call in enumerate(list(calls)):
        assert isinstance(call, exp.Anonymous)
        part, calls[call] = _aggregate(call, lowering, f"_a{index}")
        made.append(f"{part} AS _a{index}")
    substitutes: dict[exp.Expression, str] = {
        key: f"_k{index}" for index, key in enumerate(analysis.group)
    }
    substitutes.update(calls)
    keys = [f"{lowering.value(key)} AS _k{index}" for index, key in enumerate(analysis.group)]
    window, bounds, grouping = analysis.window, "", [f"_k{i}" for i in range(len(keys))]
    if window:
        ends = {"WINDOWSTART": "_ws", "WINDOWEND": f"(_ws + {window.size})"}
        for name, sql in ends.items():
            substitutes[exp.Column(this=exp.Identifier(this=name, quoted=True))] = sql
        bounds = f", _ws AS WINDOWSTART, _ws + {window.size} AS WINDOWEND"
        grouping.append("_ws")
    after = SparkLowering(scope_of(analysis), substitutes)
    columns = ", ".join(
        f"{after.value(p.expression)} AS {spark_column(p.column.name)}" for p in analysis.projections
    )
    where = lowering.condition(analysis.where) if analysis.where is not None else "true"
    having = after.condition(analysis.having) if analysis.having is not None else "true"
    keyed = f"SELECT *, {', '.join(keys)} FROM ({relation}) WHERE {where}"
    present = " AND ".join(f"_k{i} IS NOT NULL" for i in range(len(keys)))
    state = (
        f"SELECT {', '.join([*grouping, *made, 'max(ROWTIME) AS _ts'])} FROM ({keyed})"
        f" WHERE {present} GROUP BY {', '.join(grouping)}"
    )
    off = "_ws" if window else "CAST(0 AS BIGINT)"
    return f"SELECT {columns}{bounds}, _ts AS ROWTIME, {off} AS _off FROM ({state}) WHERE {having}"


def _aggregate(call: exp.Anonymous, lowering: SparkLowering, state: str) -> tuple[str, str]:
    """An aggregate of Spark's, and the result of it where it is called ``state``."""
    name = str(call.this).upper()
    arguments = list(call.expressions)
    if name == "COUNT" and (not arguments or isinstance(arguments[0], exp.Star)):
        return "count(*)", state
    kind = lowering.type_of(call)
    written = [lowering.value(argument) for argument in arguments]
    function = functions.find(name)
    if function and function.definition is None:
        lowering.check_runs(call)
    if name == "SUM":
        return f"sum({written[0]})", _sum(kind, state)
    if name == "AVG":
        kind = lowering.type_of(arguments[0])
        both = f"named_struct('s', sum({written[0]}), 'n', count({written[0]}))"
        total = f"CAST({_sum(kind, f'{state}.s')} AS DOUBLE)"
        return both, f"CASE WHEN {state}.n > 0 THEN {total} / {state}.n ELSE CAST(0 AS DOUBLE) END"
    if name in _SIMPLE:
        if name == "TOPK" and len(arguments) > 2:
            raise lowering.refused(call, "TOPK of several columns")
        count = arguments[-1]
        if "{n}" in _SIMPLE[name] and (not isinstance(count, exp.Literal) or count.is_string):
            raise lowering.refused(call, f"{name} with a count that is no literal")
        return _SIMPLE[name].replace("{n}", written[-1]).replace("{0}", written[0]), state
    if function and function.definition:
        return _python(function.definition, written, state)
    raise lowering.refused(call, name)


def _sum(kind: object, total: str) -> str:
    """Nothing sums to 0. Integers wrap around, as Java's do."""
    if kind == INTEGER:
        return f"CAST(coalesce({total}, 0) AS INT)"
    if kind == BIGINT:
        return f"coalesce({total}, CAST(0 AS BIGINT))"
    if isinstance(kind, DecimalType):
        return f"TRY_CAST(coalesce({total}, 0) AS {spark(kind)})"
    assert kind == DOUBLE
    return f"coalesce({total}, CAST(0 AS DOUBLE))"


def _python(definition: Definition, written: Sequence[str], state: str) -> tuple[str, str]:
    """An aggregate of ``udfs``: in its native form, or the rows in order and the Python function over them."""
    count = len(definition.parameters)
    columns = [
        f"CAST({value} AS {spark(parameter.type)})"
        for value, parameter in zip(written, definition.parameters, strict=False)
    ]
    if native := definition.in_spark(columns, written[count:], "_off", state):
        return native
    fields = [f"'c{i}', {column}" for i, column in enumerate(columns)]
    listed = _IN_ORDER.replace("{0}", f"named_struct({', '.join(fields)})")
    constants = [
        f"CAST({value} AS {spark(constant.type)})"
        for value, constant in zip(written[count:], definition.constants, strict=True)
    ]
    called = spark_quoted(definition.name + OF_LIST)
    return listed, f"{called}({', '.join([state, *constants])})"


def _bound(
    expressions: Sequence[exp.Expression], relation: str, lowering: SparkLowering
) -> tuple[str, SparkLowering]:
    """The relation with what is dear, or written several times in Spark's SQL, as columns of its own, and
    the lowering that uses them: SQL that grows with every level of an expression cannot be compiled."""
    levels: dict[int, dict[exp.Expression, str]] = {}
    guards = _guards(expressions)

    def visit(node: exp.Expression) -> int:
        """Bind what is inside; gives the level of the last that was."""
        if isinstance(node, exp.Lambda) or node in lowering.substitutes:
            return 0
        if isinstance(node, exp.Dot) and isinstance(owner(node), exp.Column):
            level = 1
        else:
            level = max(map(visit, node.iter_expressions()), default=0)
            if not _is_dear(node) or is_aggregate(node) or makes_rows(node):
                return level
            if guard := guards.get(node):
                level = max(level, visit(guard))
            level += 1
        found = levels.setdefault(level, {})
        found.setdefault(node, f"_e{level}_{len(found)}")
        return level

    for expression in expressions:
        visit(expression)
    for _, named in sorted(levels.items()):
        made = (
            f"{_guarded(lowering, node, guards.get(node))} AS {name}" for node, name in named.items()
        )
        relation = f"SELECT *, {', '.join(made)} FROM ({relation})"
        lowering = replace(lowering, substitutes={**lowering.substitutes, **named})
    return relation, lowering


def _guards(expressions: Sequence[exp.Expression]) -> dict[exp.Expression, exp.Expression | None]:
    """Of every dear expression in others the condition without which it is not asked for: that of the one
    branch of a CASE in which it stands; None if there is no such condition, or more than one."""
    found: dict[exp.Expression, exp.Expression | None] = {}

    def visit(node: exp.Expression, guard: exp.Expression | None) -> None:
        if _is_dear(node) and found.setdefault(node, guard) != guard:
            found[node] = None
        branch = node.this if isinstance(node, exp.If) else None
        for inside in node.iter_expressions():
            visit(inside, guard or (branch if inside is not branch else None))

    for expression in expressions:
        visit(expression, None)
    return found


def _guarded(lowering: SparkLowering, node: exp.Expression, guard: exp.Expression | None) -> str:
    value = lowering.value(node)
    return f"CASE WHEN {lowering.condition(guard)} THEN {value} END" if guard else value


def _is_dear(node: exp.Expression) -> bool:
    if isinstance(node, exp.Anonymous):
        return str(node.this).upper() == "REGEXP_EXTRACT"
    return isinstance(node, exp.Cast | exp.Div | exp.Mod)


def _given(expression: exp.Expression | None) -> list[exp.Expression]:
    return [] if expression is None else [expression]


def _exploding(analysis: Analysis) -> list[exp.Anonymous]:
    """The different calls of table functions in a SELECT."""
    calls = (call for each in analysis.projections for call in table_calls(each.expression))
    return list(dict.fromkeys(calls))


def _is_explode(call: exp.Anonymous) -> bool:
    return str(call.this).upper() == "EXPLODE"


def _table(lowering: SparkLowering, call: exp.Anonymous) -> str:
    definition = functions.known()[str(call.this)].definition
    if definition is None:
        raise lowering.refused(call, str(call.this))
    casts = ", ".join(
        f"CAST({lowering.value(argument)} AS {spark(parameter.type)})"
        for argument, parameter in zip(call.expressions, definition.parameters, strict=True)
    )
    return f"{lowering.function_name(definition.name)}({casts})"


def _hops(last: str, window: Window) -> str:
    first = f"greatest(ROWTIME - {window.size} + 1, {window.origin})"
    count = f"(({last} - {first}) DIV {window.advance})"
    return f"explode(transform(sequence(0, {count}), _i -> {last} - _i * {window.advance}))"
