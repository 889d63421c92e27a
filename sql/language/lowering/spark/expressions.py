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
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    STRING,
    TIMESTAMP,
    ArrayType,
    DecimalType,
    KsqlType,
    MapType,
    StructType,
    spark,
)
from opensea_metrics.sql.language.lowering import scalars
from opensea_metrics.sql.language.lowering.calls import Calls
from opensea_metrics.sql.language.lowering.expressions import spans_all
from opensea_metrics.sql.language.lowering.rare import table
from opensea_metrics.sql.language.lowering.records.exact import DAY
from opensea_metrics.sql.language.lowering.refusals import SPARK
from opensea_metrics.sql.language.lowering.template import fill
from opensea_metrics.sql.language.lowering.typed import has_map
from opensea_metrics.sql.language.lowering.writing import SHALLOW, balanced

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
_CALL_OF_PYTHON = "`KSQL_"
_PLAIN_SCALE = 6
"""The most decimal places with which Spark writes no exponent."""
_PATTERN_PART = re.compile(r"'[^']*'|([A-Za-z])\1*|.", re.DOTALL)
_NATIVE = ("yyyy", "MM", "dd", "HH", "mm", "ss", "SSS")
_LAST = "\U0010ffff"
_LINE_ENDS = "\n\r\u0085\u2028\u2029"


@dataclass(frozen=True)
class SparkLowering(Calls):
    """Writes the expressions of one statement in Spark's SQL."""

    engine = SPARK
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

    def element(self, base: str, index: str, of_map: bool) -> str:
        return f"try_element_at({base}, {index if of_map else f'nullif({index}, 0)'})"

    def array(self, values: Sequence[str]) -> str:
        return f"array({', '.join(values)})"

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

    def higher_order(self, name: str, values: str, function: str) -> str:
        return f"{name.lower()}({values}, {function})"

    def fold(self, values: str, function: str, start: str) -> str:
        return f"aggregate({values}, {start}, {function})"

    def are_distinct(self, values: str) -> str:
        return f"size(array_distinct({values})) = size({values})"

    def filtered(self, values: str, name: str, condition: str) -> str:
        return f"filter({values}, {name} -> {condition})"

    def picked(self, values: str, positions: str) -> str:
        return f"transform({positions}, _o -> element_at({values}, CAST(_o AS INT)))"

    def normal_map(self, entries: str) -> str:
        return f"array_sort({entries}, (_a, _b) -> CASE WHEN _a.key < _b.key THEN -1 ELSE 1 END)"

    def without_nulls(self, values: str) -> str:
        return self.once(
            [values],
            lambda once: f"CASE WHEN NOT exists({once[0]}, _e -> _e IS NULL) THEN {once[0]} END",
        )

    def computed(self, values: Sequence[str], write: Callable[[Sequence[str]], str]) -> str:
        names = [f"_v.v{number}" for number in range(len(values))]
        packed = ", ".join(f"'v{number}', {value}" for number, value in enumerate(values))
        return f"element_at(transform(array(named_struct({packed})), _v -> {write(names)}), 1)"

    def whole_sum(self, kind: KsqlType, terms: Sequence[tuple[str, str]]) -> str:
        if len(terms) > SHALLOW:
            return balanced([value if sign == "+" else f"(-{value})" for sign, value in terms])
        (_, written), *rest = terms
        for sign, value in rest:
            written = f"({written} {sign} {value})"
        return written

    def folded(self, terms: Sequence[str]) -> str:
        return f"aggregate(array({', '.join(terms[1:])}), {terms[0]}, (_x, _y) -> _x + _y)"

    def integer(self, kind: KsqlType, left: str, operator: str, right: str) -> str:
        if operator == "/":
            return self.once(
                [left, right],
                lambda once: f"CASE WHEN {once[1]} <> 0 THEN CAST({once[0]} DIV {once[1]} AS {spark(kind)}) END",
            )
        if operator == "%":
            return f"({left} % nullif({right}, 0))"
        return f"({left} {operator} {right})"

    def double(self, left: str, operator: str, right: str) -> str:
        if operator not in "/%":
            return f"({left} {operator} {right})"
        return self.once([left, right], lambda once: self._divided(once[0], operator, once[1]))

    def _divided(self, left: str, operator: str, right: str) -> str:
        # In Spark, a division by zero is NULL.
        infinite = f"WHEN {left} > 0 THEN double('Infinity') WHEN {left} < 0 THEN double('-Infinity')"
        by_zero = (
            f"CASE WHEN isnan({left}) THEN double('NaN') {infinite if operator == '/' else ''}"
            f" WHEN {left} IS NOT NULL THEN double('NaN') END"
        )
        return f"CASE WHEN {right} = 0 THEN {by_zero} ELSE {left} {operator} {right} END"

    def rounded(self, name: str, kind: KsqlType, value: str) -> str:
        if name == "ABS" or kind != DOUBLE:
            return super().rounded(name, kind, value)
        # Spark converts the number to BIGINT. DOUBLEs from 2^53 on are whole numbers, and may not fit.
        return self.once(
            [value],
            lambda once: (
                f"CASE WHEN abs({once[0]}) >= 9007199254740992D OR isnan({once[0]}) THEN {once[0]}"
                f" ELSE CAST({name.lower()}({once[0]}) AS DOUBLE) END"
            ),
        )

    def cast_integer(self, kind: KsqlType, value: str) -> str:
        return f"CAST({value} AS {spark(kind)})"

    def truncated(self, kind: KsqlType, value: str) -> str:
        return f"CAST({value} AS {spark(kind)})"

    def parsed(self, kind: KsqlType, value: str) -> str:
        return self.once([value], lambda once: self._parsed(kind, once[0]))

    def _parsed(self, kind: KsqlType, value: str) -> str:
        match kind:
            case k if k in (BIGINT, INTEGER):
                looks = f"translate({value}, ' +-0123456789', '') = ''"
                return f"CASE WHEN {looks} THEN TRY_CAST(trim({value}) AS {spark(kind)}) END"
            case k if k == DOUBLE:
                number = f"TRY_CAST(regexp_replace(trim({value}), '[dDfF]$', '') AS DOUBLE)"
                plain = f"TRY_CAST(trim({value}) AS DOUBLE)"
                # Java's suffixes are rare, and regular expressions are expensive.
                cases = (
                    (f"translate({value}, ' +-.0123456789eE', '') = ''", plain),
                    (f"{value} RLIKE '^ *[-+.0-9eE]+[dDfF] *$'", number),
                )
                finite = " ".join(
                    f"WHEN {looks} THEN CASE WHEN abs({number_or_null}) < double('Infinity') THEN {number_or_null} END"
                    for looks, number_or_null in cases
                )
                return f"CASE {finite} END"
            case k if k == BOOLEAN:
                begins = [f"startswith('{word}', lower(trim({value})))" for word in ("true", "yes")]
                return f"(trim({value}) <> '' AND ({' OR '.join(begins)}))"
        looks = f"{value} RLIKE '^[-+.0-9eE ]*$' AND {self.fits(kind, value)}"
        return f"CASE WHEN {looks} THEN TRY_CAST(trim({value}) AS {self.wider(kind)}) END"

    def cut_decimal(self, kind: KsqlType, value: str) -> str:
        # The last 64 bits of a number of up to 38 digits, from text: Spark has no wider integers.
        return f"CAST({self.in_python(table.CUT, [f'CAST({value} AS STRING)'])} AS {spark(kind)})"

    def text_of(self, kind: KsqlType, value: str) -> str:
        if isinstance(kind, DecimalType):
            text = f"CAST({value} AS STRING)"
            return text if kind.scale <= _PLAIN_SCALE else self.in_python(table.PLAIN, [text])
        if kind == TIMESTAMP:
            return f"date_format({value}, \"yyyy-MM-dd'T'HH:mm:ss.SSS\")"
        return f"CAST({value} AS STRING)"

    def number_of_time(self, kind: KsqlType, value: str) -> str:
        return f"unix_date({value})" if kind == DATE else f"unix_millis(CAST({value} AS TIMESTAMP))"

    def time_of_number(self, kind: KsqlType, value: str) -> str:
        if kind == DATE:
            return f"date_from_unix_date(CAST({value} AS INT))"
        if value.isdecimal() or _CALL_OF_PYTHON in value:  # the Python functions return no greater numbers
            return f"CAST(timestamp_millis({value}) AS TIMESTAMP_NTZ)"
        return self._filled("FROM_UNIXTIME", [value])

    def timestamp_of_date(self, value: str) -> str:
        return self.time_of_number(TIMESTAMP, f"(unix_date({value}) * {DAY}L)")

    def check_lambda(self, place: exp.Expression, body: str) -> None:
        if _CALL_OF_PYTHON in body:
            raise self.refused(place, "a function in Python inside a lambda, an ARRAY or a MAP")

    def mapped(self, values: str, name: str, value: str, is_strict: bool = False) -> str:
        mapped = f"transform({values}, {name} -> {value})"
        if not is_strict:
            return mapped
        lost = f"size(filter({mapped}, _n -> _n IS NULL)) = size(filter({values}, _n -> _n IS NULL))"
        return f"CASE WHEN {values} IS NOT NULL AND {lost} THEN {mapped} END"

    def mapped_map(self, value: str, keys: str, values: str) -> str:
        return f"CASE WHEN {value} IS NOT NULL AND {values} IS NOT NULL THEN map_from_arrays({keys}, {values}) END"

    def sorted_entries(self, value: str) -> str:
        entries = f"array_sort(map_entries({value}), (_a, _b) -> CASE WHEN _a.key < _b.key THEN -1 ELSE 1 END)"
        return f"transform({entries}, _e -> named_struct('K', _e.key, 'V', _e.value))"

    def joined(self, texts: str, separator: str) -> str:
        return f"array_join({texts}, {separator})"

    def joined_by(self, texts: str, separator: str) -> str:
        return self.joined(texts, separator)

    def sorted(self, values: str, is_descending: bool) -> str:
        return f"sort_array({values}, false)" if is_descending else f"array_sort({values})"

    def greatest_of(self, values: str) -> str:
        return f"array_max({values})"

    def least_of(self, values: str) -> str:
        return f"array_min({values})"

    def absolute(self, kind: KsqlType, value: str) -> str:
        return f"abs({value})"

    def begins_with_nine(self, value: str) -> str:
        return f"startswith(trim(LEADING '+-0. ' FROM CAST({value} AS STRING)), '9')"

    def java_ordered(self, value: str) -> str:
        return self.once(
            [value],
            lambda once: (
                f"CASE WHEN octet_length({once[0]}) = char_length({once[0]}) THEN {once[0]} ELSE"
                f" regexp_replace({once[0]}, '([\\\\x{{E000}}-\\\\x{{FFFF}}])', '{_LAST}\\u00241') END"
            ),
        )

    def of_java_ordered(self, value: str) -> str:
        return f"replace({value}, '{_LAST}', '')"

    def like(self, value: str, pattern: str, negated: bool) -> str:
        # Without an escape character of its own, Spark would read a backslash as an escape.
        return self.like_escaped(value, pattern, negated)

    def like_escaped(self, value: str, pattern: str, negated: bool) -> str:
        return f"({value} {'NOT LIKE' if negated else 'LIKE'} {pattern} ESCAPE '\\u0001')"

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
