"""A SELECT with every name resolved, as plain values, and the function calls in its expressions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlglot import exp

from opensea_metrics.sql.language.catalog.sources import Column, Source, Window
from opensea_metrics.sql.language.functions import library as functions
from opensea_metrics.sql.language.statements.statements import Statement


@dataclass(frozen=True)
class Projection:
    """One column of the result. The names in ``expression`` are upper-cased and unqualified."""

    column: Column
    expression: exp.Expression


@dataclass(frozen=True, eq=False)
class Analysis:
    """A resolved SELECT. ``source`` is the first source. ``group`` is empty without GROUP BY.

    Instances are compared by identity, so functions of them can be cached (functools.cache).
    """

    statement: Statement
    source: Source
    joined: tuple[Source, ...]
    projections: tuple[Projection, ...]
    window: Window | None
    where: exp.Expression | None
    group: tuple[exp.Expression, ...]
    partition: tuple[exp.Expression, ...]
    having: exp.Expression | None
    emit: str | None
    limit: int | None
    is_aggregation: bool

    @property
    def columns(self) -> tuple[Column, ...]:
        """The result's columns as a sink has them: keys first, in the order of GROUP BY or PARTITION BY."""
        places = {key: place for place, key in enumerate(self.group or self.partition)}

        def order(projection: Projection) -> tuple[bool, int]:
            is_key = projection.column.is_key
            return not is_key, places.get(projection.expression, 0) if is_key else 0

        return tuple(projection.column for projection in sorted(self.projections, key=order))


def aggregates(expression: exp.Expression) -> Iterator[exp.Anonymous]:
    """The calls of aggregate functions in an expression."""
    return _calls(expression, "aggregate")


def table_calls(expression: exp.Expression) -> Iterator[exp.Anonymous]:
    """The calls of table functions in an expression."""
    return _calls(expression, "table")


def _calls(expression: exp.Expression, kind: str) -> Iterator[exp.Anonymous]:
    for call in expression.find_all(exp.Anonymous):
        function = functions.find(str(call.this))
        if function and function.kind == kind:
            yield call


def is_aggregate(expression: exp.Expression) -> bool:
    """True if the expression calls an aggregate function."""
    return next(aggregates(expression), None) is not None


def makes_rows(expression: exp.Expression) -> bool:
    """True if the expression calls a table function."""
    return next(table_calls(expression), None) is not None
