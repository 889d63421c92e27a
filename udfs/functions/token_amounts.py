"""Amounts of tokens: converts base units (wei) and decimals to units."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

from opensea_metrics.udfs import Digits, Int32, udf

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

# These modules are imported only where they are used. ksqlDB does not use them, and they would delay its first call.

_MOST_DIGITS = 78  # the number of digits of 2^256
_DECIMALS = range(100)
_SCALE = 18
_WHOLE = 20
_INT64_DIGITS = 18
_POWERS: tuple[int, ...] = tuple(10**d for d in _DECIMALS)

Finish = Callable[["pa.Array", int], "pa.Array"]
"""Converts digits and a number of decimals to amounts."""


def _is_amount(base_units: str, decimals: int) -> bool:
    return (
        base_units.isdecimal()
        and base_units.isascii()
        and len(base_units) <= _MOST_DIGITS
        and 0 <= decimals <= 99
    )


def _by_decimals(base_units: pa.Array, decimals: pa.Array, finish: Finish, kind: pa.DataType) -> pa.Array:
    """Amounts, one pass for each number of decimals, because Arrow cannot slice by a number from the same row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    digits = base_units
    if not _are_amounts(base_units):
        length = pc.less_equal(pc.binary_length(base_units), _MOST_DIGITS)
        digits = pc.if_else(pc.and_(pc.ascii_is_decimal(base_units), length), base_units, None)
    different = pc.unique(decimals).to_pylist()
    if len(different) == 1 and different[0] in _DECIMALS:
        return finish(digits, different[0])
    result = pa.nulls(len(base_units), kind)
    for d in different:
        if d in _DECIMALS:
            chosen = pc.if_else(pc.equal(decimals, d), digits, None)
            result = pc.coalesce(result, finish(chosen, d))
    return result


def _are_amounts(texts: pa.Array) -> bool:
    """True if the bytes show that all texts are amounts. False if only a closer look can tell."""
    import numpy as np
    import pyarrow as pa

    if texts.type != pa.string() or texts.null_count or not len(texts):
        return False
    lengths, data = _bytes(texts)
    return bool(lengths.min() > 0 and lengths.max() <= _MOST_DIGITS and (data - np.uint8(48) <= 9).all())


def _bytes(texts: pa.Array) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """The lengths of the texts that are not NULL, and their bytes."""
    import numpy as np

    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int32, len(texts) + 1, texts.offset * 4)
    return np.diff(ends), np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]


def _lengths(digits: pa.Array) -> NDArray[np.int32]:
    """The numbers of digits. 0 for NULL."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if digits.null_count or not len(digits) or digits.type != pa.string():
        lengths: NDArray[np.int32] = pc.fill_null(pc.binary_length(digits), 0).to_numpy()
        return lengths
    return _bytes(digits)[0]


def _exact(digits: pa.Array, d: int) -> pa.Array:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = _lengths(digits)
    if d > _SCALE or lengths.max(initial=0) > _WHOLE + d:
        digits, d = _fitting(digits, d)
        lengths = _lengths(digits)
    # The amount's digits with all 18 decimals. The point can be moved without touching the digits again.
    if d < _SCALE:
        digits = pc.binary_replace_slice(digits, _MOST_DIGITS, _MOST_DIGITS, "0" * (_SCALE - d))
    valid = None
    if digits.null_count:
        valid = pc.is_valid(digits).buffers()[1]
        digits = pc.fill_null(digits, "0")
    short = lengths <= _INT64_DIGITS - (_SCALE - d)
    if short.all():
        words = _short_words(digits)
    elif not short.any():
        words = _long_words(digits)
    else:
        words = np.empty((len(digits), 2), np.int64)
        words[short] = _short_words(digits.filter(pa.array(short)))
        words[~short] = _long_words(digits.filter(pa.array(~short)))
    kind = pa.decimal128(_WHOLE + _SCALE, _SCALE)
    return pa.Array.from_buffers(kind, len(digits), [valid, pa.py_buffer(words)])


def _short_words(digits: pa.Array) -> NDArray[np.int64]:
    """Digits as 128-bit integers, with the lower half first. Arrow reads 64-bit integers three times as fast."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    words = np.zeros((len(digits), 2), np.int64)
    words[:, 0] = pc.cast(digits, pa.int64()).to_numpy()
    return words


def _long_words(digits: pa.Array) -> NDArray[np.int64]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = pc.cast(digits, pa.decimal128(_WHOLE + _SCALE, 0))
    return np.frombuffer(whole.buffers()[1], np.int64, 2 * len(whole)).reshape(-1, 2)


def _fitting(digits: pa.Array, d: int) -> tuple[pa.Array, int]:
    """Digits without leading zeros, at most 18 of them decimals. NULL where that is not possible."""
    import pyarrow.compute as pc

    digits = pc.ascii_ltrim(digits, "0")
    if d > _SCALE:  # the digits beyond the scale must be zeros
        padded = pc.ascii_lpad(digits, d - _SCALE, "0")
        beyond = pc.ascii_ltrim(pc.utf8_slice_codeunits(padded, _SCALE - d, None), "0")
        kept = pc.utf8_slice_codeunits(padded, 0, _SCALE - d)
        digits, d = pc.if_else(pc.equal(pc.binary_length(beyond), 0), kept, None), _SCALE
    digits = pc.if_else(pc.less_equal(pc.binary_length(digits), _WHOLE + d), digits, None)
    return pc.ascii_lpad(digits, 1, "0"), d


def _token_amounts(base_units: pa.Array, decimals: pa.Array) -> pa.Array:
    import pyarrow as pa

    return _by_decimals(base_units, decimals, _exact, pa.decimal128(_WHOLE + _SCALE, _SCALE))


def _nearest(digits: pa.Array, d: int) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if d:
        if _lengths(digits).min(initial=_MOST_DIGITS) <= d:
            digits = pc.ascii_lpad(digits, d + 1, "0")
        digits = pc.binary_replace_slice(digits, -d, -d, ".")
    return pc.cast(digits, pa.float64())


def _token_amounts_double(base_units: pa.Array, decimals: pa.Array) -> pa.Array:
    import pyarrow as pa

    return _by_decimals(base_units, decimals, _nearest, pa.float64())


@udf(arrow=_token_amounts)
def token_amount(base_units: str, decimals: Int32) -> Annotated[Decimal, Digits(38, 18)] | None:
    """The exact amount of a token: base units / 10^decimals.

    NULL for an invalid amount, which has more than 78 digits, a sign, or decimals below 0 or above 99. Also NULL for an
    amount with more than 20 digits before the point or 18 after it.

    base_units: a whole number as text, such as a sale_price in wei
    decimals: the number of digits after the point, 18 for ETH

    >>> token_amount("1500000000000000000", 18)
    Decimal('1.500000000000000000')
    >>> token_amount("2500000", 6)
    Decimal('2.500000')
    >>> token_amount("1", 19) is None
    True
    """
    if not _is_amount(base_units, decimals):
        return None
    if decimals > _SCALE:
        if base_units[_SCALE - decimals :].strip("0"):
            return None
        base_units, decimals = base_units[: _SCALE - decimals] or "0", Int32(_SCALE)
    amount = Decimal(f"{base_units}e-{decimals}")
    return amount if amount.adjusted() < _WHOLE else None


@udf(arrow=_token_amounts_double)
def token_amount_double(base_units: str, decimals: Int32) -> float | None:
    """The amount of a token as the DOUBLE that is nearest to base units / 10^decimals.

    The result is rounded only once, unlike CAST(x AS DOUBLE) / POWER(10, d). NULL for an invalid amount, which has more
    than 78 digits, a sign, or decimals below 0 or above 99.

    base_units: a whole number as text, such as a sale_price in wei
    decimals: the number of digits after the point, 18 for ETH

    >>> token_amount_double("1500000000000000000", 18)
    1.5
    >>> token_amount_double("12x", 18) is None
    True
    """
    if not _is_amount(base_units, decimals):
        return None
    return int(base_units) / _POWERS[decimals]  # dividing two ints rounds once, to the nearest DOUBLE
