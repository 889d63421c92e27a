"""Whether arguments fit a function's parameters, and the type of the result."""

from __future__ import annotations

from collections.abc import Sequence

from sql.functions import Function
from sql.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTEGER,
    NULL,
    STRING,
    TIME,
    TIMESTAMP,
    ArrayType,
    DecimalType,
    KsqlType,
    MapType,
    array,
    as_decimal,
    common,
    is_numeric,
    same,
    struct,
)
from udfs.definition import Definition

_TYPES = {
    kind.name: kind
    for kind in (BIGINT, BOOLEAN, BYTES, DATE, DOUBLE, INTEGER, STRING, TIME, TIMESTAMP)
}


def result_type(function: Function, arguments: Sequence[KsqlType]) -> KsqlType:
    """The type of a call.

    Raises TypeError with what does not fit (count or type of an argument).
    """
    if function.definition is not None:
        return _python_result(function.definition, arguments)
    parameters = list(function.parameters)
    repeats = bool(parameters) and parameters[-1].endswith("...")
    needed = sum(not p.startswith("[") and not p.endswith("...") for p in parameters)
    if len(arguments) < needed or (len(arguments) > len(parameters) and not repeats):
        raise TypeError(
            f"{function.name} takes {function.signature.split('->')[0].strip() or 'no arguments'}"
            f" and got {len(arguments)} argument{'s' * (len(arguments) != 1)}"
        )
    bound: dict[str, KsqlType] = {}
    for position, argument in enumerate(arguments):
        parameter = parameters[min(position, len(parameters) - 1)].strip("[].")
        if not _fits(parameter, argument, bound):
            raise TypeError(
                f"{function.name} takes {parameter} as argument {position + 1} and got {argument}"
            )
        bound[f"T{position}"] = argument
    return _result(function.result, bound)


def _python_result(definition: Definition, arguments: Sequence[KsqlType]) -> KsqlType:
    parameters = (*definition.parameters, *definition.constants)
    if len(arguments) != len(parameters):
        raise TypeError(
            f"{definition.signature} takes {len(parameters)} argument{'s' * (len(parameters) != 1)}"
            f" and got {len(arguments)}"
        )
    for parameter, argument in zip(parameters, arguments, strict=True):
        if not _accepts(parameter.type, argument, definition.kind == "aggregate"):
            raise TypeError(
                f"{definition.name} takes {parameter.type} for {parameter.name} and got {argument}"
            )
    if isinstance(definition.result, ArrayType) and definition.kind == "table":
        return definition.result.element
    return definition.result


def _accepts(parameter: KsqlType, argument: KsqlType, exactly: bool) -> bool:
    """Whether ksqlDB finds a function with that parameter for that argument.

    Of an aggregate it widens nothing, but the jar has variants that take INTEGER and BIGINT for
    DOUBLE, and INTEGER for BIGINT (udfs/ksqldb).
    """
    if argument in (NULL, parameter):
        return True
    if exactly:
        return parameter in {INTEGER: (BIGINT, DOUBLE), BIGINT: (DOUBLE,)}.get(argument, ())
    if not (is_numeric(parameter) and is_numeric(argument)):
        return False
    if parameter.name == argument.name == "DECIMAL":
        return True
    return parameter == common(parameter, argument)


def _fits(parameter: str, argument: KsqlType, bound: dict[str, KsqlType]) -> bool:
    if parameter == "T" and parameter in bound:
        if not same(bound["T"], argument):
            return False
        bound["T"] = argument if bound["T"] == NULL else bound["T"]
        return True
    if parameter in ("E", "K", "V") and parameter in bound:
        wider = common(bound[parameter], argument)
        if wider is None:
            return False
        bound[parameter] = wider
        return True
    if parameter == "T":
        bound["T"] = argument
        return True
    if argument == NULL or parameter == "ANY" or (parameter.startswith("T") and parameter[1:] == "0"):
        return True
    match parameter:
        case "NUM":
            return is_numeric(argument)
        case "DOUBLE":
            return is_numeric(argument)
        case "BIGINT":
            return argument in (INTEGER, BIGINT)
        case "ARRAY":
            if isinstance(argument, ArrayType):
                bound["E"] = argument.element
                return True
            return False
        case "MAP":
            if isinstance(argument, MapType):
                bound["K"], bound["V"] = argument.key, argument.value
                return True
            return False
        case _:
            return argument == _TYPES[parameter]


def _result(text: str, bound: dict[str, KsqlType]) -> KsqlType:
    if text.startswith("ARRAY<STRUCT<K,V>>"):
        return array(struct(("K", bound["K"]), ("V", bound["V"])))
    if text.startswith("ARRAY<"):
        return array(_result(text[len("ARRAY<") : -1], bound))
    if text.startswith("MAP<"):
        key, value = text[len("MAP<") : -1].split(",")
        return MapType("MAP", _TYPES[key], _TYPES[value])
    if text in bound:
        return bound[text]
    return _TYPES.get(text, DOUBLE if text == "NUM" else NULL)


def arithmetic(operator: str, left: KsqlType, right: KsqlType) -> KsqlType | None:
    """The type of ``left operator right`` for + - * / %, or None if ksqlDB refuses it.

    DECIMALs: shared/ksqldb-facts.md, section 2 (INTEGER counts as DECIMAL(10,0), BIGINT as (19,0)).
    """
    if operator == "+" and left == right == STRING:
        return STRING
    if not (is_numeric(left) and is_numeric(right)):
        return None
    if DOUBLE in (left, right):
        return DOUBLE
    if "DECIMAL" not in (left.name, right.name):
        return common(left, right)
    a, b = as_decimal(left), as_decimal(right)
    if operator in "+-":
        scale = max(a.scale, b.scale)
        whole = max(a.precision - a.scale, b.precision - b.scale)
        return DecimalType("DECIMAL", whole + scale + 1, scale)
    if operator == "*":
        return DecimalType("DECIMAL", a.precision + b.precision + 1, a.scale + b.scale)
    if operator == "%":
        scale = max(a.scale, b.scale)
        whole = min(a.precision - a.scale, b.precision - b.scale)
        return DecimalType("DECIMAL", whole + scale, scale)
    scale = max(6, a.scale + b.precision + 1)
    return DecimalType("DECIMAL", a.precision - a.scale + b.scale + scale, scale)

