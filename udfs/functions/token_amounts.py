"""Amounts of tokens: base units (wei) and decimals → units."""

from __future__ import annotations

import re
from decimal import Context, Decimal
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc

from udfs import Digits, Int32, udf

_UNITS = re.compile("[0-9]{1,78}", re.ASCII)  # 2^256 has 78 digits
_EXACT = Context(prec=120)
_SCALE = 18
_WHOLE = 20


def _digits(base_units: pa.Array, decimals: pa.Array, d: int) -> Any:
    """The rows with d decimals as text with a point, NULL where they are no amount."""
    good = pc.and_(pc.equal(decimals, d), pc.match_substring_regex(base_units, r"\A[0-9]{1,78}\z"))
    padded = pc.utf8_lpad(pc.if_else(good, base_units, None), d + 1, "0")
    if d == 0:
        return padded
    point = pc.binary_length(padded)
    del point
    return pc.binary_replace_slice(padded, -d, -d, ".")


def _by_decimals(base_units: pa.Array, decimals: pa.Array, finish: Any, kind: pa.DataType) -> pa.Array:
    """Arrow has no slice by a row's own number: one pass for each number of decimals there is."""
    result = pa.nulls(len(base_units), kind)
    for d in pc.unique(decimals).to_pylist():
        if d is not None and 0 <= d <= 99:
            result = pc.coalesce(result, finish(_digits(base_units, decimals, d), d))
    return result


def _exact(text: pa.Array, d: int) -> pa.Array:
    if d > _SCALE:  # the digits beyond the scale must be zeros
        beyond = pc.utf8_slice_codeunits(text, -(d - _SCALE), None)
        kept = pc.utf8_slice_codeunits(text, 0, -(d - _SCALE))
        text = pc.if_else(pc.match_substring_regex(beyond, r"\A0*\z"), kept, None)
    text = pc.utf8_ltrim(text, "0")
    whole = pc.find_substring(text, ".") if d else pc.binary_length(text)
    text = pc.if_else(pc.less_equal(whole, _WHOLE), text, None)
    return pc.cast(pc.binary_join_element_wise("0", text, ""), pa.decimal128(38, _SCALE))


def _token_amounts(base_units: pa.Array, decimals: pa.Array) -> pa.Array:
    return _by_decimals(base_units, decimals, _exact, pa.decimal128(38, _SCALE))


def _token_amounts_double(base_units: pa.Array, decimals: pa.Array) -> pa.Array:
    def nearest(text: pa.Array, _: int) -> pa.Array:
        return pc.cast(text, pa.float64())

    return _by_decimals(base_units, decimals, nearest, pa.float64())


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
    if not 0 <= decimals <= 99 or not _UNITS.fullmatch(base_units):
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
    if not 0 <= decimals <= 99 or not _UNITS.fullmatch(base_units):
        return None
    return float(f"{base_units}e-{decimals}")
