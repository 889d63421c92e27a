"""What expressions without columns give, as far as no engine is needed to know it."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

from sqlglot import exp

from sql import coercion, timestamps
from sql.inference import infer
from sql.nesting import is_chained, operands
from sql.scope import Scope
from sql.types import BIGINT, DATE, DOUBLE, INTEGER, STRING, TIME, TIMESTAMP, DecimalType, KsqlType

UNKNOWN: Final = object()
"""The value of an expression that only an engine can compute."""

_BITS = {INTEGER: 32, BIGINT: 64}
_INTEGER = re.compile(r"([+-]?)(?=[0-9])0*([0-9]*)")
_OPERATIONS = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod)
_TIMES = {DATE: timestamps.days, TIME: timestamps.time_of_day, TIMESTAMP: timestamps.milliseconds}


class Failing(Exception):
    """An expression that ksqlDB cannot compute. The message says why; ``part`` is what fails."""

    def __init__(self, reason: str, part: exp.Expression) -> None:
        super().__init__(reason)
        self.part = part


def constant(expression: exp.Expression, scope: Scope) -> Any:
    """The value of a literal, a sign, a concatenation, arithmetic on whole numbers and DECIMALs, or a cast;
    UNKNOWN of anything else. Raises Failing if that, or a part of it, cannot be computed, and SqlError."""
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
            return constant(expression.this, scope)
        case exp.Neg():
            value = constant(expression.this, scope)
            return -_wrapped(value, infer(expression, scope)) if _is_number(value) else UNKNOWN
        case exp.Cast():
            return _cast(expression, scope)
    if type(expression) not in _OPERATIONS:
        for part in _computed(expression):
            constant(part, scope)
        return UNKNOWN
    first, operations = (
        operands(expression) if is_chained(expression) else (expression.this, [expression])
    )
    value = constant(first, scope)
    for operation in operations:
        right = constant(operation.expression, scope)
        kind = infer(operation, scope)
        if kind != STRING and (value is None or right is None):
            raise Failing("it calculates with NULL", operation)
        value = _wrapped(_calculated(operation, value, right), kind)
    return value


def _computed(expression: exp.Expression) -> list[exp.Expression]:
    """The parts that ksqlDB computes in any case: not the branches of a CASE, nor what AND and OR may skip."""
    match expression:
        case exp.Case():
            return [expression.args["ifs"][0].this]
        case exp.And() | exp.Or():
            return [operands(expression)[0]]
        case exp.Lambda():
            return []
    return list(expression.iter_expressions())


def _literal(text: str, is_string: bool, kind: KsqlType) -> Any:
    if is_string:
        return text
    return float(text) if kind == DOUBLE else Decimal(text) if kind.name == "DECIMAL" else _whole(text)


def _whole(digits: str) -> int:
    """A number of at most 19 digits after its zeros: Python takes no more than 4,300 in all."""
    return int(digits.lstrip("0") or "0")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _calculated(operation: exp.Expression, left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        return left + right
    if any(isinstance(side, float) or not _is_number(side) for side in (left, right)):
        return UNKNOWN
    if isinstance(operation, exp.Div | exp.Mod) and right == 0:
        raise Failing("it divides by zero", operation)
    match operation:
        case exp.Add():
            return left + right
        case exp.Sub():
            return left - right
        case exp.Mul():
            return left * right
    return UNKNOWN


def _wrapped(value: Any, kind: KsqlType) -> Any:
    """A whole number wrapped around as Java does."""
    if kind not in _BITS or not isinstance(value, int):
        return value
    half = 1 << (_BITS[kind] - 1)
    return (value + half) % (2 * half) - half


def _cast(cast: exp.Cast, scope: Scope) -> Any:
    value, kind = constant(cast.this, scope), infer(cast, scope)
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
    return Failing(f"{written} is no {kind}", cast)
