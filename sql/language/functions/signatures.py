"""The types of calls of Python functions, and of arithmetic operations."""

from __future__ import annotations

from collections.abc import Sequence

from opensea_metrics.core.conversions import as_decimal, common, is_numeric
from opensea_metrics.core.definition import Definition
from opensea_metrics.core.types import (
    BIGINT,
    DOUBLE,
    INTEGER,
    NULL,
    STRING,
    ArrayType,
    DecimalType,
    KsqlType,
)
from opensea_metrics.core.wording import counted


def python_result(definition: Definition, arguments: Sequence[KsqlType]) -> KsqlType:
    """The type of a call of a Python function.

    Raises TypeError for a wrong number of arguments or a wrong type. The message says what is wrong.
    """
    parameters = (*definition.parameters, *definition.constants)
    if len(arguments) != len(parameters):
        raise TypeError(
            f"{definition.signature} takes {counted(len(parameters), 'argument')} but got {len(arguments)}"
        )
    for parameter, argument in zip(parameters, arguments, strict=True):
        if not _accepts(parameter.type, argument, definition.kind == "aggregate"):
            raise TypeError(
                f"{definition.name} takes {parameter.type} for {parameter.name} but got {argument}"
            )
    if isinstance(definition.result, ArrayType) and definition.kind == "table":
        return definition.result.element
    return definition.result


def _accepts(parameter: KsqlType, argument: KsqlType, exactly: bool) -> bool:
    """True if ksqlDB accepts the argument for the parameter.

    ksqlDB widens no argument of an aggregate. But the jar has variants that take INTEGER and BIGINT for DOUBLE,
    and INTEGER for BIGINT (udfs/ksqldb).
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


def arithmetic(operator: str, left: KsqlType, right: KsqlType) -> KsqlType | None:
    """The type of ``left operator right`` for + - * / %, or None if ksqlDB refuses it.

    For DECIMALs, an INTEGER counts as DECIMAL(10, 0) and a BIGINT as DECIMAL(19, 0). Source: docs/ksqldb-facts.md,
    Expressions.
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

