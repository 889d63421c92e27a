"""Types of conditions: comparisons, and AND, OR, NOT, IS NULL, IN, BETWEEN and LIKE."""

from __future__ import annotations

from sqlglot import exp

from opensea_metrics.core.conversions import common
from opensea_metrics.core.errors import SqlError
from opensea_metrics.core.types import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    INTEGER,
    NULL,
    STRING,
    TIME,
    KsqlType,
    name_of,
)
from opensea_metrics.sql.language.functions.coercion import TIMES, comparable, widest
from opensea_metrics.sql.language.queries.scope import ARITHMETIC, COMPARISONS, Infer, Scope, shown
from opensea_metrics.sql.language.values.timestamps import milliseconds

_NESTED = ("ARRAY", "MAP", "STRUCT")
_UNORDERED = ("BOOLEAN", *_NESTED)
"""Types whose values ksqlDB compares only with = and <>."""


def predicate(expression: exp.Expression, scope: Scope, infer: Infer) -> KsqlType:
    """The type of AND, OR, NOT, IS NULL, IN, BETWEEN, LIKE or ESCAPE. Raises SqlError for operands that do not fit."""
    match expression:
        case exp.And() | exp.Or():
            expect_boolean(expression.this, scope, infer)
            expect_boolean(expression.expression, scope, infer)
        case exp.Not():
            expect_boolean(expression.this, scope, infer)
        case exp.In():
            if all(isinstance(choice, exp.Null) for choice in expression.expressions):
                raise scope.error(expression, "IN with only NULLs fails in ksqlDB", "write IS NULL")
            widest(comparable([expression.this, *expression.expressions], scope, infer), scope, infer)
        case exp.Between():
            bounds = [expression.args["low"], expression.args["high"]]
            is_time = scope.clause == "WHERE" and is_time_bound(expression.this)
            if is_time and all(_is_time(bound, scope) for bound in bounds):
                return BOOLEAN
            _check_bounds(expression.this, bounds, scope, infer)
        case exp.Like():
            for side in (expression.this, expression.expression):
                if infer(side, scope) not in (STRING, NULL):
                    raise scope.error(side, "LIKE compares strings")
        case exp.Escape():
            if len(mark := str(expression.expression.this)) != 1:
                message = f"Expected single character escape but got: {mark}"
                raise scope.error(expression.expression, message, "give ESCAPE one character, as in ESCAPE '!'")
            if mark == "\\":  # observed: the compiler of 7.9.1 does not close the quote
                message = "a backslash as the escape character fails in ksqlDB"
                raise scope.error(expression.expression, message, "use another character, as in ESCAPE '!'")
            return infer(expression.this, scope)
        case _:  # IS NULL
            kind = infer(expression.this, scope)
            if type(expression.this.unnest()) in ARITHMETIC and kind in (INTEGER, BIGINT, DOUBLE):
                # Observed: the compiler of 7.9.1 cannot compare a primitive number with null.
                message = f"({shown(expression.this)}) IS NULL fails in ksqlDB: arithmetic is never NULL there"
                raise scope.error(expression.this, message, "test an operand with IS NULL")
    return BOOLEAN


def _check_bounds(
    value: exp.Expression, bounds: list[exp.Expression], scope: Scope, infer: Infer
) -> None:
    """Raises SqlError if BETWEEN cannot compare a value with its bounds."""
    kind = infer(value, scope)
    if kind.name in _UNORDERED:
        raise scope.error(value, f"{kind} has no order, so BETWEEN cannot compare it")
    for bound in bounds:
        limit = infer(bound, scope)
        if NULL in (kind, limit):
            raise scope.error(bound, "BETWEEN with NULL fails in ksqlDB", "give BETWEEN two values")
        if not _comparable(kind, limit):
            raise scope.error(bound, f"{limit} does not fit with {kind}", "use CAST")


def _comparable(left: KsqlType, right: KsqlType) -> bool:
    """Whether ksqlDB compares values of two types: a text stands for a date or a time."""
    if common(left, right) is not None or (left.name == right.name and left.name in _NESTED):
        return True
    times = [kind for kind in (left, right) if kind in TIMES]
    return bool(times) and (STRING in (left, right) or (len(times) == 2 and TIME not in times))


def comparison(expression: exp.Expression, scope: Scope, infer: Infer) -> KsqlType:
    """The type of a comparison. Raises SqlError for operands that ksqlDB does not compare."""
    left, right = infer(expression.this, scope), infer(expression.expression, scope)
    sides = (expression.this, expression.expression)
    if NULL in (left, right):
        message = f"Comparison with NULL not supported: {left} {COMPARISONS[type(expression)][0]} {right}"
        raise scope.error(expression, message, "use IS NULL or IS NOT NULL")
    is_time = scope.clause == "WHERE" and any(map(is_time_bound, sides))
    is_equality = isinstance(expression, exp.EQ | exp.NEQ | exp.NullSafeEQ | exp.NullSafeNEQ)
    is_ordered = is_equality or left.name not in _UNORDERED
    fits = is_ordered and _comparable(left, right)
    if not fits and not (is_time and any(_is_time(side, scope) for side in sides)):
        text, name = shown(expression), COMPARISONS[type(expression)][1]
        raise scope.error(
            expression,
            f"Error in {scope.clause} expression: Cannot compare {shown(expression.this)} ({left}) to "
            f"{shown(expression.expression)} ({right}) with {name}.\nStatement: {text}\n"
            f"Statement: {text}",
            "use CAST" if is_ordered else f"{left} has no order: compare with = or <>",
        )
    return BOOLEAN


def expect_boolean(expression: exp.Expression, scope: Scope, infer: Infer) -> None:
    """Raise SqlError for an expression that is not a condition."""
    kind = infer(expression, scope)
    if kind == NULL:
        hint = "a condition is TRUE or FALSE: write CAST(NULL AS BOOLEAN) for one that is neither"
        raise scope.error(expression, "NULL is not a condition in ksqlDB", hint)
    if kind != BOOLEAN:
        raise condition_error(expression, kind, scope)


def condition_error(expression: exp.Expression, kind: KsqlType, scope: Scope) -> SqlError:
    """The error for an expression that is not a condition."""
    text = shown(expression)
    return scope.error(
        expression,
        f"Type error in {scope.clause} expression: Should evaluate to boolean but is {text} ({kind}) "
        f"instead.\nStatement: {text}",
    )


def is_time_bound(expression: exp.Expression) -> bool:
    """True for ksqlDB's own time columns, which can be compared with a text such as '2026-09-15T10:00:00'."""
    bounds = ("WINDOWSTART", "WINDOWEND", "ROWTIME")
    return isinstance(expression, exp.Column) and name_of(expression.this) in bounds


def _is_time(expression: exp.Expression, scope: Scope) -> bool:
    """True for a text, which must be a time. Raises SqlError for texts that are not times."""
    if not (isinstance(expression, exp.Literal) and expression.is_string):
        return False
    text = str(expression.this)
    if milliseconds(text) is None:
        raise scope.error(
            expression,
            f"Failed to parse timestamp '{text}'",
            "write it as 2020-05-26T23:59:58.000 or 2020-05-26T23:59:58.000+0200; you may omit parts at"
            " the end, as in 2020-05-26",
        )
    return True
