"""Writes whole SELECTs in Spark's SQL: row by row, and grouped in one pass.

Relations are described in :mod:`sql.language.lowering.selects`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

from opensea_metrics.core.quoting import spark_column
from opensea_metrics.core.types import spark
from opensea_metrics.sql.language.catalog.sources import Source, Window
from opensea_metrics.sql.language.lowering import selects
from opensea_metrics.sql.language.lowering.duckdb.stream_time import StreamTime
from opensea_metrics.sql.language.lowering.event_times import spark_event_time
from opensea_metrics.sql.language.lowering.selects import EngineSyntax
from opensea_metrics.sql.language.lowering.spark.aggregates import aggregate
from opensea_metrics.sql.language.lowering.spark.expressions import SparkLowering
from opensea_metrics.sql.language.lowering.spark.reversible import reversible
from opensea_metrics.sql.language.lowering.spark.subexpressions import bound
from opensea_metrics.sql.language.queries.analysis import (
    Analysis,
    table_calls,
)


def _hops(last: str, window: Window) -> str:
    first = f"greatest(ROWTIME - {window.size} + 1, {window.origin})"
    count = f"(({last} - {first}) DIV {window.advance})"
    return f"explode(transform(sequence(0, {count}), _i -> {last} - _i * {window.advance}))"


SYNTAX = EngineSyntax(spark_column, spark, spark_event_time, _hops)


_SESSION = ("min(ROWTIME) AS _ws", "max(ROWTIME) AS _we")


def as_source(source: Source, relation: str, available: Sequence[str], carried: Sequence[str] = ()) -> str:
    """:func:`sql.language.lowering.selects.as_source` in Spark's SQL."""
    return selects.as_source(SYNTAX, source, relation, available, carried)


def rows(analysis: Analysis, relation: str, passed: Sequence[str] = (), carried: Sequence[str] = ()) -> str:
    """A SELECT without groups over a relation: its columns, ROWTIME, ``_off``, and the ``carried`` columns.

    ``passed`` are further columns of the relation that the result keeps. Rows whose first such column is not NULL are
    kept regardless of the WHERE clause.
    """
    columns, relation, kept = _selected(analysis, relation)
    if passed:
        kept = f"({kept}) OR {passed[0]} IS NOT NULL"
    selected = ", ".join([*columns, *selects.hidden_columns(analysis), "_off", *passed, *carried])
    return f"SELECT {selected} FROM ({relation}) WHERE {kept}"


def changes(analysis: Analysis, relation: str) -> str:
    """The changes of the table that a SELECT without groups defines: its columns, and the order of the items.

    A row that the WHERE clause excludes is deleted.
    """
    columns, relation, kept = _selected(analysis, relation)
    order = f"_n, _s, _part, _time, _gone OR coalesce(NOT ({kept}), true) AS _gone"
    return f"SELECT {', '.join([*columns, order])} FROM ({relation})"


def joined_columns(analysis: Analysis) -> dict[exp.Expression, str]:
    """The columns of a join's sources in Spark's SQL: see :func:`sql.language.lowering.selects.joined_columns`."""
    return {column: spark_column(name) for column, name in selects.joined_columns(analysis).items()}


def _selected(analysis: Analysis, relation: str) -> tuple[list[str], str, str]:
    """The columns of a SELECT without groups, the relation that they read, and its condition.

    The key of a join's result is
        ``_key``, because the column that the SELECT names may be NULL when the key is not.
    """
    selects.check_supported(analysis, SparkLowering.engine)
    scope = selects.scope_of(analysis)
    exploding = _exploding(analysis)
    joined = joined_columns(analysis)
    lowering = SparkLowering(scope, joined)
    if exploding:
        # Spark allows one generator per SELECT, and none inside expressions, so it explodes all arrays side by side.
        lists = []
        for i, call in enumerate(exploding):
            lists.append(f"{lowering.listed(call)} AS _l{i}")
        zipped = f"arrays_zip({', '.join(f'_l{i}' for i in range(len(lists)))})"
        relation = (
            f"SELECT *, explode({zipped}) AS _row FROM (SELECT *, {', '.join(lists)} FROM ({relation}))"
        )
        lowering = SparkLowering(scope, joined | {call: f"_row._l{i}" for i, call in enumerate(exploding)})
    wanted = [projection.expression for projection in analysis.projections]
    relation, lowering = bound([*wanted, *_given(analysis.where)], relation, lowering)
    key = "_key" if analysis.joined and not analysis.partition and not analysis.joins[-1].is_foreign else None
    columns = [
        f"{key if key and projection.column.is_key else lowering.value(projection.expression)}"
        f" AS {spark_column(projection.column.name)}"
        for projection in analysis.projections
    ]
    kept = lowering.condition(analysis.where) if analysis.where is not None else "true"
    return columns, relation, kept


def grouped(analysis: Analysis, relation: str, time: StreamTime | None = None) -> str:
    """A grouped SELECT over a relation: its columns, WINDOWSTART, WINDOWEND, ROWTIME and ``_off``.

    With a stream time, rows that arrive after their window has closed are omitted. The relation then has ROWPARTITION.
    """
    grouping = _grouping(analysis, relation)
    window, bounds, keys, rows = analysis.window, "", grouping.keys, grouping.rows
    selected = keys
    if window and time:
        late = f"_ws + {window.size + window.grace} <= max(ROWTIME) OVER ({time.order})"
        rows = f"SELECT * FROM (SELECT *, {late} AS _late FROM ({time.merged(rows)})) WHERE NOT _late"
    if window:
        bounds = f", _ws AS WINDOWSTART, {selects.window_end(window)} AS WINDOWEND"
    if window and window.is_session:
        rows, selected = selects.sessions(rows, keys, window.size), [*keys, *_SESSION]
        keys = [*keys, "_session"]
    elif window:
        selected = keys = [*keys, "_ws"]
    state = (
        f"SELECT {', '.join([*selected, *grouping.computed, 'max(ROWTIME) AS _ts'])} FROM ({rows})"
        f" GROUP BY {', '.join(keys)}"
    )
    off = "_ws" if window else "CAST(0 AS BIGINT)"
    columns = ", ".join(grouping.columns)
    return f"SELECT {columns}{bounds}, _ts AS ROWTIME, {off} AS _off FROM ({state}) WHERE {grouping.having}"


def history(analysis: Analysis, relation: str) -> str:
    """All changes of the rows of a grouped SELECT without a window, in the order of ``_off``.

    They have the SELECT's columns, ROWTIME, ``_off``, ``_part``, and ``_gone``, which is true if HAVING excludes the
    row.
    """
    keys = ", ".join(f"_k{index}" for index in range(len(analysis.group)))
    over = f" OVER (PARTITION BY {keys} ORDER BY _off ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    grouping = _grouping(analysis, relation, over)
    time = f"max(ROWTIME){over} AS _ts"
    states = f"SELECT {', '.join([*grouping.keys, *grouping.computed, time, '_off', '_part'])} FROM ({grouping.rows})"
    gone = f"coalesce(NOT ({grouping.having}), true) AS _gone"
    return f"SELECT {', '.join([*grouping.columns, '_ts AS ROWTIME', '_off', '_part', gone])} FROM ({states})"


@dataclass(frozen=True)
class _SparkGrouping:
    """The parts of a grouped SELECT: the rows with their keys, the aggregates, the columns, and the condition."""

    rows: str
    keys: list[str]
    computed: list[str]
    columns: list[str]
    having: str


def _grouping(analysis: Analysis, relation: str, over: str = "") -> _SparkGrouping:
    selects.check_supported(analysis, SparkLowering.engine)
    calls = selects.aggregate_calls(analysis)
    arguments = [argument for call in calls for argument in call.expressions]
    relation, lowering = bound(
        [*arguments, *analysis.group, *_given(analysis.where)],
        selects.windowed(SYNTAX, relation, analysis.window),
        SparkLowering(selects.scope_of(analysis), joined_columns(analysis)),
    )
    chosen = reversible if all(source.is_table for source in analysis.sources) else aggregate
    substitutes = selects.state_columns(analysis)
    computed: list[str] = []
    for index, call in enumerate(calls):
        part, substitutes[call] = chosen(call, lowering, f"_a{index}", over)
        computed.append(f"{part} AS _a{index}")
    keys = [f"{lowering.value(key)} AS _k{index}" for index, key in enumerate(analysis.group)]
    names = [f"_k{index}" for index in range(len(keys))]
    after = SparkLowering(selects.scope_of(analysis), substitutes)
    columns = [f"{after.value(p.expression)} AS {spark_column(p.column.name)}" for p in analysis.projections]
    where = lowering.condition(analysis.where) if analysis.where is not None else "true"
    having = after.condition(analysis.having) if analysis.having is not None else "true"
    keyed = f"SELECT *, {', '.join(keys)} FROM ({relation}) WHERE {where}"
    rows = f"SELECT * FROM ({keyed}) WHERE {' AND '.join(f'{name} IS NOT NULL' for name in names)}"
    return _SparkGrouping(rows, names, computed, columns, having)


def _given(expression: exp.Expression | None) -> list[exp.Expression]:
    return [] if expression is None else [expression]


def _exploding(analysis: Analysis) -> list[exp.Anonymous]:
    """The distinct calls of table functions in a SELECT."""
    calls = (call for projection in analysis.projections for call in table_calls(projection.expression))
    return list(dict.fromkeys(calls))
