"""Amounts of tokens: base units (wei) and decimals → units."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Context, Decimal
from typing import Annotated

import pyarrow as pa
import pyarrow.compute as pc

from udfs import Digits, Int32, udf

_MOST_DIGITS = 78  # as 2^256 has
_DECIMALS = range(100)
_SCALE = 18
_WHOLE = 20
_EXACT_TYPE = pa.decimal128(_WHOLE + _SCALE, _SCALE)
_EXACT = Context(prec=120)

Finish = Callable[[pa.Array, int], pa.Array]
"""Digits and a number of decimals → amounts."""


def _is_amount(base_units: str, decimals: int) -> bool:
    return (
        0 <= decimals <= 99
        and base_units.isdecimal()
        and base_units.isascii()
        and len(base_units) <= _MOST_DIGITS
    )


def _pointed(digits: pa.Array, d: int) -> pa.Array:
    """Digits as text with a point before the last d of them."""
    padded = pc.ascii_lpad(digits, d + 1, "0")
    return padded if d == 0 else pc.binary_replace_slice(padded, -d, -d, ".")


def _by_decimals(base_units: pa.Array, decimals: pa.Array, finish: Finish, kind: pa.DataType) -> pa.Array:
    """Arrow cannot slice by a row's own number: one pass for each number of decimals there is."""
    good = pc.and_(
        pc.ascii_is_decimal(base_units), pc.less_equal(pc.binary_length(base_units), _MOST_DIGITS)
    )
    digits = pc.if_else(good, base_units, None)
    found = pc.unique(decimals).to_pylist()
    if len(found) == 1 and found[0] in _DECIMALS:
        return finish(digits, found[0])
    result = pa.nulls(len(base_units), kind)
    for d in found:
        if d in _DECIMALS:
            chosen = pc.if_else(pc.equal(decimals, d), digits, None)
            result = pc.coalesce(result, finish(chosen, d))
    return result


def _exact(digits: pa.Array, d: int) -> pa.Array:
    digits = pc.ascii_ltrim(digits, "0")
    if d > _SCALE:  # the digits beyond the scale must be zeros
        padded = pc.ascii_lpad(digits, d - _SCALE, "0")
        beyond = pc.ascii_ltrim(pc.utf8_slice_codeunits(padded, _SCALE - d, None), "0")
        kept = pc.utf8_slice_codeunits(padded, 0, _SCALE - d)
        digits, d = pc.if_else(pc.equal(pc.binary_length(beyond), 0), kept, None), _SCALE
    digits = pc.if_else(pc.less_equal(pc.binary_length(digits), _WHOLE + d), digits, None)
    return pc.cast(_pointed(digits, d), _EXACT_TYPE)


def _token_amounts(base_units: pa.Array, decimals: pa.Array) -> pa.Array:
    return _by_decimals(base_units, decimals, _exact, _EXACT_TYPE)


def _nearest(digits: pa.Array, d: int) -> pa.Array:
    return pc.cast(_pointed(digits, d), pa.float64())


def _token_amounts_double(base_units: pa.Array, decimals: pa.Array) -> pa.Array:
    return _by_decimals(base_units, decimals, _nearest, pa.float64())


@udf(arrow=_token_amounts)
def token_amount(base_units: str, decimals: Int32) -> Annotated[Decimal, Digits(38, 18)] | None:
    """An amount of a token, exact: base units / 10^decimals.

    NULL for what is no amount (more than 78 digits, a sign, decimals below 0 or above 99), and for
    an amount that 20 digits before the point and 18 after it do not hold.

    base_units: a whole number as text, such as a sale_price in wei
    decimals: how many digits stand after the point, 18 for ETH

    >>> token_amount("1500000000000000000", 18)
    Decimal('1.500000000000000000')
    >>> token_amount("2500000", 6)
    Decimal('2.500000000000000000')
    >>> token_amount("1", 19) is None
    True
    """
    if not _is_amount(base_units, decimals):
        return None
    if decimals > _SCALE:
        if base_units[_SCALE - decimals :].strip("0"):
            return None
        base_units, decimals = base_units[: _SCALE - decimals] or "0", Int32(_SCALE)
    amount = Decimal(base_units + "0" * (_SCALE - decimals)).scaleb(-_SCALE, _EXACT)
    return amount if amount.adjusted() < _WHOLE else None


@udf(arrow=_token_amounts_double)
def token_amount_double(base_units: str, decimals: Int32) -> float | None:
    """An amount of a token as the DOUBLE that is nearest to base units / 10^decimals.

    Unlike CAST(x AS DOUBLE) / POWER(10, d) it is rounded once. NULL for what is no amount (more than
    78 digits, a sign, decimals below 0 or above 99).

    base_units: a whole number as text, such as a sale_price in wei
    decimals: how many digits stand after the point, 18 for ETH

    >>> token_amount_double("1500000000000000000", 18)
    1.5
    >>> token_amount_double("12x", 18) is None
    True
    """
    if not _is_amount(base_units, decimals):
        return None
    return float(f"{base_units}e-{decimals}")
