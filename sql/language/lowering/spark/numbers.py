"""Writes arithmetic in Spark's SQL, and conversions between numbers, times and texts."""

from __future__ import annotations

from collections.abc import Sequence

from opensea_metrics.core.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    TIMESTAMP,
    DecimalType,
    KsqlType,
    spark,
)
from opensea_metrics.sql.language.lowering.calls import Calls
from opensea_metrics.sql.language.lowering.rare import table
from opensea_metrics.sql.language.lowering.records.exact_scalars import DAY
from opensea_metrics.sql.language.lowering.writing import SHALLOW, balanced

CALL_OF_PYTHON = "`KSQL_"
"""The beginning of a call of a Python function."""
_PLAIN_SCALE = 6
"""The most decimal places with which Spark writes no exponent."""


class SparkNumbers(Calls):
    """Writes values of numbers and times."""

    def whole_sum(self, kind: KsqlType, terms: Sequence[tuple[str, str]]) -> str:
        if len(terms) > SHALLOW:
            return balanced([value if sign == "+" else f"(-{value})" for sign, value in terms])
        (_, written), *rest = terms
        for sign, value in rest:
            written = f"({written} {sign} {value})"
        return written

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

    def absolute(self, kind: KsqlType, value: str) -> str:
        return f"abs({value})"

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
        if value.isdecimal() or CALL_OF_PYTHON in value:  # the Python functions return no greater numbers
            return f"CAST(timestamp_millis({value}) AS TIMESTAMP_NTZ)"
        return self._filled("FROM_UNIXTIME", [value])

    def timestamp_of_date(self, value: str) -> str:
        return self.time_of_number(TIMESTAMP, f"(unix_date({value}) * {DAY}L)")
