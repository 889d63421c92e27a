"""CAST, and ksqlDB's implicit casts, in an engine's SQL.

A value that cannot be cast makes the whole expression NULL, even if the value is in an ARRAY, MAP or STRUCT.
"""

from __future__ import annotations

import re

from sqlglot import exp

from opensea_metrics.core.conversions import is_numeric
from opensea_metrics.core.types import (
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
    StructType,
)
from opensea_metrics.sql.language.lowering.rare import table
from opensea_metrics.sql.language.lowering.typed import Typed

_INTEGERS = (INTEGER, BIGINT)
_TIMES = (DATE, TIME, TIMESTAMP)
_PLAIN = {
    INTEGER: r"\^(-\?)?\[0-9\]\{1,[1-9]\}\$",
    BIGINT: r"\^(-\?)?\[0-9\]\{1,1?[0-8]\}\$",
    DOUBLE: r"\^(-\?)?\[0-9\]\{1,[1-8]?[0-9]\}(\(\[\.\]\[0-9\]\{1,[1-2]?[0-9]\}\)\?)?\$",
}
"""Patterns of REGEXP_EXTRACT that match only numbers that each engine's own cast reads as ksqlDB does."""


class Casts(Typed):
    """Writes casts. The class of an engine says how to write the parts."""

    def cast(
        self, place: exp.Expression, source: KsqlType, target: KsqlType, value: str, depth: int = 0
    ) -> str:
        """A value of one type as another type. Raises Unsupported, with the place, for a cast that is not exact."""
        if source == target:
            return value
        written = self.checked_type(place, target)
        if source == NULL:
            return f"CAST(NULL AS {written})"
        match source, target:
            case (ArrayType(), ArrayType()) | (MapType(), MapType()) | (StructType(), StructType()):
                return self.once([value], lambda once: self._nested(place, source, target, once[0], depth))
            case ArrayType(), _ if target == STRING:
                return self.once([value], lambda once: self._array_text(place, source, once[0], depth))
            case MapType(), _ if target == STRING:
                return self._map_text(place, source, value, depth)
            case StructType(), _ if target == STRING:
                return self.once([value], lambda once: self._struct_text(place, source, once[0], depth))
        self.checked_type(place, source)
        if target == STRING:
            return self._text(place, source, value)
        if source == STRING:
            return self._of_text(place, target, value)
        if source == INTEGER and target == BIGINT:
            return f"CAST({value} AS BIGINT)"
        if source == BIGINT and target == INTEGER:
            return self.cast_integer(INTEGER, value)
        if source.name in ("INTEGER", "BIGINT", "DECIMAL") and target == DOUBLE:
            return f"CAST({value} AS DOUBLE)"
        if source == DOUBLE and target in _INTEGERS:
            return self.truncated(target, value)
        if source.name == "DECIMAL" and target.name == "DECIMAL":
            wider = self.wider(target)
            return self.once(
                [value], lambda once: f"CASE WHEN {self.fits(target, once[0])} THEN TRY_CAST({once[0]} AS {wider}) END"
            )
        if target.name == "DECIMAL" and source in _INTEGERS:
            return f"TRY_CAST({value} AS {written})"
        if source == DOUBLE and target.name == "DECIMAL":
            assert isinstance(target, DecimalType)
            text = self.in_python(table.DECIMAL_OF_DOUBLE, [value, str(target.precision), str(target.scale)])
            return f"TRY_CAST({text} AS {written})"
        if source.name == "DECIMAL" and target in _INTEGERS:
            return self.cut_decimal(target, value)
        if (source, target) == (DATE, TIMESTAMP):
            return self.timestamp_of_date(value)
        if source == TIMESTAMP and target in (DATE, TIME):
            return f"CAST({value} AS {written})"
        raise self.refused(place, f"CAST of {source} AS {target}")

    def _text(self, place: exp.Expression, source: KsqlType, value: str) -> str:
        if source in (INTEGER, BIGINT, BOOLEAN):
            return f"CAST({value} AS {self.type_name(STRING)})"
        if source == DOUBLE:
            return self.double_text(value)
        if source in _TIMES or source.name == "DECIMAL":
            return self.text_of(source, value)
        raise self.refused(place, f"CAST of {source} AS STRING")

    def double_text(self, value: str) -> str:
        """A DOUBLE as text, as Java writes it."""
        return self.in_python(table.CASTS["DOUBLE AS STRING"], [value])

    def _of_text(self, place: exp.Expression, target: KsqlType, value: str) -> str:
        literal = place.unnest()
        is_literal = isinstance(literal, exp.Literal) and literal.is_string
        if target in _TIMES:
            form = table.CASTS[f"STRING AS {target}"]
            if not is_literal:
                return self.from_number(place, target, self.in_python(form, [value]))
            number = form.definition.call(str(literal.this))  # computed once, here
            return self.from_number(place, target, "CAST(NULL AS INTEGER)" if number is None else str(number))
        if is_literal and is_numeric(target):  # the reader has checked it
            return f"CAST({self.text(str(literal.this).strip())} AS {self.type_name(target)})"
        if target == BYTES:
            return self.in_python(table.FORMS["TO_BYTES"]["VARCHAR VARCHAR"], [value, "'base64'"])
        if _is_plain_number(place.this.unnest() if isinstance(place, exp.Cast) else literal, target):
            return f"TRY_CAST({value} AS {self.type_name(target)})"
        return self.parsed(target, value)

    def is_time(self, expression: exp.Expression, kind: KsqlType) -> bool:
        """True for a text in quotes that is a DATE, TIME or TIMESTAMP."""
        literal = expression.unnest()
        if not (isinstance(literal, exp.Literal) and literal.is_string):
            return False
        return table.CASTS[f"STRING AS {kind}"].definition.call(str(literal.this)) is not None

    def _nested(
        self, place: exp.Expression, source: KsqlType, target: KsqlType, value: str, depth: int
    ) -> str:
        name = f"_c{depth}"
        match source, target:
            case ArrayType(), ArrayType():
                inner = self.cast(place, source.element, target.element, name, depth + 1)
                self.check_lambda(place, inner)
                mapped = self.mapped(value, name, inner)
                return self.unless_lost(value, mapped) if _may_fail(source.element, target.element) else mapped
            case MapType(), MapType():
                keys = self.cast(place, source.key, target.key, name, depth + 1)
                values = self.cast(place, source.value, target.value, name, depth + 1)
                self.check_lambda(place, f"{keys} {values}")
                old_values = self.values(value)
                mapped = self.mapped(old_values, name, values)
                if _may_fail(source.value, target.value):
                    mapped = self.unless_lost(old_values, mapped)
                return self.mapped_map(value, self.mapped(self.keys(value), name, keys), mapped)
        assert isinstance(source, StructType)
        assert isinstance(target, StructType)
        fields, failed = [], []
        for field, kind in target.fields:
            given = source.field(field)
            if given is None:
                fields.append((field, f"CAST(NULL AS {self.checked_type(place, kind)})"))
                continue
            member = self.member(value, field)
            written = self.cast(place, given, kind, member, depth)
            fields.append((field, written))
            if _may_fail(given, kind):
                failed.append(f"({member} IS NOT NULL AND {written} IS NULL)")
        condition = " AND ".join([f"{value} IS NOT NULL", *(f"NOT {failure}" for failure in failed)])
        return f"CASE WHEN {condition} THEN {self.struct(fields)} END"

    def _array_text(self, place: exp.Expression, source: ArrayType, value: str, depth: int) -> str:
        """An ARRAY as text, in the form of Java's lists: [1, null]."""
        name = f"_c{depth}"
        inner = name if source.element == STRING else self.cast(place, source.element, STRING, name, depth + 1)
        self.check_lambda(place, inner)
        joined = self.joined(self.mapped(value, name, f"coalesce({inner}, 'null')"), self.text(", "))
        return self.concatenated(["'['", joined, "']'"])

    def _map_text(self, place: exp.Expression, source: MapType, value: str, depth: int) -> str:
        """A MAP as text, in the form of Java's maps: {two=2, one=1}."""
        name = f"_c{depth}"
        member = self.value_of(name)
        inner = member if source.value == STRING else self.cast(place, source.value, STRING, member, depth + 1)
        self.check_lambda(place, inner)
        pair = self.concatenated([self.key_of(name), "'='", f"coalesce({inner}, 'null')"])
        entries = self.hash_ordered(place.this if isinstance(place, exp.Cast) else place, source, value)
        return self.concatenated(["'{'", self.joined(self.mapped(entries, name, pair), self.text(", ")), "'}'"])

    def _struct_text(self, place: exp.Expression, source: StructType, value: str, depth: int) -> str:
        """A STRUCT as text, in the form of Kafka Connect, without fields that are NULL: Struct{X=5,Y=yy}."""
        parts = []
        for field, kind in source.fields:
            member = self.member(value, field)
            written = member if kind == STRING else self.cast(place, kind, STRING, member, depth)
            parts.append(self.concatenated([self.text(f",{field}="), written]))
        all_parts = self.concatenated([f"coalesce({part}, '')" for part in parts])
        written = self.concatenated(["'Struct{'", f"substring({all_parts}, 2)", "'}'"])
        return f"CASE WHEN {value} IS NOT NULL THEN {written} END"


def _may_fail(source: KsqlType, target: KsqlType) -> bool:
    """Whether the cast of a value that is not NULL may be NULL."""
    match source, target:
        case ArrayType(), ArrayType():
            return _may_fail(source.element, target.element)
        case MapType(), MapType():
            return _may_fail(source.value, target.value)
        case StructType(), StructType():
            return True
    return source != target and (source == STRING or target.name == "DECIMAL")


def _is_plain_number(text: object, target: KsqlType) -> bool:
    """True for a text that is NULL, or a number that an engine's own cast reads as ksqlDB does."""
    if not isinstance(text, exp.Anonymous) or str(text.this).upper() != "REGEXP_EXTRACT" or len(text.expressions) != 2:
        return False
    pattern = text.expressions[0]
    is_literal = isinstance(pattern, exp.Literal) and pattern.is_string
    return is_literal and target in _PLAIN and re.fullmatch(_PLAIN[target], str(pattern.this)) is not None
