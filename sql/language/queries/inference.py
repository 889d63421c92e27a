"""Types of expressions. Unknown columns and operations on wrong types are errors."""

from __future__ import annotations

import math
import sys

from sqlglot import exp

from opensea_metrics.core.conversions import castable, common, is_numeric, same
from opensea_metrics.core.types import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    INTEGER,
    NULL,
    STRING,
    ArrayType,
    DecimalType,
    KsqlType,
    MapType,
    StructType,
    array,
    name_of,
)
from opensea_metrics.core.wording import listed, nearest
from opensea_metrics.sql.language.catalog.declarations import written_type
from opensea_metrics.sql.language.dialect.grammar import is_chained
from opensea_metrics.sql.language.functions.calls import call_type
from opensea_metrics.sql.language.functions.coercion import members
from opensea_metrics.sql.language.functions.notation import UNIT
from opensea_metrics.sql.language.functions.signatures import arithmetic
from opensea_metrics.sql.language.queries.conditions import comparison, expect_boolean, predicate
from opensea_metrics.sql.language.queries.scope import ARITHMETIC, COMPARISONS, Scope, shown

_SIGNS = {"+": "plus", "-": "minus"}


def infer(expression: exp.Expression, scope: Scope) -> KsqlType:
    """The type of an expression. Raises SqlError with the place of the error."""
    # A chain of operators is nested as deeply as it is long, so the types are computed from the inside out.
    pending = [expression]
    while is_chained(pending[-1]) and id(pending[-1]) not in scope.types:
        pending.append(pending[-1].this)
    for part in reversed(pending):
        if id(part) not in scope.types:
            scope.types[id(part)] = part, _infer(part, scope)
            if "is_signed" in part.meta:
                _check_number(part, scope.types[id(part)][1], "+", scope)
    return scope.types[id(expression)][1]


def _infer(expression: exp.Expression, scope: Scope) -> KsqlType:
    match expression:
        case exp.Column():
            return _column(expression, scope)
        case exp.Identifier():
            return _parameter(expression, scope)
        case exp.Literal():
            return _literal(expression, scope)
        case exp.Neg(this=exp.Literal(is_string=False)):
            return _literal(expression.this, scope, sign="-")
        case exp.Boolean():
            return BOOLEAN
        case exp.Null():
            return NULL
        case exp.Neg():
            kind = infer(expression.this, scope)
            _check_number(expression.this, kind, "-", scope)
            return kind
        case exp.Paren() | exp.Alias():
            return infer(expression.this, scope)
        case exp.Dot():
            return _field(expression, scope)
        case exp.Bracket():
            return _element(expression, scope)
        case exp.Array():
            return array(members(expression, expression.expressions, "array", "element", scope, infer))
        case exp.Cast():
            return _cast(expression, scope)
        case exp.Case():
            return _case(expression, scope)
        case exp.And() | exp.Or() | exp.Not() | exp.Is() | exp.In() | exp.Between() | exp.Like() | exp.Escape():
            return predicate(expression, scope, infer)
        case exp.DPipe():
            return _string_sum(expression, scope)
        case exp.Anonymous():
            return call_type(expression, scope, infer)
        case exp.Var():
            return UNIT
        case exp.Lambda():
            raise scope.error(expression, "a lambda can only be the argument of a function")
    if type(expression) in COMPARISONS:
        return comparison(expression, scope, infer)
    if type(expression) in ARITHMETIC:
        return _arithmetic(expression, scope)
    raise scope.error(expression, f"'{expression.sql()}' is not supported here")


def _column(column: exp.Column, scope: Scope) -> KsqlType:
    name = name_of(column.this)
    alias = name_of(column.args["table"]) if column.args.get("table") else None
    if alias is None and name in scope.parameters:
        return scope.parameters[name]
    if alias is not None and alias not in scope.columns:
        raise scope.error(column, f"'{alias}' is not a source of this statement")
    candidates = [
        columns[name]
        for source, columns in scope.columns.items()
        if name in columns and alias in (None, source)
    ]
    if len(candidates) > 1 and alias is None:
        raise scope.error(column, f"column '{name}' is ambiguous", "put the source's name before it")
    if candidates:
        return candidates[0]
    if not scope.columns and not scope.parameters:
        raise scope.error(
            column,
            f"Failed to insert values into '{scope.statement.name}'."
            f" Unsupported column reference in insert value: {name}",
            "VALUES takes values only; write a text in single quotes, such as 'otter'",
        )
    known = [name for columns in scope.columns.values() for name in columns]
    near = nearest(name, known)
    there = f"the columns are {listed(known)}" if known else None
    hint = f"did you mean {near}?" if near else there
    message = f"{scope.clause} column '{name}' cannot be resolved."
    raise scope.error(column, message, hint, located=True)


def _parameter(identifier: exp.Identifier, scope: Scope) -> KsqlType:
    name = name_of(identifier)
    if name in scope.parameters:
        return scope.parameters[name]
    raise scope.error(identifier, f"'{name}' cannot be resolved")


def _literal(literal: exp.Literal, scope: Scope, sign: str = "") -> KsqlType:
    """The type of a text or a number. A minus sign is part of the number."""
    if literal.is_string:
        return STRING
    text = str(literal.this)
    if "e" in text.lower():
        if math.isinf(float(text)):
            hint = f"write a number between -{sys.float_info.max} and {sys.float_info.max}"
            raise scope.error(literal, f"Number overflows DOUBLE: {sign}{text}", hint)
        return DOUBLE
    if "." in text:
        whole, fraction = text.split(".")
        return DecimalType("DECIMAL", len(whole.lstrip("0") or "0") + len(fraction), len(fraction))
    digits = text.lstrip("0") or "0"
    beyond = 1 if sign else 0  # -2147483648 is an INTEGER, but 2147483648 is not
    if len(digits) > 19 or int(digits) >= 2**63 + beyond:
        raise scope.error(literal, f"Invalid numeric literal: {sign}{text}")
    return INTEGER if int(digits) < 2**31 + beyond else BIGINT


def _field(dot: exp.Dot, scope: Scope) -> KsqlType:
    base = infer(dot.this, scope)
    name = name_of(dot.expression)
    if base == NULL:
        return NULL
    if not isinstance(base, StructType):
        raise scope.error(dot.expression, f"'->{name}' needs a STRUCT, not {base}")
    kind = base.field(name)
    if kind is None:
        names = [field_name for field_name, _ in base.fields]
        near = nearest(name, names)
        there = f"its fields are {listed(names)}" if names else "it has no fields"
        hint = f"did you mean {near}?" if near else there
        message = f"Could not find field '{name}' in '{shown(dot.this)}'."
        raise scope.error(dot.expression, message, hint)
    return kind


def _element(bracket: exp.Bracket, scope: Scope) -> KsqlType:
    base = infer(bracket.this, scope)
    index = infer(bracket.expressions[0], scope)
    if isinstance(base, ArrayType) and index == INTEGER:
        return base.element
    if isinstance(base, MapType) and common(base.key, index):
        return base.value
    raise scope.error(bracket, f"{base} cannot be indexed by {index}")


def _cast(cast: exp.Cast, scope: Scope) -> KsqlType:
    given = infer(cast.this, scope)
    kind = written_type(scope.statement, cast.to, cast.this, "a CAST")
    if not castable(given, kind):
        raise scope.error(cast.this, f"Cast of {given} to {kind} is not supported.")
    return kind


def _check_number(operand: exp.Expression, kind: KsqlType, sign: str, scope: Scope) -> None:
    """Raises SqlError for a plus or a minus before something that is not a number."""
    if not is_numeric(kind):
        message = f"Object of type {kind} cannot be converted to a numeric type: {sign}{shown(operand)}"
        raise scope.error(operand, message, f"a {_SIGNS[sign]} stands before a number; use CAST")


def _case(case: exp.Case, scope: Scope) -> KsqlType:
    if case.this is not None:
        # Observed: an internal server error on 7.9.1 (docs/ksqldb-facts.md, Expressions).
        raise scope.error(case.this, "CASE x WHEN … fails in ksqlDB", "write CASE WHEN x = … THEN")
    branches = [branch.args["true"] for branch in case.args["ifs"]]
    for branch in case.args["ifs"]:
        expect_boolean(branch.this, scope, infer)
    if (default := case.args.get("default")) is not None:
        branches.append(default)
    result: KsqlType = NULL
    for branch in branches:
        kind = infer(branch, scope)
        if not same(result, kind):
            raise scope.error(
                branch, f"CASE returns {result} and {kind}, which fails in ksqlDB", "use CAST"
            )
        result = kind if result == NULL else result
    if result == NULL:
        message = "Invalid Case expression. All case branches have NULL type"
        raise scope.error(branches[0], message, "give one branch a type, as in CAST(NULL AS INT)")
    return result


def _arithmetic(expression: exp.Expression, scope: Scope) -> KsqlType:
    left, right = infer(expression.this, scope), infer(expression.expression, scope)
    operator = ARITHMETIC[type(expression)]
    kind = arithmetic(operator, left, right)
    if kind is None:
        text = shown(expression)
        raise scope.error(
            expression,
            f"Error processing expression: {text}. Unsupported arithmetic types. {left} {right}\n"
            f"Statement: {text}",
            "use CAST",
        )
    return kind


def _string_sum(expression: exp.DPipe, scope: Scope) -> KsqlType:
    for side in (expression.this, expression.expression):
        infer(side, scope)
    # Observed: "Cannot get name for `concat` 0 times" on 7.9.1.
    raise scope.error(expression.this, "'||' fails in ksqlDB", "use CONCAT or +")
