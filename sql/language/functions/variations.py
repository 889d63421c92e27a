"""Selects a function's variation for a call, and the type of the result, by ksqlDB's rules.

A variation fits if each argument has its parameter's type. If none fits, scalar and table functions also accept
arguments that ksqlDB casts implicitly: numbers to wider types, and text to times and BYTES. If several fit, one
without repeated parameters wins, then the one with more parameters, then the one with fewer type variables.

Source: observed on ksqlDB 7.9.1, see ``tests/sql/functions.yml``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

from opensea_metrics.core.conversions import NUMERIC, as_decimal, common, is_numeric
from opensea_metrics.core.types import (
    BYTES,
    DATE,
    NULL,
    STRING,
    TIME,
    TIMESTAMP,
    ArrayType,
    DecimalType,
    KsqlType,
    MapType,
    array,
    struct,
)
from opensea_metrics.sql.language.functions.notation import (
    ANY,
    DECIMAL,
    UNIT,
    VARIABLES,
    Variation,
    VariationParameter,
    is_generic,
)


@dataclass(frozen=True)
class Call:
    """A call, resolved to a variation: the parameter of each argument, and the type of the result.

    With ``as_list``, an ARRAY supplies the arguments of a repeated parameter. ksqlDB casts the ARRAY to the parameter's
    type, which may be any type (observed).
    """

    variation: Variation
    parameters: tuple[VariationParameter, ...]
    type: KsqlType
    as_list: bool = False


class NoVariation(Exception):
    """No variation fits. With ``is_ambiguous``, several fit and none is better than the others."""

    def __init__(self, is_ambiguous: bool = False) -> None:
        super().__init__()
        self.is_ambiguous = is_ambiguous


def resolved(
    variations: Sequence[Variation], arguments: Sequence[KsqlType], casts: bool
) -> Call:
    """The variation that a call selects. Raises NoVariation.

    With ``casts``, arguments may be cast to their parameters' types if no variation fits without casts.
    """
    for with_casts in (False, True) if casts else (False,):
        fitting = [fitted for v in variations if (fitted := _fitted(v, arguments, with_casts))]
        fitting.sort(key=lambda fitted: fitted.variation.rank, reverse=True)
        if len(fitting) > 1 and arguments and fitting[0].variation.rank == fitting[1].variation.rank:
            raise NoVariation(is_ambiguous=True)
        if fitting:
            return fitting[0]
    raise NoVariation


def can_cast(argument: KsqlType, parameter: KsqlType) -> bool:
    """True if ksqlDB casts an argument implicitly."""
    if argument == STRING:
        return parameter in (DATE, TIME, TIMESTAMP, BYTES)
    if argument.name not in NUMERIC or parameter.name not in NUMERIC:
        return False
    return NUMERIC.index(argument.name) <= NUMERIC.index(parameter.name)


def _fitted(variation: Variation, arguments: Sequence[KsqlType], casts: bool) -> Call | None:
    forms = [(variation.expanded(len(arguments)), False)]
    if len(arguments) == len(variation.parameters):
        listed = [VariationParameter(array(p.type)) if p.repeats else p for p in variation.parameters]
        forms.append((listed, listed != list(variation.parameters)))
    for parameters, as_list in forms:
        bound: dict[str, KsqlType] = {}
        if parameters is not None and all(
            _accepts(parameter.type, argument, bound, casts)
            for parameter, argument in zip(parameters, arguments, strict=True)
        ):
            kind = _result(variation.result, parameters, arguments, bound)
            if as_list and all(p.type == STRING for p in variation.parameters if p.repeats):
                parameters, as_list = [replace(p, repeats=False) for p in variation.parameters], False
            return Call(variation, tuple(parameters), kind, as_list)
    return None


def _accepts(
    parameter: KsqlType, argument: KsqlType, bound: dict[str, KsqlType], casts: bool
) -> bool:
    if UNIT in (parameter, argument):
        return parameter == argument
    if argument == NULL or parameter == ANY:
        return True
    if parameter.name in VARIABLES:
        return bound.setdefault(parameter.name, argument) == argument
    casts = casts and not is_generic(parameter)
    match parameter, argument:
        case ArrayType(), ArrayType():
            return _accepts(parameter.element, argument.element, bound, casts)
        case MapType(), MapType():
            return _accepts(parameter.key, argument.key, bound, casts) and _accepts(
                parameter.value, argument.value, bound, casts
            )
        case _, DecimalType() if parameter == DECIMAL:
            return True
    return parameter == argument or (casts and can_cast(argument, parameter))


def _result(
    kind: KsqlType,
    parameters: Sequence[VariationParameter],
    arguments: Sequence[KsqlType],
    bound: dict[str, KsqlType],
) -> KsqlType:
    match kind:
        case ArrayType():
            return array(_result(kind.element, parameters, arguments, bound))
        case MapType():
            key, value = (_result(k, parameters, arguments, bound) for k in (kind.key, kind.value))
            return MapType("MAP", key, value)
    if kind.name in VARIABLES:
        return bound.get(kind.name, NULL)
    if kind.name in ("DECIMAL", "WHOLE"):
        decimals = [_element(a) for p, a in zip(parameters, arguments, strict=True) if _element(p.type) == DECIMAL]
        widest = reduce(lambda a, b: common(a, b) or a, decimals, NULL)
        if not is_numeric(widest):
            return NULL
        widest = as_decimal(widest)
        return DecimalType("DECIMAL", widest.precision - widest.scale) if kind.name == "WHOLE" else widest
    if kind.name == "TOP":
        first, *others = arguments[:-1]
        fields = ((f"col{number}", other) for number, other in enumerate(others))
        return struct(("sort_col", first), *fields) if others else first
    return kind


def _element(kind: KsqlType) -> KsqlType:
    return kind.element if isinstance(kind, ArrayType) else kind
