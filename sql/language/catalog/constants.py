"""Computes expressions without columns, if this is possible without an engine."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from sqlglot import exp

from opensea_metrics.core.types import (
    BIGINT,
    DATE,
    DOUBLE,
    INTEGER,
    STRING,
    TIME,
    TIMESTAMP,
    DecimalType,
    KsqlType,
)
from opensea_metrics.sql.language.dialect.grammar import is_chained, operands
from opensea_metrics.sql.language.queries.inference import infer
from opensea_metrics.sql.language.queries.scope import COMPARISONS, Scope
from opensea_metrics.sql.language.values import coercion, timestamps

UNKNOWN: Final = object()
"""The value of an expression that only an engine can compute."""

_BITS = {INTEGER: 32, BIGINT: 64}
_INTEGER = re.compile(r"([+-]?)(?=[0-9])0*([0-9]*)")
_OPERATIONS = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_TIMES = {DATE: timestamps.days, TIME: timestamps.time_of_day, TIMESTAMP: timestamps.milliseconds}


class Failing(Exception):
    """ksqlDB cannot compute an expression. The message says why; ``part`` is the part that fails."""

    def __init__(self, reason: str, part: exp.Expression) -> None:
        super().__init__(reason)
        self.part = part


Compute = Callable[[exp.Expression], Any]
"""A function that returns the value of an expression that only an engine can compute, or UNKNOWN."""


def constant(expression: exp.Expression, scope: Scope, compute: Compute = lambda _: UNKNOWN) -> Any:
    """The value of an expression without columns, or UNKNOWN if only an engine can compute it.

    The supported expressions are literals, signs, concatenations, arithmetic on whole numbers and DECIMALs, casts,
    comparisons, AND, OR, NOT, IS NULL and CASE. ``compute`` is called for parts that decide whether ksqlDB can
    compute the rest, such as the condition of a CASE or an operand of arithmetic. Raises SqlError. Raises
    Failing if ksqlDB cannot compute the expression or a part of it that ksqlDB evaluates.
    """
    match expression:
        case exp.Literal():
            return _literal(str(expression.this), expression.is_string, infer(expression, scope))
        case exp.Neg(this=exp.Literal(is_string=False)):
            return -_literal(str(expression.this.this), False, infer(expression, scope))
        case exp.Boolean():
            return bool(expression.this)
        case exp.Null():
            return None
        case exp.Paren():
            return constant(expression.this, scope, compute)
        case exp.Neg():
            value = constant(expression.this, scope, compute)
            return -_wrapped(value, infer(expression, scope)) if _is_number(value) else UNKNOWN
        case exp.Cast():
            return _cast(expression, scope, compute)
        case exp.Case():
            return _case(expression, scope, compute)
        case exp.Is():
            value = constant(expression.this, scope, compute)
            return UNKNOWN if value is UNKNOWN else value is None
        case exp.Not():
            value = constant(expression.this, scope, compute)
            return not value if isinstance(value, bool) else UNKNOWN
        case exp.And() | exp.Or():
            return _connected(expression, scope, compute)
    if type(expression) in COMPARISONS:
        sides = (expression.this, expression.expression)
        return _compared(expression, *(constant(side, scope, compute) for side in sides))
    if type(expression) not in _OPERATIONS:
        for part in _computed(expression):
            constant(part, scope, compute)
        return UNKNOWN
    first, operations = (
        operands(expression) if is_chained(expression) else (expression.this, [expression])
    )
    value = _operand(first, scope, compute)
    for operation in operations:
        right = _operand(operation.expression, scope, compute)
        kind = infer(operation, scope)
        if kind != STRING and (value is None or right is None):
            raise Failing("an operand is NULL", operation)
        value = _wrapped(_calculated(operation, value, right), kind)
    return value


def _operand(expression: exp.Expression, scope: Scope, compute: Compute) -> Any:
    value = constant(expression, scope, compute)
    if value is UNKNOWN and infer(expression, scope).name in ("INTEGER", "BIGINT", "DECIMAL"):
        return compute(expression)
    return value


def _case(case: exp.Case, scope: Scope, compute: Compute) -> Any:
    """The value of the first branch whose condition is true. ksqlDB computes no other branch."""
    for branch in case.args["ifs"]:
        condition = constant(branch.this, scope, compute)
        if condition is None:
            raise Failing("a condition of CASE is NULL", branch.this)
        if condition is UNKNOWN:
            condition = compute(branch.this)
        if condition is UNKNOWN:
            return UNKNOWN
        if condition:
            return constant(branch.args["true"], scope, compute)
    default = case.args.get("default")
    return None if default is None else constant(default, scope, compute)


def _connected(expression: exp.Expression, scope: Scope, compute: Compute) -> Any:
    """AND or OR. ksqlDB does not evaluate the operands after one that decides the result."""
    first, connectors = operands(expression)
    value = constant(first, scope, compute)
    for connector in connectors:
        if not isinstance(value, bool):
            return UNKNOWN
        if value is isinstance(connector, exp.And):
            value = constant(connector.expression, scope, compute)
    return value if isinstance(value, bool) else UNKNOWN


def _compared(comparison: exp.Expression, left: Any, right: Any) -> Any:
    """The result of a comparison. Texts are only compared for equality, because ksqlDB sorts texts as Java does."""
    are_exact = all(_is_number(side) and not isinstance(side, float) for side in (left, right))
    are_alike = type(left) is type(right) and isinstance(left, str | bool)
    are_equatable = are_alike and isinstance(comparison, exp.EQ | exp.NEQ)
    if not (are_exact or are_equatable):
        return UNKNOWN
    return _COMPARE[COMPARISONS[type(comparison)][0]](left, right)


def _computed(expression: exp.Expression) -> list[exp.Expression]:
    """The parts that ksqlDB always computes."""
    return [] if isinstance(expression, exp.Lambda) else list(expression.iter_expressions())


def _literal(text: str, is_string: bool, kind: KsqlType) -> Any:
    if is_string:
        return text
    return float(text) if kind == DOUBLE else Decimal(text) if kind.name == "DECIMAL" else _whole(text)


def _whole(digits: str) -> int:
    """A number with at most 19 digits after leading zeros. The zeros go first: Python reads at most 4,300 digits."""
    return int(digits.lstrip("0") or "0")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _calculated(operation: exp.Expression, left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        return left + right
    if any(isinstance(side, float) or not _is_number(side) for side in (left, right)):
        return UNKNOWN
    if isinstance(operation, exp.Div | exp.Mod) and right == 0:
        raise Failing("the divisor is zero", operation)
    match operation:
        case exp.Add():
            return left + right
        case exp.Sub():
            return left - right
        case exp.Mul():
            return left * right
    if isinstance(left, int) and isinstance(right, int):
        quotient = abs(left) // abs(right) * (1 if (left < 0) is (right < 0) else -1)  # towards zero
        return quotient if isinstance(operation, exp.Div) else left - right * quotient
    return UNKNOWN


def _wrapped(value: Any, kind: KsqlType) -> Any:
    """A whole number that wraps around as in Java."""
    if kind not in _BITS or not isinstance(value, int):
        return value
    half = 1 << (_BITS[kind] - 1)
    return (value + half) % (2 * half) - half


def _cast(cast: exp.Cast, scope: Scope, compute: Compute) -> Any:
    value, kind = constant(cast.this, scope, compute), infer(cast, scope)
    if value is None or infer(cast.this, scope) == kind:
        return value
    if isinstance(value, str):
        return _parsed(value, kind, cast)
    if isinstance(kind, DecimalType) and _is_number(value) and not isinstance(value, float):
        return _decimal(value, kind, cast)
    return UNKNOWN


def _parsed(text: str, kind: KsqlType, cast: exp.Cast) -> Any:
    """A text cast to another type."""
    if isinstance(kind, DecimalType):
        return _decimal(text.strip(), kind, cast)
    if kind in _BITS:
        written = _INTEGER.fullmatch(text.strip())
        if written and len(written[2]) <= 19:
            number = int(written[1] + (written[2] or "0"))
            if number == _wrapped(number, kind):
                return number
        raise _no_cast(text, kind, cast)
    if kind in _TIMES and _TIMES[kind](text) is None:
        raise _no_cast(text, kind, cast)
    if kind == DOUBLE and not (re.search(r"[0-9]", text) or text.strip(" +-") in ("NaN", "Infinity")):
        raise _no_cast(text, kind, cast)
    return text if kind == STRING else UNKNOWN


def _decimal(value: str | int | Decimal, kind: DecimalType, cast: exp.Cast) -> Decimal:
    try:
        return coercion.rounded(value, kind)
    except coercion.Mismatch:
        raise _no_cast(value, kind, cast) from None


def _no_cast(value: Any, kind: KsqlType, cast: exp.Cast) -> Failing:
    written = f"'{value}'" if isinstance(value, str) else value
    return Failing(f"{written} is not a valid {kind}", cast)
