"""The keys that GROUP BY or PARTITION BY give to a SELECT's result, and the rules for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set
from dataclasses import replace

from sqlglot import exp

from opensea_metrics.core.errors import SqlError, Stage
from opensea_metrics.sql.language.catalog.sources import Column
from opensea_metrics.sql.language.functions import library as functions
from opensea_metrics.sql.language.queries.analysis import (
    Analysis,
    Projection,
    aggregates,
    is_aggregate,
)
from opensea_metrics.sql.language.queries.scope import shown
from opensea_metrics.sql.language.statements.parser import where
from opensea_metrics.sql.language.statements.statements import Kind, Statement


def checked(analysis: Analysis) -> Analysis:
    """The analysis with its keys added. Raises SqlError if ksqlDB does not allow the SELECT."""
    statement = analysis.statement
    counts = Counter(projection.column.name for projection in analysis.projections)
    if twice := next((name for name, count in counts.items() if count > 1), None):
        kind = next(p.column.type for p in reversed(analysis.projections) if p.column.name == twice)
        raise SqlError(
            f"Duplicate value columns found in schema: `{twice}` {kind}",
            statement.place,
            stage=Stage.QUERY,
        )
    if analysis.is_aggregation:
        calls = [call for p in analysis.projections for call in aggregates(p.expression)]
        if not analysis.group and statement.kind is not Kind.SELECT:
            raise SqlError(
                f"{statement.kind.value.upper()} statement does not support aggregate function "
                f"[{_without_star(calls[0])}] without a GROUP BY clause.",
                statement.place,
                "to get one row over everything, write SELECT 'all' AS scope, … GROUP BY 'all'",
                stage=Stage.QUERY,
            )
        if not calls and not (analysis.having is not None and is_aggregate(analysis.having)):
            raise SqlError(
                "GROUP BY requires aggregate functions in either the SELECT or HAVING clause.",
                statement.place,
                stage=Stage.QUERY,
            )
        if not analysis.group:  # only a client's query may aggregate without GROUP BY
            analysis = replace(analysis, group=(exp.true(),))
        return _keyed(analysis, analysis.group, "PRIMARY KEY")
    if analysis.partition:
        return _keyed(analysis, analysis.partition, "KEY")
    if statement.kind is not Kind.SELECT:
        _check_keys(analysis)
    return analysis


def _check_keys(analysis: Analysis) -> None:
    """Check that the SELECT contains the source's keys, because a persistent query keeps them."""
    selected = {p.expression.name for p in analysis.projections if isinstance(p.expression, exp.Column)}
    missing = [c.name for c in analysis.source.columns if c.is_key and c.name not in selected]
    if missing and not analysis.joined:
        raise SqlError(
            f"Key missing from projection (ie, SELECT). \nThe query used to build "
            f"`{analysis.statement.name}` must include the key column {missing[0]} in its projection "
            f"(eg, SELECT {missing[0]}...).",
            analysis.statement.place,
            stage=Stage.QUERY,
        )


def _without_star(call: exp.Anonymous) -> str:
    """A call as ksqlDB names it in a message, with ROWTIME in place of a star."""
    arguments = ", ".join(
        "ROWTIME" if isinstance(argument, exp.Star) else shown(argument)
        for argument in call.expressions
    )
    return f"{call.this}({arguments or 'ROWTIME'})"


def _keyed(
    analysis: Analysis, keys: tuple[exp.Expression, ...], role: str
) -> Analysis:
    statement = analysis.statement
    projections = []
    selected = set()
    wanted = frozenset(keys)
    for projection in analysis.projections:
        is_key = projection.expression in wanted and projection.expression not in selected
        if is_key:
            selected.add(projection.expression)
        elif analysis.is_aggregation:
            _check_grouped(statement, projection.expression, wanted)
        column = Column(projection.column.name, projection.column.type, role if is_key else None)
        projections.append(Projection(column, projection.expression))
    missing = [key for key in keys if key not in selected]
    if missing and statement.kind is not Kind.SELECT:
        clause = "grouping" if analysis.is_aggregation else "partitioning"
        text = shown(missing[0])
        raise SqlError(
            f"Key missing from projection (ie, SELECT). \nThe query used to build `{statement.name}` "
            f"must include the {clause} expression {text} in its projection (eg, SELECT {text}...).",
            where(statement, missing[0]),
            "ksqlDB keeps it as the key of the result, so the SELECT must contain it",
            stage=Stage.QUERY,
        )
    return replace(analysis, projections=tuple(projections))


def _check_grouped(
    statement: Statement, expression: exp.Expression, keys: Set[exp.Expression]
) -> None:
    """Check that every column outside an aggregate is a GROUP BY expression or one of the window's bounds."""
    pending = [expression]
    while pending:
        part = pending.pop()
        if part in keys or isinstance(part, exp.Identifier | exp.DataType):
            continue
        if isinstance(part, exp.Anonymous):
            function = functions.find(str(part.this))
            if function and function.kind == "aggregate":
                continue
        if isinstance(part, exp.Column):
            if part.name in ("WINDOWSTART", "WINDOWEND"):
                continue
            raise SqlError(
                f"Non-aggregate SELECT expression(s) not part of GROUP BY: {part.name}\n"
                "Either add the column(s) to the GROUP BY or remove them from the SELECT.",
                where(statement, part),
                stage=Stage.QUERY,
            )
        pending.extend(reversed(list(part.iter_expressions())))
