"""Writes arithmetic in DuckDB's SQL, and conversions between numbers, times and texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlglot import exp

from opensea_metrics.core.conversions import as_decimal
from opensea_metrics.core.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    TIME,
    TIMESTAMP,
    DecimalType,
    KsqlType,
    duckdb,
)
from opensea_metrics.sql.language.lowering.calls import Calls
from opensea_metrics.sql.language.lowering.writing import SHALLOW, balanced, is_changing

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


class DuckDBNumbers(Calls):
    """Writes values of numbers and times."""

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

    def absolute(self, kind: KsqlType, value: str) -> str:
        return wrapped(kind, f"abs({value}::HUGEINT)")

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

    def double_text(self, value: str) -> str:
        return self.once([value], lambda once: f"double_text(CAST({once[0]} AS DOUBLE))")

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
