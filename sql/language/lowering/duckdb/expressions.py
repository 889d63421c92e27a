"""Writes ksqlDB expressions in DuckDB's SQL."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from sqlglot import exp

from opensea_metrics.core.quoting import column, quoted, text
from opensea_metrics.core.types import (
    TIMESTAMP,
    ArrayType,
    KsqlType,
    MapType,
    StructType,
    duckdb,
)
from opensea_metrics.sql.language.lowering import scalars
from opensea_metrics.sql.language.lowering.duckdb.json_text import json_object, json_text
from opensea_metrics.sql.language.lowering.duckdb.numbers import DuckDBNumbers
from opensea_metrics.sql.language.lowering.engine_texts import Write
from opensea_metrics.sql.language.lowering.expressions import owner
from opensea_metrics.sql.language.lowering.extraction import spans_all
from opensea_metrics.sql.language.lowering.json_paths import pointer
from opensea_metrics.sql.language.lowering.rare import table
from opensea_metrics.sql.language.lowering.refusals import EMBEDDED
from opensea_metrics.sql.language.lowering.template import fill
from opensea_metrics.sql.language.lowering.writing import is_long

_JAVA_ONLY = re.compile(r"\(\?[=!<]|[*+?}]\+|\\[1-9]")
"""Parts of regular expressions that DuckDB does not have."""
_PATTERN_PART = re.compile(r"'T'|''|([A-Za-z])\1*|.", re.DOTALL)
_CODES = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S", "SSS": "%g"}
"""Parts of a pattern of FORMAT_TIMESTAMP, as DuckDB writes them."""
_LITERALS = {"'T'": "T", "''": "'"}
_DEEP = 100
"""The number of nested brackets from which a value counts as deep."""


@dataclass(frozen=True)
class Lowering(DuckDBNumbers):
    """Writes the expressions of one statement in DuckDB's SQL. The database must have run ``setup.SETUP``."""

    engine = EMBEDDED
    dialect = "duckdb"
    templates = scalars.DUCKDB

    def value(self, expression: exp.Expression) -> str:
        """The value, with ksqlDB's names of fields. Structs that were read from JSON have the JSON's names until a
        statement uses a whole struct."""
        written = super().value(expression)
        if not isinstance(expression, exp.Column | exp.Dot) or isinstance(expression.parent, exp.Dot):
            return written
        if not isinstance(owner(expression), exp.Column | exp.Identifier):
            return written
        return _named(self.type_of(expression), written)

    def whole(self, expression: exp.Expression) -> str:
        """A value that is not part of another expression: a column, a key, an argument of an aggregate."""
        return _apart(self.value(expression))

    def whole_condition(self, expression: exp.Expression) -> str:
        """A condition that is not part of another expression."""
        return _apart(self.condition(expression))

    def name(self, name: str) -> str:
        return column(name)

    def function_name(self, name: str) -> str:
        return quoted(name)

    def text(self, value: str) -> str:
        return text(value)

    def type_name(self, kind: KsqlType) -> str:
        return duckdb(kind)

    def json_field(self, json_text: str, names: Sequence[str], in_python: Callable[[str], str]) -> str:
        """DuckDB formats numbers differently, reads the first of repeated names, and accepts no text after the JSON."""
        path = text(pointer(names))
        repeated = [
            f"strlen(replace({{0}}, {text(name)}, '')) < strlen({{0}}) - {len(name.encode())}"
            for name in (f'"{name}"' for name in dict.fromkeys(names) if not name.isdecimal())
        ]

        def write(once: Sequence[str]) -> str:
            is_odd = f"json_odd_field(json_extract({{0}}, {path})::VARCHAR, {{0}})"
            odd = " OR ".join(["NOT json_valid({0})", is_odd, *repeated])
            return (
                f"CASE WHEN {odd.replace('{0}', once[0])} THEN {in_python(once[0])}"
                f" WHEN json_type({once[0]}, {path}) = 'NULL' THEN 'null'"
                f" ELSE json_extract_string({once[0]}, {path}) END"
            )

        return self.once([json_text], write)

    def member(self, struct: str, field: str) -> str:
        return f"struct_extract({struct}, {text(field)})"

    def struct(self, fields: Sequence[tuple[str, str]]) -> str:
        return f"struct_pack({', '.join(f'{quoted(name)} := {value}' for name, value in fields)})"

    def map(self, pairs: Sequence[tuple[str, str]]) -> str:
        return f"MAP {{{', '.join(f'{key}: {value}' for key, value in pairs)}}}"

    def joined_maps(self, maps: Sequence[str]) -> str:
        return f"map_concat({', '.join(maps)})"

    def function(self, parameters: Sequence[str], body: str) -> str:
        return f"lambda {', '.join(map(column, parameters))}: {body}"

    def computed(self, values: Sequence[str], write: Write) -> str:
        names = [f"_v.v{number}" for number in range(len(values))]
        packed = ", ".join(f"v{number} := {value}" for number, value in enumerate(values))
        return f"list_transform([struct_pack({packed})], lambda _v: {write(names)})[1]"

    def check_lambda(self, place: exp.Expression, body: str) -> None:
        """Accept every body: DuckDB can call Python functions inside lambdas."""

    def _filled(self, name: str, arguments: Sequence[str]) -> str:
        if (unusual := table.UNUSUAL.get(name)) is None:
            return super()._filled(name, arguments)
        in_python = self.in_python(unusual.form, arguments)
        if any(map(is_long, arguments)):
            return in_python  # the text of nested calls would grow with each level
        usual = super()._filled(name, arguments)
        return f"CASE WHEN {fill(unusual.condition, arguments)} THEN {in_python} ELSE {usual} END"

    def regexp_extract(self, call: exp.Anonymous, pattern: str, value: str, group: str | None) -> str:
        """A match or a group. DuckDB returns '' if nothing matches. A pattern of the whole text returns the text."""
        if _JAVA_ONLY.search(pattern):
            raise self.refused(call, "a look-around, possessive or back reference of REGEXP_EXTRACT")
        literal = text(pattern)

        def write(once: Sequence[str]) -> str:
            extracted = f"regexp_extract({once[0]}, {literal})"
            if group is not None:
                extracted = f"nullif(regexp_extract({once[0]}, {literal}, {group}), '')"
            elif spans_all(pattern):
                extracted = once[0]
            return f"CASE WHEN regexp_matches({once[0]}, {literal}) THEN {extracted} END"

        return self.once([value], write)

    def format_timestamp(self, call: exp.Anonymous, arguments: list[exp.Expression]) -> str:
        pattern = arguments[1]
        if not isinstance(pattern, exp.Literal):
            raise self.refused(call, "this pattern of FORMAT_TIMESTAMP")
        written = ""
        for match in _PATTERN_PART.finditer(str(pattern.this)):
            part = match[0]
            if part in _CODES or part in _LITERALS:
                written += _CODES.get(part) or _LITERALS[part]
            elif part.isalpha() or part in "'%[]{}#":  # DuckDB's codes begin with %
                raise self.refused(call, "this pattern of FORMAT_TIMESTAMP")
            else:
                written += part
        if not written:
            raise self.refused(call, "this pattern of FORMAT_TIMESTAMP")
        value = self.value(arguments[0])
        form = table.FORMS["FORMAT_TIMESTAMP"]["TIMESTAMP VARCHAR"]
        others = self.in_python(form, [self.number_of_time(TIMESTAMP, value), self.value(pattern)])
        return self.once(
            [value],
            lambda once: (
                f"CASE WHEN has_usual_year({once[0]}) THEN strftime({once[0]}, {text(written)}) ELSE {others} END"
            ),
        )

    def json_text(self, kind: KsqlType, value: str) -> str:
        return self.once([value], lambda once: json_text(kind, once[0]))

    def json_object(self, kind: StructType, fields: Mapping[str, str]) -> str:
        values = list(fields.values())
        return self.once(values, lambda once: json_object(kind, dict(zip(fields, once, strict=True))))

    def exploded(self, call: exp.Expression, values: str) -> str:
        return f"unnest({values})"


def _apart(value: str) -> str:
    """Hide a deep value from DuckDB's search for common subexpressions.

    The search takes time that grows with the cube of the depth. DuckDB does not search the ELSE of a CASE. It would
    evaluate a condition without random() in advance.
    """
    if "unnest(" in value or _depth(value) <= _DEEP:
        return value
    return f"CASE WHEN random() >= 2 THEN NULL ELSE {value} END"


def _depth(value: str) -> int:
    brackets = (1 if match[0] in "([" else -1 for match in re.finditer(r"[][()]", value))
    return max(accumulate(brackets), default=0)


def _named(kind: KsqlType, value: str, depth: int = 0) -> str:
    """Give ksqlDB's field names to the structs in a value. A cast does not change names that differ only in
    case."""
    element = f"_e{depth}"
    match kind:
        case StructType():
            fields = (
                (name, _named(inner, f"struct_extract({value}, {text(name)})", depth))
                for name, inner in kind.fields
            )
            packed = ", ".join(f"{quoted(name)} := {field}" for name, field in fields)
            return f"CASE WHEN {value} IS NOT NULL THEN struct_pack({packed}) END"
        case ArrayType() if (named := _named(kind.element, element, depth + 1)) != element:
            return f"list_transform({value}, lambda {element}: {named})"
        case MapType() if (named := _named(kind.value, element, depth + 1)) != element:
            return f"MAP(map_keys({value}), list_transform(map_values({value}), lambda {element}: {named}))"
    return value
