"""A DOUBLE as text, like ``Double.toString`` of Java up to version 18. ksqlDB 7.9 runs on such a version.

These versions do not always write the shortest text: 2.0E23 is 1.9999999999999998E23. This module follows the steps of
their ``FloatingDecimal`` with exact integers. ``tests/sql/test_double_text.py`` has texts that a JVM wrote.
"""

from __future__ import annotations

import math
import struct
from functools import lru_cache

from opensea_metrics.udfs.api import udf

_BITS = 52
_LEAST_EXPONENT, _GREATEST_EXPONENT = -21, 62
"""Binary exponents of numbers that may have all their digits in 64 bits."""


@udf(name="ksql_double_text")
def double_text(value: float) -> str:
    """The text of a DOUBLE: a decimal number between 10^-3 and 10^7, otherwise with an exponent."""
    return repr(value) if _is_shortest(value) else by_digits(value)


def _is_shortest(value: float) -> bool:
    """True if both languages write the shortest text, and without an exponent.

    They differ if a short text lies in the middle between two numbers. In this range, only whole numbers and powers of
    two have such texts. The middle between two other numbers has more digits than the shortest text of either.
    """
    return 1e-3 <= abs(value) < 1e7 and not value.is_integer() and abs(math.frexp(value)[0]) != 0.5


def by_digits(value: float) -> str:
    """The text of any DOUBLE. It takes about 20 times as long as ``repr``."""
    if math.isnan(value):
        return "NaN"
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    if math.isinf(value):
        return f"{sign}Infinity"
    if value == 0:
        return f"{sign}0.0"
    digits, exponent = _digits(abs(value))
    if 0 < exponent < 8:
        whole = digits[:exponent].ljust(exponent, "0")
        return f"{sign}{whole}.{digits[exponent:] or '0'}"
    if -3 < exponent <= 0:
        return f"{sign}0.{'0' * -exponent}{digits}"
    return f"{sign}{digits[0]}.{digits[1:] or '0'}E{exponent - 1}"


@lru_cache(maxsize=1 << 16)  # cached, because the same prices appear in the rows of every window
def _digits(value: float) -> tuple[str, int]:
    """The digits of a positive number, and the exponent: the number is 0.DIGITS × 10^exponent."""
    (bits,) = struct.unpack(">q", struct.pack(">d", value))
    exponent, fraction = bits >> _BITS, bits & ((1 << _BITS) - 1)
    if exponent:
        fraction |= 1 << _BITS
        significant = _BITS + 1
    else:
        significant = fraction.bit_length()
        fraction <<= _BITS + 1 - significant
        exponent = significant - _BITS
    exponent -= 1023
    zeros = (fraction & -fraction).bit_length() - 1
    used = _BITS + 1 - zeros
    tiny = max(0, used - exponent - 1)
    if _LEAST_EXPONENT <= exponent <= _GREATEST_EXPONENT and tiny == 0 and used < 64:
        return _whole(fraction, exponent, significant)
    return _developed(fraction >> zeros, exponent, significant, used, tiny)


def _whole(fraction: int, exponent: int, significant: int) -> tuple[str, int]:
    """A whole number, without the digits that its bits do not determine."""
    number = fraction << (exponent - _BITS) if exponent >= _BITS else fraction >> (_BITS - exponent)
    spare = exponent - significant - 1
    insignificant = len(str(2**spare)) - 1 if exponent > significant and spare > 1 else 0
    if insignificant:
        unit = 10**insignificant
        number, rest = divmod(number, unit)
        if rest >= unit // 2:
            number += 1
    text = str(number)
    return text.rstrip("0"), len(text) + insignificant


def _developed(
    fraction: int, exponent: int, significant: int, used: int, tiny: int
) -> tuple[str, int]:
    """Compute digit by digit, until the remainder is less than half of the last bit."""
    decimal = _estimate(fraction, exponent, used)
    b5, s5 = max(0, -decimal), max(0, decimal)
    b2, s2 = b5 + tiny + exponent, s5 + tiny
    m2 = b2 - significant
    b2 -= used - 1
    common = min(b2, s2)
    b2, s2, m2 = b2 - common, s2 - common, m2 - common
    if used == 1:
        m2 -= 1
    if m2 < 0:
        b2, s2, m2 = b2 - m2, s2 - m2, 0
    left = fraction * 5**b5 << b2
    unit = 5**s5 << s2
    margin = 5**b5 << m2
    # Java compares in this way where its numbers are too long for 64 bits.
    is_long = used + b2 + _bits_of_power(b5) >= 64 or s2 + 1 + _bits_of_power(s5 + 1) >= 64
    digits = ""
    low = high = False
    is_first = True
    while is_first or not (low or high):
        digit, left = divmod(left, unit)
        left, margin = 10 * left, 10 * margin
        low = left < margin
        high = left + margin >= 10 * unit if is_long else left + margin > 10 * unit
        if is_first and digit == 0 and not high:
            decimal -= 1
        else:
            digits += str(digit)
        if is_first and not -3 <= decimal < 8:
            low = high = False  # at least two digits, for the form with an exponent
        is_first = False
    twice = 2 * left - 10 * unit
    if high and (not low or twice > 0 or (twice == 0 and int(digits[-1]) % 2)):
        rounded = str(int(digits) + 1).rjust(len(digits), "0")
        decimal += len(rounded) - len(digits)
        digits = rounded
    return digits.rstrip("0"), decimal + 1


def _estimate(fraction: int, exponent: int, used: int) -> int:
    """The decimal exponent, or one more."""
    scaled = math.ldexp(fraction, 1 - used)
    return math.floor((scaled - 1.5) * 0.289529654 + 0.176091259 + exponent * 0.301029995663981)


def _bits_of_power(power: int) -> int:
    """Bits of a power of five as Java's table has them."""
    return (5**power).bit_length() if power < 27 else power * 3
