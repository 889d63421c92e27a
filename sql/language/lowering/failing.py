"""Finds expressions that are NULL in ksqlDB but not in SQL.

In ksqlDB, arithmetic on NULL fails, and the whole expression around the arithmetic becomes NULL.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

from sqlglot import exp

from opensea_metrics.sql.language.dialect.grammar import operands

_TAKING_NULL = ("STRUCT", "MAP", "TRANSFORM", "FILTER", "REDUCE")
"""Calls that contain a failure: arithmetic inside them does not make the expression around them NULL.

An ARRAY, a CAST, and a call that is an argument of a call contain it, too (observed on 7.9.1).
"""


def may_fail(expression: exp.Expression, known: Container[exp.Expression]) -> bool:
    """True if arithmetic on NULL could make an expression NULL. ``known`` are expressions that are already
    computed."""
    return any(_failing(expression, known))


def failing_parts(expression: exp.Expression, known: Container[exp.Expression]) -> list[exp.Expression] | None:
    """The arithmetic that makes an expression fail if its value is NULL. None if a branch may skip the arithmetic."""
    parts: list[exp.Expression] = []
    for part in _failing(expression, known):
        around: exp.Expr | None = part
        while around is not None and around is not expression:
            around = around.parent
            if isinstance(around, exp.Case | exp.And | exp.Or):
                return None
        parts.append(part)
    return parts


def _failing(expression: exp.Expression, known: Container[exp.Expression]) -> Iterator[exp.Expression]:
    """The outermost arithmetic whose failure reaches an expression."""
    pending = [expression]
    while pending:
        part = pending.pop()
        if isinstance(part, exp.Array | exp.Cast) or part in known:
            continue
        is_call = isinstance(part, exp.Anonymous)
        if is_call and str(part.this).upper() in _TAKING_NULL:
            continue
        if is_call and part is not expression and isinstance(part.parent, exp.Anonymous):
            continue
        if not is_arithmetic(part):
            pending.extend(part.iter_expressions())
        elif any(not isinstance(inner, exp.Literal) for inner in part.iter_expressions()):
            yield part


def may_be_null(condition: exp.Expression, known: Container[exp.Expression]) -> bool:
    """True if a condition can be NULL in ksqlDB, in addition to true and false."""
    match condition:
        case exp.Paren() | exp.Not():
            return may_be_null(condition.this, known)
        case exp.And() | exp.Or():
            return any(may_be_null(side, known) for side in sides(condition))
        case exp.Is() | exp.In() | exp.Between() | exp.NullSafeEQ() | exp.NullSafeNEQ():
            return may_fail(condition, known)
        case exp.EQ() | exp.NEQ() | exp.LT() | exp.LTE() | exp.GT() | exp.GTE():
            return may_fail(condition, known)
    return not isinstance(condition, exp.Boolean)


def sides(expression: exp.Expression) -> list[exp.Expression]:
    """The conditions that a chain of ANDs or ORs connects."""
    first, operations = operands(expression)
    return [first, *(operation.expression for operation in operations)]


def is_arithmetic(expression: exp.Expression) -> bool:
    """True if an expression's outermost operation is arithmetic."""
    if isinstance(expression, exp.Paren):
        return is_arithmetic(expression.this)
    if isinstance(expression, exp.Neg):
        return not isinstance(expression.this, exp.Literal)
    return isinstance(expression, exp.Add | exp.Sub | exp.Mul | exp.Div | exp.Mod)
