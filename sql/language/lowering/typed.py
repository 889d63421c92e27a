"""Pieces of SQL that depend on ksqlDB's types. This part is the same for all engines."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from sqlglot import exp

from opensea_metrics.core.definition import Definition
from opensea_metrics.core.types import (
    STRING,
    ArrayType,
    DecimalType,
    KsqlType,
    MapType,
    StructType,
    parts,
)
from opensea_metrics.sql.language.lowering.rare import table
from opensea_metrics.sql.language.lowering.refusals import Unsupported
from opensea_metrics.sql.language.lowering.writing import Writing

_WITHOUT_SIZE = ("FILTER", "MAP_UNION", "SPLIT_TO_MAP", "TRANSFORM")
"""Functions whose MAPs are hash tables that Java makes without a size."""


class Typed(Writing):
    """Writes values whose SQL depends on their types."""

    @abstractmethod
    def refused(self, expression: exp.Expression, feature: str) -> Unsupported:
        """The error for a feature that the engine cannot compute as ksqlDB does."""

    @abstractmethod
    def checked_type(self, expression: exp.Expression, kind: KsqlType) -> str:
        """A type in the engine's SQL. Raises SqlError if the engine has no such type."""

    def in_python(self, form: table.PythonForm, values: Sequence[str]) -> str:
        """A call of a function that both engines compute in Python."""
        return self.called(form.definition, [*values, *form.appended])

    def called(self, definition: Definition, values: Sequence[str]) -> str:
        """A call of a Python function, registered with the engine under its name."""
        casts = (
            f"CAST({value} AS {self.type_name(parameter.type)})"
            for value, parameter in zip(values, definition.parameters, strict=False)
        )
        return f"{self.function_name(definition.name)}({', '.join(casts)})"

    def quotient(self, kind: KsqlType, left: str, right: str) -> str:
        """A quotient of DECIMALs as text. NULL unless the result's type ``kind`` can hold it exactly."""
        assert isinstance(kind, DecimalType)
        text = self.type_name(STRING)
        digits = [str(kind.precision), str(kind.scale)]
        return self.in_python(table.DIVISION, [f"CAST({left} AS {text})", f"CAST({right} AS {text})", *digits])

    def as_number(self, place: exp.Expression, kind: KsqlType, value: str) -> str:
        """A TIMESTAMP as epoch ms, a DATE as days since 1970, or a TIME as ms since midnight."""
        self.checked_type(place, kind)
        return self.number_of_time(kind, value)

    def from_number(self, place: exp.Expression, kind: KsqlType, value: str) -> str:
        """The inverse of :meth:`as_number`."""
        self.checked_type(place, kind)
        return self.time_of_number(kind, value)

    def hash_ordered(self, place: exp.Expression, kind: MapType, value: str) -> str:
        """A MAP's entries in ksqlDB's order, which is the order of Java's hash table.

        ``place`` is the MAP's expression.
        """
        if kind.key != STRING:
            raise self.refused(place, f"the order of the entries of {kind}")
        written = place.unnest()
        is_sized = not (isinstance(written, exp.Anonymous) and str(written.this).upper() in _WITHOUT_SIZE)
        order = self.in_python(table.HASH_ORDER, [self.keys(value), str(is_sized).lower()])
        return self.once([value, order], lambda once: self.picked(self.entries(once[0]), once[1]))

    def normal(self, kind: KsqlType, value: str, depth: int = 0) -> str:
        """A value in a normal form.

        Equal values have equal forms, although the engines compare MAPs with the entries' order.
        """
        if not has_map(kind):
            return value
        name = f"_n{depth}"
        match kind:
            case ArrayType():
                return self.mapped(value, name, self.normal(kind.element, name, depth + 1))
            case StructType():
                fields = [(field, self.normal(inner, self.member(value, field), depth)) for field, inner in kind.fields]
                return f"CASE WHEN {value} IS NOT NULL THEN {self.struct(fields)} END"
        assert isinstance(kind, MapType)
        entries = self.entries(value)
        if has_map(kind.value):
            member = self.normal(kind.value, self.value_of(name), depth + 1)
            entries = self.mapped(entries, name, self.struct([("key", self.key_of(name)), ("value", member)]))
        return self.normal_map(entries)


def has_map(kind: KsqlType) -> bool:
    """True for a MAP, and for a type with a MAP inside."""
    return any(isinstance(part, MapType) for part in parts(kind))
