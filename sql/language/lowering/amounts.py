"""Writes calls that round numbers, or add units to times. This part is the same for all engines."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from opensea_metrics.core.types import BIGINT, DATE, DOUBLE, STRING, TIME, DecimalType
from opensea_metrics.sql.language.functions import variations
from opensea_metrics.sql.language.lowering.containers import Containers
from opensea_metrics.sql.language.lowering.expressions import INTEGERS
from opensea_metrics.sql.language.lowering.rare import table

_UNITS = {"DAYS": 86_400_000, "HOURS": 3_600_000, "MINUTES": 60_000, "SECONDS": 1000, "MILLISECONDS": 1}
_DAY = 86_400_000
_MOST_WHOLE = 36
"""The most digits before the point of a DECIMAL that is rounded, so that one more fits."""


class Amounts(Containers):
    """Writes expressions with calls of ABS, CEIL, FLOOR, ROUND, TRUNC, DATEADD and similar functions."""

    def _rounded(self, name: str, argument: exp.Expression) -> str:
        """ABS, CEIL or FLOOR. The result has the argument's type."""
        kind, value = self.type_of(argument), self.value(argument)
        if kind in INTEGERS:
            return self.absolute(kind, value) if name == "ABS" else value
        self.checked_type(argument, kind)
        return self.rounded(name, kind, value)

    def _to_digits(self, call: exp.Anonymous, name: str, arguments: list[exp.Expression]) -> str:
        """ROUND and TRUNC of all but DOUBLEs to digits."""
        kind, value = self.type_of(arguments[0]), self.value(arguments[0])
        if kind in INTEGERS:
            return f"CAST({value} AS BIGINT)"
        if kind == DOUBLE:
            return self.once([value], lambda once: self.truncated(BIGINT, _nearest(once[0]))) if name == "ROUND" else (
                self.truncated(BIGINT, value)
            )
        result = self.type_of(call)
        self.checked_type(call, kind)
        self.checked_type(call, result)
        written = self.wider(result)
        assert isinstance(kind, DecimalType)
        digits = 0
        if len(arguments) > 1:
            literal = arguments[1].this if isinstance(arguments[1], exp.Neg) else arguments[1]
            if not isinstance(literal, exp.Literal):
                form = table.ROUND_DECIMAL if name == "ROUND" else table.TRUNC_DECIMAL
                text = self.in_python(form, [self.cast(call, kind, STRING, value), self.value(arguments[1])])
                return f"TRY_CAST({text} AS {self.wider(result)})"
            digits = int(literal.this) * (-1 if literal is not arguments[1] else 1)
        if digits >= kind.scale:
            return f"CAST({value} AS {self.type_name(result)})"
        if kind.precision - kind.scale + max(digits, 0) > _MOST_WHOLE:
            raise self.refused(call, f"{name} of {kind}")
        unit = "1" + "0" * -digits if digits <= 0 else f"0.{'0' * (digits - 1)}1"
        least = f"0.{'0' * (kind.scale - 1)}1"

        def write(once: Sequence[str]) -> str:
            (number,) = once
            if name == "TRUNC":
                return f"TRY_CAST({number} - {number} % CAST({unit} AS {self.type_name(kind)}) AS {written})"
            # Halves are rounded up, so those of negative numbers are rounded towards 0.
            nudged = f"CASE WHEN {number} < 0 THEN {number} + {least} ELSE {number} END"
            return f"TRY_CAST(round({nudged}, {digits}) AS {written})"  # 99.99 becomes 100.0

        return self.once([value], write)

    def _moved(self, call: exp.Anonymous, chosen: variations.Call) -> str:
        """A time plus or minus some units. A TIME begins again after midnight; a DATE is cut to its day."""
        unit = _UNITS.get(str(call.expressions[0].this).upper())
        if unit is None:
            raise self.refused(call, f"the unit {call.expressions[0].this} of {call.this}")
        kind = chosen.type
        count, value = self.value(call.expressions[1]), self._taken_time(call, chosen)
        sign = "-" if str(call.this).upper().endswith("SUB") else "+"
        shift = f"CAST({count} AS BIGINT) * {unit}"
        number = self.as_number(call, kind, value)
        if kind == DATE:
            moved = f"CAST(floor((CAST({number} AS BIGINT) * {_DAY} {sign} {shift}) / {float(_DAY)}E0) AS BIGINT)"
        elif kind == TIME:
            moved = f"((({number} {sign} {shift}) % {_DAY} + {_DAY}) % {_DAY})"
        else:
            moved = f"({number} {sign} {shift})"
        return self.from_number(call, kind, moved)

    def _taken_time(self, call: exp.Anonymous, chosen: variations.Call) -> str:
        argument, kind = call.expressions[2], chosen.parameters[2].type
        value = self.value(argument)
        return self.cast(argument, STRING, kind, value) if self.type_of(argument) == STRING else value


def _nearest(value: str) -> str:
    """A DOUBLE rounded as by Java's ``Math.round``: half of the way goes up."""
    whole = f"floor({value})"
    return (
        f"CASE WHEN abs({value}) < 4503599627370496E0 THEN {whole} +"
        f" CASE WHEN {value} - {whole} >= 0.5E0 THEN 1 ELSE 0 END ELSE {value} END"
    )
