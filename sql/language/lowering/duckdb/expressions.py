"""Writes ksqlDB expressions in DuckDB's SQL."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from sqlglot import exp

from opensea_metrics.core.conversions import as_decimal
from opensea_metrics.core.quoting import column, quoted, text
from opensea_metrics.core.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    TIME,
    TIMESTAMP,
    ArrayType,
    DecimalType,
    KsqlType,
    MapType,
    StructType,
    duckdb,
)
from opensea_metrics.sql.language.lowering import scalars
from opensea_metrics.sql.language.lowering.calls import Calls
from opensea_metrics.sql.language.lowering.duckdb.json_text import json_object, json_text
from opensea_metrics.sql.language.lowering.expressions import owner, spans_all
from opensea_metrics.sql.language.lowering.json_paths import pointer
from opensea_metrics.sql.language.lowering.rare import table
from opensea_metrics.sql.language.lowering.refusals import EMBEDDED
from opensea_metrics.sql.language.lowering.template import fill
from opensea_metrics.sql.language.lowering.writing import SHALLOW, balanced, is_changing, is_long

_JAVA_ONLY = re.compile(r"\(\?[=!<]|[*+?}]\+|\\[1-9]")
"""Parts of regular expressions that DuckDB does not have."""
_PATTERN_PART = re.compile(r"'T'|''|([A-Za-z])\1*|.", re.DOTALL)
_CODES = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S", "SSS": "%g"}
"""Parts of a pattern of FORMAT_TIMESTAMP, as DuckDB writes them."""
_LITERALS = {"'T'": "T", "''": "'"}
_DEEP = 100
"""The number of nested brackets from which a value counts as deep."""
_FAST_DIGITS = 18
"""The most digits of a DECIMAL that DuckDB keeps in 64 bits."""
_TEXTS = {DATE: "date_text", TIME: "time_text", TIMESTAMP: "timestamp_text"}
_WRAP = {BIGINT: "wrap64", INTEGER: "wrap32"}
_PARSE = {
    BIGINT: "parse_bigint", INTEGER: "parse_integer", DOUBLE: "parse_double",
    # Observed: 't', 'tr', 'y', 'yes' … are also true, and no other text is.
    BOOLEAN: "parse_boolean",
}  # fmt: skip


def wrapped(kind: KsqlType, value: str) -> str:
    """An integer expression of any size, wrapped around as in Java."""
    return f"{_WRAP[kind]}({value})"


@dataclass(frozen=True)
class Lowering(Calls):
    """Writes the expressions of one statement in DuckDB's SQL. The database must have run ``macros.SETUP``."""

    engine = EMBEDDED
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

    def element(self, base: str, index: str, of_map: bool) -> str:
        return f"{'map_extract_value' if of_map else 'list_extract'}({base}, {index})"

    def array(self, values: Sequence[str]) -> str:
        return "[" + ", ".join(values) + "]"

    def struct(self, fields: Sequence[tuple[str, str]]) -> str:
        return f"struct_pack({', '.join(f'{quoted(name)} := {value}' for name, value in fields)})"

    def map(self, pairs: Sequence[tuple[str, str]]) -> str:
        return f"MAP {{{', '.join(f'{key}: {value}' for key, value in pairs)}}}"

    def joined_maps(self, maps: Sequence[str]) -> str:
        return f"map_concat({', '.join(maps)})"

    def function(self, parameters: Sequence[str], body: str) -> str:
        return f"lambda {', '.join(map(column, parameters))}: {body}"

    def higher_order(self, name: str, values: str, function: str) -> str:
        return f"list_{name.lower()}({values}, {function})"

    def fold(self, values: str, function: str, start: str) -> str:
        return f"list_reduce({values}, {function}, {start})"

    def are_distinct(self, values: str) -> str:
        return f"len(list_distinct({values})) = len({values})"

    def filtered(self, values: str, name: str, condition: str) -> str:
        return f"list_filter({values}, lambda {name}: {condition})"

    def picked(self, values: str, positions: str) -> str:
        return f"list_select({values}, {positions})"

    def normal_map(self, entries: str) -> str:
        return f"map_from_entries(list_sort({entries}))"

    def without_nulls(self, values: str) -> str:
        return self.once(
            [values],
            lambda once: (
                f"CASE WHEN len(list_filter({once[0]}, lambda _e: _e IS NULL)) = 0 THEN {once[0]} END"
            ),
        )

    def computed(self, values: Sequence[str], write: Callable[[Sequence[str]], str]) -> str:
        names = [f"_v.v{number}" for number in range(len(values))]
        packed = ", ".join(f"v{number} := {value}" for number, value in enumerate(values))
        return f"list_transform([struct_pack({packed})], lambda _v: {write(names)})[1]"

    def negative(self, negative: exp.Neg) -> str:
        """A negated integer. The smallest integer stays as it is, as in Java. DuckDB's minus fails for it."""
        kind = self.type_of(negative)
        if kind in _WRAP:
            return self.whole_sum(kind, [("+", "0"), ("-", self.value(negative.this))])
        return super().negative(negative)

    def whole_sum(self, kind: KsqlType, terms: Sequence[tuple[str, str]]) -> str:
        if len(terms) > SHALLOW:
            signed = (f"{value}::HUGEINT" if sign == "+" else f"-({value}::HUGEINT)" for sign, value in terms)
            return wrapped(kind, balanced(list(signed)))
        (_, first), *rest = terms
        return wrapped(kind, f"{first}::HUGEINT" + "".join(f" {sign} {value}" for sign, value in rest))

    def folded(self, terms: Sequence[str]) -> str:
        return f"list_reduce([{', '.join(terms)}], lambda _x, _y: _x + _y)"

    def integer(self, kind: KsqlType, left: str, operator: str, right: str) -> str:
        if operator == "/":
            return wrapped(kind, f"trunc_div({left}, {right})")
        if operator == "%":
            return f"({left} % nullif({right}, 0))"
        return wrapped(kind, f"{left}::HUGEINT {operator} {right}")

    def decimal(self, kind: KsqlType, first: KsqlType, left: str, operator: str, right: str) -> str:
        """DuckDB computes with 18 digits and fails for more, unless the type of an operand has more digits."""
        assert isinstance(kind, DecimalType)
        if kind.precision > _FAST_DIGITS:
            left = f"CAST({left} AS {duckdb(replace(kind, scale=as_decimal(first).scale))})"
        return super().decimal(kind, first, left, operator, right)

    def cast_integer(self, kind: KsqlType, value: str) -> str:
        return wrapped(kind, value)

    def truncated(self, kind: KsqlType, value: str) -> str:
        low, high = {
            BIGINT: ("-9223372036854775808", "9223372036854775807"),
            INTEGER: ("-2147483648", "2147483647"),
        }[kind]
        return self.once(
            [value],
            lambda once: (
                f"CASE WHEN isnan({once[0]}) THEN 0 WHEN {once[0]} >= {high} THEN {high} "
                f"WHEN {once[0]} <= {low} THEN {low} ELSE CAST(trunc({once[0]}) AS {kind.name}) END"
            ),
        )

    def parsed(self, kind: KsqlType, value: str) -> str:
        if kind in _PARSE:
            return self.once([value], lambda once: f"{_PARSE[kind]}({once[0]})")
        return self.once(
            [value],
            lambda once: (
                f"CASE WHEN ltrim({once[0]}, '+-.0123456789eE ') = '' AND {self.fits(kind, once[0])}"
                f" THEN TRY_CAST(trim({once[0]}) AS {self.wider(kind)}) END"
            ),
        )

    def cut_decimal(self, kind: KsqlType, value: str) -> str:
        return wrapped(kind, f"CAST(trunc({value}) AS HUGEINT)")

    def text_of(self, kind: KsqlType, value: str) -> str:
        return f"{_TEXTS[kind]}({value})" if kind in _TEXTS else f"CAST({value} AS VARCHAR)"

    def number_of_time(self, kind: KsqlType, value: str) -> str:
        return f"CAST({value} - DATE '1970-01-01' AS INTEGER)" if kind == DATE else f"epoch_ms({value})"

    def time_of_number(self, kind: KsqlType, value: str) -> str:
        if is_changing(value):  # DuckDB allows no such value inside TRY
            return self.computed([value], lambda once: self.time_of_number(kind, once[0]))
        if kind == DATE:
            return f"TRY(DATE '1970-01-01' + CAST({value} AS INTEGER))"
        return f"TRY(make_timestamp_ms({value})){'::TIME' if kind == TIME else ''}"

    def timestamp_of_date(self, value: str) -> str:
        return f"TRY_CAST({value} AS TIMESTAMP)"

    def check_lambda(self, place: exp.Expression, body: str) -> None:
        """Accept every body: DuckDB can call Python functions inside lambdas."""

    def mapped(self, values: str, name: str, value: str, is_strict: bool = False) -> str:
        mapped = f"list_transform({values}, lambda {name}: {value})"
        if not is_strict:
            return mapped
        return f"CASE WHEN list_count({mapped}) = list_count({values}) THEN {mapped} END"

    def mapped_map(self, value: str, keys: str, values: str) -> str:
        return f"CASE WHEN {value} IS NOT NULL AND {values} IS NOT NULL THEN MAP({keys}, {values}) END"

    def sorted_entries(self, value: str) -> str:
        return f"list_transform(list_sort(map_entries({value})), lambda _e: struct_pack(K := _e.key, V := _e.value))"

    def joined(self, texts: str, separator: str) -> str:
        return f"array_to_string({texts}, {separator})"

    def joined_by(self, texts: str, separator: str) -> str:
        pieces = f"list_reduce({texts}, lambda _x, _y: _x || {separator} || _y)"  # DuckDB's own needs literals
        return f"CASE WHEN len({texts}) = 0 THEN '' ELSE {pieces} END"

    def sorted(self, values: str, is_descending: bool) -> str:
        return f"list_sort({values}, '{'DESC' if is_descending else 'ASC'}', 'NULLS LAST')"

    def greatest_of(self, values: str) -> str:
        return f"list_max({values})"

    def least_of(self, values: str) -> str:
        return f"list_min({values})"

    def absolute(self, kind: KsqlType, value: str) -> str:
        return wrapped(kind, f"abs({value}::HUGEINT)")

    def begins_with_nine(self, value: str) -> str:
        return f"starts_with(ltrim(CAST({value} AS VARCHAR), '+-0. '), '9')"

    def java_ordered(self, value: str) -> str:
        return self.once([value], lambda once: f"java_ordered({once[0]})")

    def of_java_ordered(self, value: str) -> str:
        return f"of_java_ordered({value})"

    def like_escaped(self, value: str, pattern: str, negated: bool) -> str:
        return f"({value} {'NOT LIKE' if negated else 'LIKE'} {pattern} ESCAPE chr(1))"

    def _filled(self, name: str, arguments: Sequence[str]) -> str:
        if (unusual := table.UNUSUAL.get(name)) is None:
            return super()._filled(name, arguments)
        in_python = self.in_python(unusual.form, arguments)
        if any(map(is_long, arguments)):
            return in_python  # the text of nested calls would grow with each level
        usual = super()._filled(name, arguments)
        return f"CASE WHEN {fill(unusual.condition, arguments)} THEN {in_python} ELSE {usual} END"

    def like(self, value: str, pattern: str, negated: bool) -> str:
        return f"({value} {'NOT LIKE' if negated else 'LIKE'} {pattern})"

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
