"""Reads the ways to call a function, in the notation of :mod:`.builtin`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from opensea_metrics.core.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTEGER,
    STRING,
    TIME,
    TIMESTAMP,
    KsqlType,
    MapType,
    array,
    parts,
    struct,
)

UNIT = KsqlType("UNIT")
"""The type of an argument that is a unit of time, such as DAYS."""
ANY = KsqlType("ANY")
DECIMAL = KsqlType("DECIMAL")
_TYPES = {
    "INT": INTEGER, "BIGINT": BIGINT, "DOUBLE": DOUBLE, "BOOLEAN": BOOLEAN, "VARCHAR": STRING,
    "BYTES": BYTES, "DATE": DATE, "TIME": TIME, "TIMESTAMP": TIMESTAMP, "UNIT": UNIT, "ANY": ANY,
    "DECIMAL": DECIMAL,
}  # fmt: skip
VARIABLES = ("T", "S", "K", "V", "R")
"""Names that stand for any type, the same in all parameters of a variation."""


@dataclass(frozen=True)
class VariationParameter:
    """A parameter. With ``repeats`` it accepts any number of arguments, with ``literal`` only a literal."""

    type: KsqlType
    repeats: bool = False
    literal: bool = False


@dataclass(frozen=True)
class Variation:
    """One way to call a function. ``text`` and ``result_text`` use the notation of :mod:`.builtin`."""

    text: str
    result_text: str
    parameters: tuple[VariationParameter, ...]
    result: KsqlType

    @cached_property
    def rank(self) -> tuple[bool, int, int, bool]:
        """The order of variations: a call selects the greatest variation that fits."""
        return (
            not any(parameter.repeats for parameter in self.parameters),
            len(self.parameters),
            -sum(bool(is_generic(parameter.type)) for parameter in self.parameters),
            VariationParameter(ANY, repeats=True) not in self.parameters,
        )

    def expanded(self, count: int) -> list[VariationParameter] | None:
        """The parameter of each of ``count`` arguments, or None if the variation does not accept that many."""
        expanded: list[VariationParameter] = []
        for parameter in self.parameters:
            times = count - len(self.parameters) + 1 if parameter.repeats else 1
            expanded += [parameter] * times
        return expanded if len(expanded) == count else None


def read(text: str) -> tuple[Variation, ...]:
    """The variations in a text with the notation of :mod:`sql.language.functions.builtin`."""
    variations = []
    for variation in text.split(" | "):
        parameters, _, result = variation.rpartition("->")
        words = parameters.split()
        variations.append(
            Variation(
                " ".join(words), result.strip(), tuple(map(_parameter, words)), _type(result.strip())
            )
        )
    return tuple(variations)


def is_generic(kind: KsqlType) -> bool:
    """True for a type variable, a lambda, and a type with one inside."""
    return any(part.name in VARIABLES or part.name.startswith("(") for part in parts(kind))


def _parameter(text: str) -> VariationParameter:
    kind = _type(text.removeprefix("#").removesuffix("..."))
    return VariationParameter(kind, text.endswith("..."), text.startswith("#"))


def is_type(kind: KsqlType) -> bool:
    """False for a word in the notation that stands for no type."""
    known = (*_TYPES.values(), *map(KsqlType, VARIABLES))
    return all(part in known or type(part) is not KsqlType for part in parts(kind))


def _type(text: str) -> KsqlType:
    if text.startswith("ARRAY<"):
        return array(_type(text[len("ARRAY<") : -1]))
    if text.startswith("MAP<"):
        key, _, value = text[len("MAP<") : -1].partition(",")
        return MapType("MAP", _type(key), _type(value))
    if text.startswith("STRUCT<"):
        fields = (field.split(":") for field in text[len("STRUCT<") : -1].split(","))
        return struct(*((name, _type(kind)) for name, kind in fields))
    return _TYPES.get(text) or KsqlType(text)
