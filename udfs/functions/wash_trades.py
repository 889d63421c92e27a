"""Sales that move an asset between accounts of the same owner."""

from __future__ import annotations

import hashlib
import math

from opensea_metrics.core.definition import Native, NativeState
from opensea_metrics.udfs import udaf, udf
from opensea_metrics.udfs.functions.assets import normalize_address


@udf
def is_wash_trade(maker: str, taker: str) -> bool:
    """True if the same account is on both sides of a trade.

    maker: the account that created the order
    taker: the account that accepted the order

    >>> is_wash_trade("0xBC4CA0EdA7647A8aB7C2061c2E118A18a936f13D",
    ...               "0xbc4ca0eda7647a8ab7c2061c2e118a18a936f13d")
    True
    >>> is_wash_trade("a", "b")
    False
    """
    return normalize_address(maker) == normalize_address(taker)


Values = dict[str, list[float]]
"""The values of trades, by asset and pair of accounts (as a digest)."""
_SELF = ""


def _counted(values: list[float]) -> Values:
    return {_SELF: values}


_SIDES = ("coalesce(NORMALIZE_ADDRESS({1}), '')", "coalesce(NORMALIZE_ADDRESS({2}), '')")
_ONE, _OTHER = (f"{function}({', '.join(_SIDES)})" for function in ("least", "greatest"))
_PAIR = f"md5_number(concat(length({{0}}), ' ', length({_ONE}), ' ', {{0}}, {_ONE}, {_OTHER}))"
# The values of trades {k: number of the asset and pair, NULL for one account; v: value} that count.
_WASH_VALUES = """CREATE OR REPLACE MACRO wash_values(l) AS (
  list_transform(
    [list_sort(l)],
    lambda s: list_transform(
      list_filter(s, lambda e, i: e.k IS NULL OR s[i - 1].k = e.k OR s[i + 1].k = e.k),
      lambda e: e.v))[1])"""


@udaf(
    native=Native(
        partial=f"list(struct_pack(k := CASE WHEN {_ONE} <> {_OTHER} THEN {_PAIR} END, v := {{3}}))"
        f" FILTER (isfinite({{3}}) AND {{1}} IS NOT NULL AND {{2}} IS NOT NULL AND ({{0}} IS NOT NULL"
        f" OR {_ONE} = {_OTHER}))",
        merge="flatten(list({a}))",
        repeated=_SIDES,
        finish=NativeState("DOUBLE[]", _counted, "wash_values({a})"),
        macros=(_WASH_VALUES,),
    )
)
class WashVolume:
    """The volume of trades that look like wash trades.

    A trade counts if one account is on both sides. If two accounts trade an asset with each other more than once, all
    of their trades with it count. Their order does not matter, because the maker of an accepted offer is the
    buyer.

    asset: the traded asset, such as an nft_id; if NULL, only the accounts are compared
    maker: the account that created the order
    taker: the account that accepted the order
    value: the trade's value; a trade with NULL, infinity or NaN is omitted

    >>> trades = [("x", "a", "b", 10.0), ("x", "b", "a", 11.0), ("y", "a", "b", 5.0), ("y", "c", "c", 1.0)]
    >>> aggregate(WashVolume(), trades)
    22.0
    """

    def initialize(self) -> Values:
        return {}

    def accumulate(
        self, state: Values, asset: str | None, maker: str, taker: str, value: float
    ) -> Values:
        pair = sorted(normalize_address(side) or "" for side in (maker, taker))
        if math.isfinite(value) and (asset is not None or pair[0] == pair[1]):
            state.setdefault(_key(asset, *pair), []).append(value)
        return state

    def merge(self, older: Values, newer: Values) -> Values:
        for key, values in newer.items():
            older.setdefault(key, []).extend(values)
        return older

    def finish(self, state: Values) -> float:
        flagged = (values for key, values in state.items() if key == _SELF or len(values) > 1)
        return math.fsum(value for values in flagged for value in values)


def _key(asset: str | None, one: str, other: str) -> str:
    """A short key, because the state holds every trade of a window."""
    if one == other:
        return _SELF
    text = f"{len(asset or '')} {len(one)} {asset}{one}{other}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]
