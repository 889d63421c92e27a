"""Types of function calls. The function must exist and accept the arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlglot import exp

from opensea_metrics.core.conversions import same
from opensea_metrics.core.definition import Definition
from opensea_metrics.core.types import (
    BIGINT,
    BOOLEAN,
    NULL,
    ArrayType,
    KsqlType,
    MapType,
    array,
    duplicate_name,
    name_of,
    struct,
)
from opensea_metrics.core.wording import counted
from opensea_metrics.sql.language.functions import library as functions
from opensea_metrics.sql.language.functions import variations
from opensea_metrics.sql.language.functions.coercion import members
from opensea_metrics.sql.language.functions.library import Function
from opensea_metrics.sql.language.functions.notation import is_generic
from opensea_metrics.sql.language.functions.signatures import python_result
from opensea_metrics.sql.language.queries.scope import Infer, Scope, shown


def call_type(call: exp.Anonymous, scope: Scope, infer: Infer) -> KsqlType:
    """The type of a call's result. Raises SqlError with the place of the error."""
    name = str(call.this).upper()
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
    if name == "COUNT" and (not call.expressions or isinstance(call.expressions[0], exp.Star)):
        return BIGINT
    kinds = [infer(argument, scope) for argument in call.expressions]
    if function.definition is None:
        return _resolved(function, call, kinds, scope).type
    try:
        kind = python_result(function.definition, kinds)
    except TypeError as error:
        raise scope.error(call, _not_accepted(name, kinds), str(error)) from None
    if function.definition.constants:
        _check_constants(function.definition, call, scope)
    return kind


def resolved(call: exp.Anonymous, scope: Scope, infer: Infer) -> variations.Call:
    """A call of a ksqlDB function, with the variation that it selects. Raises SqlError."""
    function = functions.BUILT_IN[str(call.this).upper()]
    return _resolved(function, call, [infer(argument, scope) for argument in call.expressions], scope)


def _resolved(
    function: Function, call: exp.Anonymous, kinds: Sequence[KsqlType], scope: Scope
) -> variations.Call:
    try:
        chosen = variations.resolved(function.variations, kinds, function.kind != "aggregate")
    except variations.NoVariation as error:
        hint = f"valid calls are {function.calls}"
        if error.is_ambiguous:
            message = f"cannot be resolved due to ambiguous method parameters ({_listed(kinds)})."
            message = f"Function '{function.name.lower()}' {message}"
            raise scope.error(call, message, f"use CAST; {hint}") from None
        raise scope.error(call, _not_accepted(function.name, kinds), hint) from None
    for number, parameter in enumerate(chosen.parameters):
        argument = call.expressions[number]
        single = chosen.variation.parameters[number].type if chosen.as_list else parameter.type
        if single != parameter.type and not is_generic(single):
            message = f"Cast of {kinds[number]} to {single} is not supported."
            raise scope.error(argument, message, "write its elements one by one")
        if parameter.literal and not isinstance(argument, exp.Literal | exp.Boolean):
            raise scope.error(
                argument,
                f"Parameter {number + 1} passed to function {function.name} must be a literal "
                f"constant, but was expression: '{shown(argument)}'",
            )
    return chosen


def _not_accepted(name: str, kinds: Sequence[KsqlType]) -> str:
    return f"Function '{name.lower()}' does not accept parameters ({_listed(kinds)})."


def _listed(kinds: Sequence[KsqlType]) -> str:
    return ", ".join("null" if kind == NULL else str(kind) for kind in kinds)


def _check_constants(definition: Definition, call: exp.Anonymous, scope: Scope) -> None:
    """Check that the constructor of a Python aggregate accepts the literal arguments."""
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
        kind = infer(item.expression, scope)
        if kind == NULL:  # observed: an internal error
            message = f"the field {name_of(item.this)} of a STRUCT is NULL without a type, which fails in ksqlDB"
            raise scope.error(item.expression, message, "give it a type, as in CAST(NULL AS INT)")
        fields.append((name_of(item.this), kind))
    whole = struct(*fields)
    if twice := duplicate_name(whole):
        raise scope.error(call, twice, "give each field its own name")
    return whole


def _map(call: exp.Anonymous, scope: Scope, infer: Infer) -> KsqlType:
    for item in call.expressions:
        if not isinstance(item, exp.PropertyEQ):
            raise scope.error(call, "MAP takes key := value")
    keys = members(call, [item.this for item in call.expressions], "map", "key", scope, infer)
    values = members(call, [item.expression for item in call.expressions], "map", "value", scope, infer)
    known: set[str] = set()
    for item in call.expressions:
        key = shown(item.this)
        if key in known:
            raise scope.error(item.this, f"Multiple entries with same key: {key}", "write each key once")
        known.add(key)
    return MapType("MAP", keys, values)


def _higher_order(name: str, call: exp.Anonymous, scope: Scope, infer: Infer) -> KsqlType:
    """The type of TRANSFORM, FILTER or REDUCE. Lambdas get an element of an ARRAY, or a key and value of a MAP."""
    count = len(call.expressions)
    function = functions.BUILT_IN[name]
    base = infer(call.expressions[0], scope) if count else NULL
    match base:
        case ArrayType():
            kinds = [base.element]
        case MapType():
            kinds = [base.key, base.value]
        case _:
            raise scope.error(call, f"{name} takes an ARRAY or a MAP first, not {base}", function.calls)
    lambdas = len(kinds) if name == "TRANSFORM" else 1
    start = NULL
    if name == "REDUCE" and count == 3:
        start = infer(call.expressions[1], scope)
        kinds = [start, *kinds]
    if count != lambdas + (2 if name == "REDUCE" else 1):
        raise scope.error(call, f"{name} of {base} got {counted(count, 'argument')}", function.calls)
    bodies = [_body(function, kinds, call, scope, infer) for function in call.expressions[-lambdas:]]
    if name == "FILTER":
        if not same(bodies[0], BOOLEAN):
            raise scope.error(call, f"the lambda of FILTER must return a BOOLEAN, not {bodies[0]}")
        return base
    if name == "REDUCE":
        if not same(bodies[0], start):
            message = f"REDUCE starts with {start}, but its lambda returns {bodies[0]}"
            raise scope.error(call, message, "use CAST")
        return start
    return array(bodies[0]) if lambdas == 1 else MapType("MAP", *bodies)


def _body(
    given: exp.Expression,
    kinds: Sequence[KsqlType],
    call: exp.Anonymous,
    scope: Scope,
    infer: Infer,
) -> KsqlType:
    """The type of a lambda's result. ``kinds`` are the types of its parameters."""
    if not isinstance(given, exp.Lambda) or len(given.expressions) != len(kinds):
        form = ", ".join("abc"[: len(kinds)])
        message = f"{call.this} takes a lambda with {counted(len(kinds), 'parameter')} here"
        raise scope.error(given, message, f"such as ({form}) => …")
    parameters = dict(zip(map(name_of, given.expressions), kinds, strict=True))
    for parameter in given.expressions:
        if any(name_of(parameter) in columns for columns in scope.columns.values()):
            message = f"Lambda function argument can't be a column name: {name_of(parameter)}"
            raise scope.error(parameter, message, "give the parameter another name")
    inner = replace(scope, parameters={**scope.parameters, **parameters})
    return infer(given.this, inner)
