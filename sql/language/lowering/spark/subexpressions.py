"""Finds subexpressions that Spark should compute once. Each becomes a column of an inner relation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlglot import exp

from opensea_metrics.sql.language.lowering.expressions import owner
from opensea_metrics.sql.language.lowering.spark.expressions import SparkLowering
from opensea_metrics.sql.language.queries.analysis import is_aggregate, makes_rows


def bound(
    expressions: Sequence[exp.Expression], relation: str, lowering: SparkLowering
) -> tuple[str, SparkLowering]:
    """The relation with further columns, and a lowering that uses these columns.

    Each expensive subexpression gets a column, and so does each one that Spark's SQL repeats. Otherwise the SQL would
    grow with every level of an expression, and Spark could not compile it.
    """
    levels: dict[int, dict[exp.Expression, str]] = {}
    guards = _guards(expressions)

    def visit(node: exp.Expression) -> int:
        """Bind the subexpressions. Returns the level of the last one that got a column."""
        if isinstance(node, exp.Lambda) or node in lowering.substitutes:
            return 0
        if isinstance(node, exp.Dot) and isinstance(owner(node), exp.Column):
            level = 1
        else:
            level = max(map(visit, node.iter_expressions()), default=0)
            if not _is_expensive(node) or is_aggregate(node) or makes_rows(node):
                return level
            if guard := guards.get(node):
                level = max(level, visit(guard))
            level += 1
        columns = levels.setdefault(level, {})
        columns.setdefault(node, f"_e{level}_{len(columns)}")
        return level

    for expression in expressions:
        visit(expression)
    for _, named in sorted(levels.items()):
        computed = (
            f"{_guarded(lowering, node, guards.get(node))} AS {name}" for node, name in named.items()
        )
        relation = f"SELECT *, {', '.join(computed)} FROM ({relation})"
        lowering = replace(lowering, substitutes={**lowering.substitutes, **named})
    return relation, lowering


def _guards(expressions: Sequence[exp.Expression]) -> dict[exp.Expression, exp.Expression | None]:
    """For each expensive subexpression: the condition under which it is evaluated.

    It is the condition of the only CASE branch that contains the subexpression, or None without such a branch.
    """
    guards: dict[exp.Expression, exp.Expression | None] = {}

    def visit(node: exp.Expression, guard: exp.Expression | None) -> None:
        if _is_expensive(node) and guards.setdefault(node, guard) != guard:
            guards[node] = None
        branch = node.this if isinstance(node, exp.If) else None
        for inside in node.iter_expressions():
            visit(inside, guard or (branch if inside is not branch else None))

    for expression in expressions:
        visit(expression, None)
    return guards


def _guarded(lowering: SparkLowering, node: exp.Expression, guard: exp.Expression | None) -> str:
    value = lowering.value(node)
    return f"CASE WHEN {lowering.condition(guard)} THEN {value} END" if guard else value


def _is_expensive(node: exp.Expression) -> bool:
    if isinstance(node, exp.Anonymous):
        return str(node.this).upper() == "REGEXP_EXTRACT"
    return isinstance(node, exp.Cast | exp.Div | exp.Mod)
