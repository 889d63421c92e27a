"""Checks which expressions each clause of a SELECT allows. Source: observed on 7.9.1 (tests/sql/types.yml)."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from opensea_metrics.core.types import name_of
from opensea_metrics.sql.language.functions.library import BUILT_IN
from opensea_metrics.sql.language.queries.analysis import aggregates, calls_by_kind, makes_rows
from opensea_metrics.sql.language.queries.scope import Scope
from opensea_metrics.sql.language.statements.statements import Kind

_BOUNDS = ("WINDOWSTART", "WINDOWEND")


_ON_TABLES = (
    "ATTR", "AVG", "COLLECT_LIST", "CORRELATION", "COUNT", "HISTOGRAM", "STDDEV_SAMP", "STDDEV_SAMPLE", "SUM",
    "SUM_LIST",
)  # fmt: skip
"""The ksqlDB aggregates that can remove an old value when a table's row changes."""


def check_table(query: exp.Expression, scope: Scope) -> None:
    """Raises SqlError for clauses and calls that a SELECT from a table must not have, because they need a stream."""
    if keys := query.args.get("partition"):
        raise scope.error(keys[0], "Cannot repartition a TABLE source.", "PARTITION BY is for streams")
    if query.args.get("window") is not None:
        raise scope.error(query.expressions[0], "Windowing not supported for table aggregations.")
    for item in query.expressions:
        if makes_rows(item):
            raise scope.error(item, "Table source is not supported with table functions")
        for call in aggregates(item):
            name = str(call.this).upper()
            if name in BUILT_IN and name not in _ON_TABLES:
                message = f"The aggregation function {name} cannot be applied to a table source"
                hint = f"these can be applied to a table: {', '.join(_ON_TABLES)}"
                raise scope.error(call, f"{message}, only to a stream source.", hint)


def check_clauses(query: exp.Expression, scope: Scope) -> None:
    """Raises SqlError for clauses that exclude each other, and for calls in clauses that do not allow them."""
    groups = query.args.get("group") or []
    partition = query.args.get("partition") or []
    if groups and partition:
        raise scope.error(partition[0], "Queries only support one of PARTITION BY and GROUP BY", "leave one out")
    limit = query.args.get("limit")
    if limit is not None and scope.statement.kind in (Kind.CREATE_STREAM_AS, Kind.CREATE_TABLE_AS):
        kind = scope.statement.kind.value.upper().removesuffix(" SELECT")
        raise scope.error(limit, f"{kind} SELECT statements don't support LIMIT clause.", "leave LIMIT out")
    if len(partition) > 1 and any(isinstance(key, exp.Null) for key in partition):
        raise scope.error(partition[0], "Cannot PARTITION BY multiple columns including NULL")
    for key in groups:
        if isinstance(key, exp.Null):
            raise scope.error(key, "GROUP BY NULL fails in ksqlDB", "for one group: GROUP BY 'all'")
        for call in aggregates(key):
            name = str(call.this).upper()
            message = f"GROUP BY does not support aggregate functions: {name} is an aggregate function."
            raise scope.error(call, message, "group by the columns that it reads")
    where = query.args.get("where")
    for clause, expressions in (("WHERE", [where] if where else []), ("PARTITION BY", partition)):
        for expression in expressions:
            _check_scalar(clause, expression, scope)
    _check_nesting(query.expressions, bool(groups), scope)
    _check_bounds(query, scope)


def _check_scalar(clause: str, expression: exp.Expression, scope: Scope) -> None:
    """Raises SqlError for an aggregate or a table function."""
    aggregate, table = calls_by_kind(expression)
    for call in (*aggregate, *table):
        name = str(call.this).upper()
        hint = f"{name} is not allowed in {clause}"
        if clause == "WHERE":
            hint += "; HAVING selects groups"
        raise scope.error(call, f"Can't find any functions with the name '{name}'.", hint)


def _check_nesting(items: list[exp.Expression], is_grouped: bool, scope: Scope) -> None:
    calls_of_items = [calls_by_kind(item) for item in items]
    has_aggregates = is_grouped or any(aggregate for aggregate, _ in calls_of_items)
    for item, (aggregate, table) in zip(items, calls_of_items, strict=True):
        if has_aggregates and table:
            raise scope.error(item, "Table functions cannot be used with aggregations.")
        for kind, calls in (("Aggregate", aggregate), ("Table", table)):
            for call in calls:
                for outer in _calls_around(call):
                    if any(outer is other for other in calls):
                        names = f"{str(outer.this).upper()}({str(call.this).upper()}())"
                        raise scope.error(call, f"{kind} functions can not be nested: {names}")


def _calls_around(call: exp.Expression) -> Iterator[exp.Anonymous]:
    parent = call.parent
    while parent is not None:
        if isinstance(parent, exp.Anonymous):
            yield parent
        parent = parent.parent


def _check_bounds(query: exp.Expression, scope: Scope) -> None:
    """Raises SqlError for a window's bounds in places where a windowed aggregation does not allow them."""
    if query.args.get("window") is None:
        return
    places = [*(query.args.get("group") or []), *filter(None, [query.args.get("where"), query.args.get("having")])]
    for item in query.expressions:
        places += aggregates(item)
    for place in places:
        for column in place.find_all(exp.Column):
            if name_of(column.this) in _BOUNDS and isinstance(column.this, exp.Identifier):
                raise scope.error(
                    column,
                    f"Window bounds column {name_of(column.this)} can only be used in the SELECT clause of windowed"
                    " aggregations and can not be passed to aggregate functions.",
                )
