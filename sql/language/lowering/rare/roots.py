"""CBRT and COSH of a DOUBLE by Java's algorithms (fdlibm). Other libraries differ in the last digit."""

from __future__ import annotations

import math
import struct

from opensea_metrics.udfs.api import udf

_TINY = 0x00100000
"""The high word of the least number with all its bits."""
_THIRD, _TINY_THIRD = 715_094_163, 696_219_795
"""What is added to a third of the high word, for a first estimate of the root."""
_LN2_HIGH, _LN2_LOW, _PER_LN2 = 6.93147180369123816490e-01, 1.90821492927058770002e-10, 1.44269504088896338700e00
_POLYNOMIAL = (
    4.13813679705723846039e-08,
    -1.65339022054652515390e-06,
    6.61375632143793436117e-05,
    -2.77777777770155933842e-03,
    1.66666666666666019037e-01,
)
_GREATEST = 710.475860073943863426
"""The greatest number whose COSH is finite."""


@udf(name="ksql_cbrt")
def cbrt(value: float) -> float:
    """The cube root."""
    if value == 0 or not math.isfinite(value):
        return value
    number = abs(value)
    high = _words(number)[0]
    if high < _TINY:
        scaled, low = _words(number * 2.0**54)
        root = _of_words(scaled // 3 + _TINY_THIRD, low)
    else:
        root = _of_words(high // 3 + _THIRD, 0)
    error = 19 / 35 + root * root / number * root
    root *= 5 / 14 + 45 / 28 / (error + 99 / 70 + -864 / 1225 / error)
    root = _of_words(_words(root)[0] + 1, 0)  # 20 bits, and not too small
    quotient = number / (root * root)
    return math.copysign(root + root * ((quotient - root) / (root + root + quotient)), value)


@udf(name="ksql_cosh")
def cosh(value: float) -> float:
    """The hyperbolic cosine."""
    number = abs(value)
    if not number <= _GREATEST:
        return math.nan if math.isnan(number) else math.inf
    high = _words(number)[0]
    if high < 0x3FD62E43:  # half of ln 2
        less = math.expm1(number)
        return 1 + less * less / (2 * (1 + less))
    if high < 0x40360000:  # 22
        power = _exp(number)
        return 0.5 * power + 0.5 / power
    if high < 0x40862E42:  # the logarithm of the greatest number
        return 0.5 * _exp(number)
    root = _exp(0.5 * number)
    return 0.5 * root * root


def _exp(number: float) -> float:
    """e to the power of a number between half of ln 2 and 709.7."""
    twos = 1 if _words(number)[0] < 0x3FF0A2B2 else int(_PER_LN2 * number + 0.5)
    high, low = number - twos * _LN2_HIGH, twos * _LN2_LOW
    rest = high - low
    square = rest * rest
    sum_ = 0.0
    for factor in _POLYNOMIAL:
        sum_ = factor + square * sum_
    c = rest - square * sum_
    return math.ldexp(1 - ((low - rest * c / (2 - c)) - high), twos)


def _words(number: float) -> tuple[int, int]:
    high, low = struct.unpack(">iI", struct.pack(">d", number))
    return high, low


def _of_words(high: int, low: int) -> float:
    (number,) = struct.unpack(">d", struct.pack(">iI", high, low))
    return float(number)
