"""Expressions of ksqlDB in Spark's SQL, for a session with ANSI mode off and time zone UTC: then integers
wrap around, and DOUBLE becomes an integer, as in Java."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

from sql.lowering.calls import Calls
from sql.lowering.expressions import spans_all
from sql.lowering.refusals import SPARK
from sql.lowering.spark_functions import TEMPLATES
from sql.quoting import spark_column, spark_quoted, spark_text
from sql.types import BIGINT, BOOLEAN, DOUBLE, INTEGER, STRING, KsqlType, spark

_LINE_ENDS = "\n\r\u0085\u2028\u2029"


@dataclass(frozen=True)
class SparkLowering(Calls):
    """Writes expressions of one statement in Spark's SQL."""

    engine = SPARK
    templates = TEMPLATES

    def name(self, name: str) -> str:
        return spark_column(name)

    def function_name(self, name: str) -> str:
        return spark_quoted(name)

    def text(self, value: str) -> str:
        return spark_text(value)

    def type_name(self, kind: KsqlType) -> str:
        return spark(kind)

    def literal(self, literal: exp.Literal) -> str:
        if not literal.is_string and self.type_of(literal) == DOUBLE:
            return f"CAST({literal.this} AS DOUBLE)"
        return super().literal(literal)

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

    def function(self, parameters: Sequence[str], body: str) -> str:
        names = ", ".join(map(spark_column, parameters))
        return f"{names if len(parameters) == 1 else f'({names})'} -> {body}"

    def higher_order(self, name: str, values: str, function: str, start: str | None) -> str:
        if start is not None:
            return f"coalesce(aggregate({values}, {start}, {function}), {start})"
        return f"{name.lower()}({values}, {function})"

    def without_nulls(self, values: str) -> str:
        return f"CASE WHEN NOT exists({values}, _e -> _e IS NULL) THEN {values} END"

    def integer(self, kind: KsqlType, left: str, operator: str, right: str) -> str:
        if operator == "/":
            return f"CASE WHEN {right} <> 0 THEN CAST({left} DIV {right} AS {spark(kind)}) END"
        if operator == "%":
            return f"({left} % nullif({right}, 0))"
        return f"({left} {operator} {right})"

    def double(self, left: str, operator: str, right: str) -> str:
        if operator not in "/%":
            return f"({left} {operator} {right})"
        # Spark gives NULL for a division by zero.
        infinite = f"WHEN {left} > 0 THEN double('Infinity') WHEN {left} < 0 THEN double('-Infinity')"
        by_zero = (
            f"CASE WHEN isnan({left}) THEN double('NaN') {infinite if operator == '/' else ''}"
            f" WHEN {left} IS NOT NULL THEN double('NaN') END"
        )
        return f"CASE WHEN {right} = 0 THEN {by_zero} ELSE {left} {operator} {right} END"

    def rounded(self, name: str, kind: KsqlType, value: str) -> str:
        if name == "ABS" or kind != DOUBLE:
            return super().rounded(name, kind, value)
        # Spark makes a BIGINT of it, which doubles from 2^53 on (all whole) need not fit.
        whole = f"abs({value}) >= 9007199254740992D OR isnan({value})"
        return f"CASE WHEN {whole} THEN {value} ELSE CAST({name.lower()}({value}) AS DOUBLE) END"

    def cast_integer(self, kind: KsqlType, value: str) -> str:
        return f"CAST({value} AS {spark(kind)})"

    def truncated(self, kind: KsqlType, value: str) -> str:
        return f"CAST({value} AS {spark(kind)})"

    def parsed(self, kind: KsqlType, value: str) -> str:
        match kind:
            case k if k in (BIGINT, INTEGER):
                looks = f"translate({value}, ' +-0123456789', '') = ''"
                return f"CASE WHEN {looks} THEN TRY_CAST(trim({value}) AS {spark(kind)}) END"
            case k if k == DOUBLE:
                number = f"TRY_CAST(regexp_replace(trim({value}), '[dDfF]$', '') AS DOUBLE)"
                plain = f"TRY_CAST(trim({value}) AS DOUBLE)"
                # Java's suffixes are rare, and regular expressions dear.
                cases = (
                    (f"translate({value}, ' +-.0123456789eE', '') = ''", plain),
                    (f"{value} RLIKE '^ *[-+.0-9eE]+[dDfF] *$'", number),
                )
                finite = " ".join(
                    f"WHEN {looks} THEN CASE WHEN abs({each}) < double('Infinity') THEN {each} END"
                    for looks, each in cases
                )
                return f"CASE {finite} END"
            case k if k == BOOLEAN:
                begins = [f"startswith('{word}', lower(trim({value})))" for word in ("true", "yes")]
                return f"(trim({value}) <> '' AND ({' OR '.join(begins)}))"
        looks = f"{value} RLIKE '^[-+.0-9eE ]*$'"
        return f"CASE WHEN {looks} THEN TRY_CAST(trim({value}) AS {spark(kind)}) END"

    def absolute(self, kind: KsqlType, value: str) -> str:
        return f"abs({value})"

    def like(self, value: str, pattern: str, negated: bool) -> str:
        # Without a character of its own Spark takes a backslash for an escape.
        return f"({value} {'NOT LIKE' if negated else 'LIKE'} {pattern} ESCAPE '\\u0001')"

    def regexp_extract(self, call: exp.Anonymous, arguments: list[exp.Expression]) -> str:
        """Spark has Java's regular expressions, and gives '' where nothing matches."""
        literal = arguments[0]
        if not isinstance(literal, exp.Literal):
            raise self.refused(call, "REGEXP_EXTRACT with a pattern that is no literal")
        if len(arguments) == 3 and re.search(r"[?*|]|\{0", str(literal.this)):
            raise self.refused(call, "a group of REGEXP_EXTRACT beside something optional")
        pattern, value = self.value(literal), self.value(arguments[1])
        group = self.value(arguments[2]) if len(arguments) == 3 else "0"
        if group.isdigit() and int(group) > _groups(str(literal.this)):
            return f"CAST(NULL AS {spark(STRING)})"
        extracted = f"regexp_extract({value}, {pattern}, {group})"
        if group == "0" and spans_all(str(literal.this)):
            # All of the text, but that Java's $ is before the end of a last line, too.
            ends = ", ".join(map(spark_text, _LINE_ENDS))
            extracted = f"CASE WHEN right({value}, 1) IN ({ends}) THEN {extracted} ELSE {value} END"
        return f"CASE WHEN {value} RLIKE {pattern} THEN {extracted} END"

    def format_timestamp(self, call: exp.Anonymous, arguments: list[exp.Expression]) -> str:
        pattern = arguments[1]
        if not isinstance(pattern, exp.Literal) or re.sub("yyyy|[MdHms]{2}|SSS", "", re.sub(
            "'[^']*'", "", str(pattern.this)
        )).isalpha():  # fmt: skip
            raise self.refused(call, "this pattern of FORMAT_TIMESTAMP")
        return f"date_format({self.value(arguments[0])}, {self.value(pattern)})"

    def exploded(self, call: exp.Expression, values: str) -> str:
        raise self.refused(call, "a table function here")  # where it may be, it is substituted


def _groups(pattern: str) -> int:
    """The number of a regular expression's capturing groups."""
    without_escapes = re.sub(r"\\.|\[[^\]]*\]", "", pattern)
    return len(re.findall(r"\((?!\?)|\(\?<[A-Za-z]", without_escapes))
