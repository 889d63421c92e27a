"""The keys of a SELECT's result, which GROUP BY or PARTITION BY sets, and the rules for these keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Set
from dataclasses import replace

from sqlglot import exp

from opensea_metrics.core.errors import SqlError, Stage
from opensea_metrics.sql.language.catalog.formats import check_key_type
from opensea_metrics.sql.language.catalog.sources import Column
from opensea_metrics.sql.language.functions import library as functions
from opensea_metrics.sql.language.queries.analysis import (
    Analysis,
    JoinKey,
    Projection,
    aggregates,
    is_aggregate,
)
from opensea_metrics.sql.language.queries.scope import shown
from opensea_metrics.sql.language.statements.parser import where
from opensea_metrics.sql.language.statements.statements import Kind, Statement


def checked(analysis: Analysis, join: JoinKey | None) -> Analysis:
    """The analysis with its keys. ``join`` is the key of a join. Raises SqlError if ksqlDB refuses the SELECT."""
    keyed = _checked(analysis, join)
    for column in keyed.columns:
        if column.is_key:
            check_key_type(analysis.statement, column)
    if analysis.statement.kind is not Kind.SELECT:
        _check_copies(keyed)
        if all(column.is_key for column in keyed.columns):
            raise _error(analysis, "The projection contains no value columns.", "select a column that is not a key")
    return keyed


def _checked(analysis: Analysis, join: JoinKey | None) -> Analysis:
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
    if analysis.partition == (exp.Null(),):
        return _with_roles(analysis, {}, "KEY")
    if analysis.partition:
        return _keyed(analysis, analysis.partition, "KEY")
    if join is not None:
        return _joined(analysis, join)
    if statement.kind is not Kind.SELECT:
        _check_keys(analysis)
    return analysis


def _error(analysis: Analysis, message: str, hint: str | None = None) -> SqlError:
    return SqlError(message, analysis.statement.place, hint, stage=Stage.QUERY)


def _with_roles(analysis: Analysis, keys: Collection[exp.Expression], role: str) -> Analysis:
    """The analysis with the projections of ``keys`` as its keys, and no others."""
    projections = tuple(
        Projection(Column(p.column.name, p.column.type, role if p.expression in keys else None), p.expression)
        for p in analysis.projections
    )
    return replace(analysis, projections=projections)


def _joined(analysis: Analysis, join: JoinKey) -> Analysis:
    """The analysis of a join with its key: the first column with the key's value that is selected."""
    name = analysis.statement.name
    missing = f"Key missing from projection (ie, SELECT). \nThe query used to build `{name}` must include the"
    is_persistent = analysis.statement.kind is not Kind.SELECT
    selected = {projection.expression for projection in analysis.projections}
    role = "PRIMARY KEY" if analysis.source.is_table else "KEY"
    keys = join.columns
    if join.synthetic is not None:
        column = join.synthetic[0]
        message = (
            f"{missing} join expression {column} in its projection (eg, SELECT {column}...).\n{column} was added as a"
            " synthetic key column because the join criteria did not match any source column. This expression must"
            " be included in the projection and may be aliased."
        )
    else:
        shown_keys = [f"{alias}.{column}" for alias, column in join.viable]
        message = (
            f"{missing} join expressions {' or '.join(shown_keys)} in its projection (eg, SELECT {shown_keys[0]}...)."
        )
    if join.is_foreign:
        absent = [column for (_, column), key in zip(join.viable, keys, strict=True) if key not in selected]
        message = (
            "Primary key column missing in projection. For foreign-key table-table joins, the projection must include"
            f" all primary key columns from the left input table. Missing column: `{', '.join(absent)}`."
        )
        chosen = keys
    else:
        chosen = [key for key in keys if key in selected][:1]
        absent = [] if chosen else [message]
    if is_persistent and absent:
        raise _error(analysis, message)
    return _with_roles(analysis, chosen, role)


def _check_keys(analysis: Analysis) -> None:
    """Check that the SELECT contains the source's keys, because a persistent query keeps them."""
    selected = {p.expression.name for p in analysis.projections if isinstance(p.expression, exp.Column)}
    missing = [c.name for c in analysis.source.columns if c.is_key and c.name not in selected]
    if missing:
        raise _error(
            analysis,
            f"Key missing from projection (ie, SELECT). \nThe query used to build "
            f"`{analysis.statement.name}` must include the key column {missing[0]} in its projection "
            f"(eg, SELECT {missing[0]}...).",
        )


def _check_copies(analysis: Analysis) -> None:
    """Raises SqlError for a key that is selected twice."""
    keys = [p for p in analysis.projections if p.column.is_key]
    for key in keys:
        names = [p.column.name for p in analysis.projections if p.expression == key.expression]
        if len(names) > 1:
            raise _error(
                analysis,
                f"The projection contains a key column (`{names[0]}`) more than once, aliased as: "
                f"{' and '.join(sorted(names))}.\nEach key column must only be in the projection once. If you"
                " intended to copy the key into the value, then consider using the `AS_VALUE` function to indicate"
                " which key reference should be copied.",
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
    if analysis.is_aggregation and analysis.having is not None:
        _check_grouped(statement, analysis.having, wanted, is_having=True)
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
    statement: Statement, expression: exp.Expression, keys: Set[exp.Expression], is_having: bool = False
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
            message = (
                f"Non-aggregate SELECT expression(s) not part of GROUP BY: {part.name}\n"
                "Either add the column(s) to the GROUP BY or remove them from the SELECT."
            )
            if is_having:
                message = (
                    f"Non-aggregate HAVING expression not part of GROUP BY: {part.name}\n"
                    "Consider switching the HAVING clause to a WHERE clause before the GROUP BY."
                )
            raise SqlError(
                message,
                where(statement, part),
                stage=Stage.QUERY,
            )
        pending.extend(reversed(list(part.iter_expressions())))
