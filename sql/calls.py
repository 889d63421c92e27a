"""Types of calls: the function is found, and the arguments are what it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from sqlglot import exp

from sql import functions
from sql.scope import Scope
from sql.signatures import result_type
from sql.types import BIGINT, NULL, ArrayType, KsqlType, MapType, array, common, name_of, struct
from udfs.definition import Definition

Infer = Callable[[exp.Expression, Scope], KsqlType]
"""Gives an argument's type, as :func:`sql.inference.infer` does."""


def call_type(call: exp.Anonymous, scope: Scope, infer: Infer) -> KsqlType:
    """The type of what a call gives. Raises SqlError at the place of what is wrong."""
    name = str(call.this).upper()
    arguments = list(call.expressions)
    if name == "STRUCT":
        return _struct(call, scope, infer)
    if name == "MAP":
        return _map(call, scope, infer)
    if name in ("TRANSFORM", "FILTER", "REDUCE"):
        return _higher_order(name, call, scope, infer)
    function = functions.find(name)
    if function is None:
        near = functions.suggestion(name)
        hint = f"did you mean {near}?" if near else "see SHOW FUNCTIONS"
        raise scope.error(call, f"Can't find any functions with the name '{name}'", hint)
    if name == "COUNT" and len(arguments) == 1 and isinstance(arguments[0], exp.Star):
        return BIGINT
    kinds = [infer(argument, scope) for argument in arguments]
    try:
        kind = result_type(function, kinds)
    except TypeError as error:
        given = ", ".join(map(str, kinds))
        message = f"Function '{name.lower()}' does not accept parameters ({given})."
        raise scope.error(call, message, str(error)) from None
    if function.definition is not None and function.definition.constants:
        _check_constants(function.definition, call, scope)
    return kind


def _check_constants(definition: Definition, call: exp.Anonymous, scope: Scope) -> None:
    """The literal arguments of a Python aggregate are what its constructor takes."""
    values: list[int | str | bool] = []
    for argument in call.expressions[len(definition.parameters) :]:
        if not isinstance(argument, exp.Literal | exp.Boolean):
            parameter = definition.constants[len(values)]
            raise scope.error(argument, f"{definition.name} takes a literal for {parameter.name}")
        text = argument.this
        is_number = isinstance(argument, exp.Literal) and not argument.is_string
        values.append(int(text) if is_number else text)
    try:
        definition.call(*values)
    except Exception as error:
        raise scope.error(call, f"{definition.name}: {error}") from None


def _struct(call: exp.Anonymous, scope: Scope, infer: Infer) -> KsqlType:
    fields = []
    for item in call.expressions:
        if not isinstance(item, exp.PropertyEQ):
            raise scope.error(call, "STRUCT takes name := value")
        fields.append((name_of(item.this), infer(item.expression, scope)))
    return struct(*fields)


def _map(call: exp.Anonymous, scope: Scope, infer: Infer) -> KsqlType:
    for item in call.expressions:
        if not isinstance(item, exp.PropertyEQ):
            raise scope.error(call, "MAP takes key := value")
    keys = widest([item.this for item in call.expressions], scope, infer)
    values = widest([item.expression for item in call.expressions], scope, infer)
    return MapType("MAP", keys, values)


def _higher_order(name: str, call: exp.Anonymous, scope: Scope, infer: Infer) -> KsqlType:
    arguments = list(call.expressions)
    lambdas = [argument for argument in arguments if isinstance(argument, exp.Lambda)]
    if len(lambdas) != 1 or arguments[-1] is not lambdas[0]:
        raise scope.error(call, f"{name} takes one lambda, last", "such as (x) => x + 1")
    base = infer(arguments[0], scope)
    if not isinstance(base, ArrayType):
        raise scope.error(arguments[0], f"{name} takes an ARRAY here, not {base}")
    kinds = [base.element]
    if name == "REDUCE":
        kinds.insert(0, infer(arguments[1], scope))
    parameters = {
        name_of(parameter): kind
        for parameter, kind in zip(lambdas[0].expressions, kinds, strict=False)
    }
    inner = replace(scope, parameters={**scope.parameters, **parameters})
    body = infer(lambdas[0].this, inner)
    return {"TRANSFORM": array(body), "FILTER": base, "REDUCE": kinds[0]}[name]


def widest(expressions: Sequence[exp.Expression], scope: Scope, infer: Infer) -> KsqlType:
    """The type that holds all of them."""
    found: KsqlType = NULL
    for expression in expressions:
        kind = infer(expression, scope)
        wider = common(found, kind)
        if wider is None:
            raise scope.error(expression, f"{kind} does not fit with {found}", "use CAST")
        found = wider
    return found
