"""ROUND and TRUNC of a DOUBLE to some digits, and GEO_DISTANCE."""

from __future__ import annotations

import math
from decimal import ROUND_DOWN, ROUND_HALF_DOWN, ROUND_HALF_UP, Context, Decimal, Inexact

from opensea_metrics.sql.language.lowering.rare.double_text import double_text
from opensea_metrics.udfs.api import udf

_EXACT = Context(prec=2000, Emin=-999_999, Emax=999_999)
_MOST_DIGITS = 1500
_RADIUS_KM, _RADIUS_MILES = 6371.0, 3959.0


def _decimal(value: float) -> Decimal | None:
    return Decimal(double_text(value)) if math.isfinite(value) else None


def _to_digits(value: float, digits: int, rounding: str) -> float | None:
    number = _decimal(value)
    if number is None:
        return None
    if digits > _MOST_DIGITS:
        return value + 0.0
    if digits < -_MOST_DIGITS:
        return 0.0
    rounded = number.quantize(Decimal(1).scaleb(-digits, _EXACT), rounding, _EXACT)
    return float(rounded) + 0.0


@udf(name="ksql_round_double")
def round_double(value: float, digits: int) -> float | None:
    """A DOUBLE rounded to some digits after the point. Halves are rounded up. NULL if the number is not finite."""
    return _to_digits(value, digits, ROUND_HALF_DOWN if value < 0 else ROUND_HALF_UP)


@udf(name="ksql_trunc_double")
def trunc_double(value: float, digits: int) -> float | None:
    """A DOUBLE truncated to some digits after the point. NULL if the number is not finite."""
    return _to_digits(value, digits, ROUND_DOWN)


@udf(name="ksql_round_decimal")
def round_decimal(value: str, digits: int) -> str:
    """A DECIMAL rounded to some digits after the point. Halves are rounded up."""
    number = Decimal(value)
    return _cut_to(number, digits, ROUND_HALF_DOWN if number < 0 else ROUND_HALF_UP)


@udf(name="ksql_trunc_decimal")
def trunc_decimal(value: str, digits: int) -> str:
    """A DECIMAL truncated to some digits after the point."""
    return _cut_to(Decimal(value), digits, ROUND_DOWN)


def _cut_to(number: Decimal, digits: int, rounding: str) -> str:
    if -int(number.as_tuple().exponent) <= digits:
        return format(number, "f")
    return format(number.quantize(Decimal(1).scaleb(-max(digits, -_MOST_DIGITS), _EXACT), rounding, _EXACT), "f")


@udf(name="ksql_quotient")
def quotient(left: str, right: str, precision: int, scale: int) -> str | None:
    """A quotient of DECIMALs. NULL for a division by zero, or if the quotient needs more digits than its type has.

    ksqlDB 7.9 does not round a quotient: the division fails (observed).
    """
    divisor = Decimal(right)
    if divisor == 0:
        return None
    context = Context(prec=precision, traps=[])
    result = context.divide(Decimal(left), divisor)
    if context.flags[Inexact] or -int(result.as_tuple().exponent) > scale:
        return None
    return format(result, "f")


@udf(name="ksql_cut_decimal")
def cut_decimal(number: str) -> int:
    """A DECIMAL without its fraction, in its last 64 bits."""
    return (int(Decimal(number)) + (1 << 63)) % (1 << 64) - (1 << 63)


@udf(name="ksql_plain_decimal")
def plain_decimal(number: str) -> str:
    """A number without an exponent."""
    return format(Decimal(number), "f")


@udf(name="ksql_decimal_of_double")
def decimal_of_double(number: float, precision: int, scale: int) -> str | None:
    """The exact value of a DOUBLE rounded to ``precision`` digits, and then to ``scale`` digits after the point.

    So 2.675E0, which is a little less than 2.675, is 2.67 as a DECIMAL(3, 2) and 2.68 as a DECIMAL(4, 2) (observed on
    7.9.1, 2026-11-30). NULL if the number is not finite.
    """
    if not math.isfinite(number):
        return None
    rounded = Context(prec=precision, rounding=ROUND_HALF_UP).create_decimal(number)
    return format(rounded.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP, _EXACT), "f")


@udf(name="ksql_geo_distance")
def geo_distance(
    latitude: float, longitude: float, other_latitude: float, other_longitude: float, unit: str | None
) -> float | None:
    """The great-circle distance between two places, in km (the default) or miles. NULL for invalid coordinates."""
    name = "KM" if unit is None else unit.upper()
    if name in ("KM", "KILOMETER", "KILOMETERS"):
        radius = _RADIUS_KM
    elif name in ("MI", "MILE", "MILES"):
        radius = _RADIUS_MILES
    else:
        return None
    if not all(abs(angle) <= 90 for angle in (latitude, other_latitude)):
        return None
    if not all(abs(angle) <= 180 for angle in (longitude, other_longitude)):
        return None
    d_latitude = math.radians(other_latitude - latitude)
    d_longitude = math.radians(other_longitude - longitude)
    latitude, other_latitude = math.radians(latitude), math.radians(other_latitude)
    a = (
        math.sin(d_latitude / 2) * math.sin(d_latitude / 2)
        + math.sin(d_longitude / 2) * math.sin(d_longitude / 2) * math.cos(latitude) * math.cos(other_latitude)
    )
    return radius * (2 * math.asin(math.sqrt(a)))
