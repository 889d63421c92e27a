"""Writes ksqlDB expressions in Spark's SQL, for a session with ANSI mode off and time zone UTC. In such a session
integers wrap around, and a DOUBLE becomes an integer, as in Java."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

from sqlglot import exp

from opensea_metrics.core.quoting import spark_column, spark_quoted, spark_text
from opensea_metrics.core.types import (
    STRING,
    ArrayType,
    KsqlType,
    MapType,
    StructType,
    spark,
)
from opensea_metrics.sql.language.lowering import scalars
from opensea_metrics.sql.language.lowering.engine_texts import Write
from opensea_metrics.sql.language.lowering.extraction import spans_all
from opensea_metrics.sql.language.lowering.refusals import SPARK
from opensea_metrics.sql.language.lowering.spark.numbers import CALL_OF_PYTHON, SparkNumbers
from opensea_metrics.sql.language.lowering.template import fill
from opensea_metrics.sql.language.lowering.typed import has_map

_MOST_PATHS = 8
"""The largest number of Spark paths that one ksqlDB path may stand for."""
# Observed: a JSON null gives the text 'null'.
_JSON_FIELD = (
    "CASE WHEN is_variant_null(try_variant_get(try_parse_json({0}), {1}, 'variant')) THEN 'null'"
    " ELSE get_json_object({0}, {1}) END"
)
# Spark formats numbers differently. try_parse_json returns NULL for repeated names, and for text after the JSON.
_ODD_JSON = "(try_parse_json({0}) IS NULL OR {0} RLIKE '[0-9][.eE]|-0')"
# Spark does not write scalars as JSON. So the value becomes a field, and its text is cut out of the braces.
_JSON_TEXT = (
    "regexp_extract(to_json(named_struct('v', {0}), map('ignoreNullFields', 'false')), '(?s)^.{{5}}(.*).$', 1)"
)
_PATTERN_PART = re.compile(r"'[^']*'|([A-Za-z])\1*|.", re.DOTALL)
_NATIVE = ("yyyy", "MM", "dd", "HH", "mm", "ss", "SSS")
_LINE_ENDS = "\n\r\u0085\u2028\u2029"


@dataclass(frozen=True)
class SparkLowering(SparkNumbers):
    """Writes the expressions of one statement in Spark's SQL."""

    engine = SPARK
    dialect = "spark"
    templates = scalars.SPARK

    def name(self, name: str) -> str:
        return spark_column(name)

    def function_name(self, name: str) -> str:
        return spark_quoted(name)

    def text(self, value: str) -> str:
        return spark_text(value)

    def type_name(self, kind: KsqlType) -> str:
        return spark(kind)

    def literal(self, literal: exp.Literal) -> str:
        if not literal.is_string and "e" in str(literal.this).lower():
            return f"CAST({literal.this} AS DOUBLE)"
        return super().literal(literal)

    def json_field(self, json_text: str, names: Sequence[str], in_python: Callable[[str], str]) -> str:
        """Spark calls Python for all rows, even in a branch of a CASE. So rows of other branches pass NULL."""
        try:
            paths = self._json_paths(names)
        except ValueError:
            return in_python(json_text)

        def write(once: Sequence[str]) -> str:
            odd = fill(_ODD_JSON, once)
            values = [fill(_JSON_FIELD, [once[0], path]) for path in paths]
            value = values[0] if len(values) == 1 else f"coalesce({', '.join(values)})"
            return f"CASE WHEN {odd} THEN {in_python(f'CASE WHEN {odd} THEN {once[0]} END')} ELSE {value} END"

        return self.once([json_text], write)

    def _json_paths(self, names: Sequence[str]) -> list[str]:
        """For ksqlDB, a name made of digits is an index or a field's name. Spark writes these differently."""
        levels: list[list[str]] = []
        for name in names:
            if wrong := set("'?\\") & set(name):
                raise ValueError(f"the character {min(wrong)}")
            is_index = name.isdecimal() and name.isascii() and int(name) < 2**31
            levels.append([f"['{name}']", f"[{int(name)}]"] if is_index else [f"['{name}']"])
        if len(paths := list(product(*levels))) > _MOST_PATHS:
            raise ValueError("more than three numbers")
        return [self.text(f"${''.join(path)}") for path in paths]

    def member(self, struct: str, field: str) -> str:
        return f"{struct}.{spark_quoted(field)}"

    def struct(self, fields: Sequence[tuple[str, str]]) -> str:
        return f"named_struct({', '.join(f'{spark_text(name)}, {value}' for name, value in fields)})"

    def map(self, pairs: Sequence[tuple[str, str]]) -> str:
        return f"map({', '.join(f'{key}, {value}' for key, value in pairs)})"

    def joined_maps(self, maps: Sequence[str]) -> str:
        joined = maps[0]
        for added in maps[1:]:
            rest = f"map_filter({joined}, (_k, _v) -> NOT map_contains_key({added}, _k))"
            joined = f"map_concat({rest}, {added})"
        return joined

    def function(self, parameters: Sequence[str], body: str) -> str:
        names = ", ".join(map(spark_column, parameters))
        return f"{names if len(parameters) == 1 else f'({names})'} -> {body}"

    def computed(self, values: Sequence[str], write: Write) -> str:
        names = [f"_v.v{number}" for number in range(len(values))]
        packed = ", ".join(f"'v{number}', {value}" for number, value in enumerate(values))
        return f"element_at(transform(array(named_struct({packed})), _v -> {write(names)}), 1)"

    def check_lambda(self, place: exp.Expression, body: str) -> None:
        if CALL_OF_PYTHON in body:
            raise self.refused(place, "a function in Python inside a lambda, an ARRAY or a MAP")

    def regexp_extract(self, call: exp.Anonymous, pattern: str, value: str, group: str | None) -> str:
        """A match or a group. Spark has Java's regular expressions, and returns '' if nothing matches."""
        if group is not None and group.isdigit() and int(group) > _groups(pattern):
            return f"CAST(NULL AS {spark(STRING)})"
        literal = self.text(pattern)
        extracted = f"regexp_extract({value}, {literal}, {group or 0})"
        if group in (None, "0") and spans_all(pattern):
            # The match is the whole text, except that Java's $ also matches before a final line end.
            ends = ", ".join(map(spark_text, _LINE_ENDS))
            extracted = f"CASE WHEN right({value}, 1) IN ({ends}) THEN {extracted} ELSE {value} END"
        return f"CASE WHEN {value} RLIKE {literal} THEN {extracted} END"

    def format_timestamp(self, call: exp.Anonymous, arguments: list[exp.Expression]) -> str:
        pattern = arguments[1]
        parts = [match[0] for match in _PATTERN_PART.finditer(str(pattern.this)) if match[0][0].isalpha()]
        if not isinstance(pattern, exp.Literal) or not set(parts) <= set(_NATIVE):
            raise self.refused(call, "this pattern of FORMAT_TIMESTAMP")
        return f"date_format({self.value(arguments[0])}, {self.value(pattern)})"

    def check_comparable(self, call: exp.Anonymous) -> None:
        kind = self.type_of(call.expressions[0])
        if has_map(kind):
            raise self.refused(call, f"{call.this} of {kind}")

    def json_text(self, kind: KsqlType, value: str) -> str:
        return fill(_JSON_TEXT, [self.once([value], lambda once: _sorted(kind, once[0]))])

    def exploded(self, call: exp.Expression, values: str) -> str:
        raise self.refused(call, "a table function here")  # elsewhere a column replaces it


def _sorted(kind: KsqlType, value: str, depth: int = 0) -> str:
    """A value whose fields and keys are sorted alphabetically."""
    element = f"_j{depth}"
    match kind:
        case StructType():
            fields = [(name, _sorted(inner, f"{value}.{spark_quoted(name)}", depth)) for name, inner in kind.fields]
            if fields == [(name, f"{value}.{spark_quoted(name)}") for name, _ in sorted(kind.fields)]:
                return value
            pairs = ", ".join(f"{spark_text(name)}, {field}" for name, field in sorted(fields))
            return f"CASE WHEN {value} IS NOT NULL THEN named_struct({pairs}) END"
        case ArrayType() if (inner := _sorted(kind.element, element, depth + 1)) != element:
            return f"transform({value}, {element} -> {inner})"
        case MapType():
            inner = _sorted(kind.value, f"{element}.value", depth + 1)
            entries = f"array_sort(map_entries({value}))"
            return f"map_from_entries(transform({entries}, {element} -> struct({element}.key, {inner})))"
    return value


def _groups(pattern: str) -> int:
    """The number of a regular expression's capturing groups."""
    without_escapes = re.sub(r"\\.|\[[^\]]*\]", "", pattern)
    return len(re.findall(r"\((?!\?)|\(\?<[A-Za-z]", without_escapes))
