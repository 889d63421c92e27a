"""Sales that move an asset between accounts of one owner."""

from __future__ import annotations

import json
import math

from udfs import udaf, udf
from udfs.functions.assets import normalize_address


@udf
def is_wash_trade(maker: str, taker: str) -> bool:
    """Whether one account stands on both sides of a trade.

    maker: the account that made the order
    taker: the account that took it

    >>> is_wash_trade("0xBC4CA0EdA7647A8aB7C2061c2E118A18a936f13D",
    ...               "0xbc4ca0eda7647a8ab7c2061c2e118a18a936f13d")
    True
    >>> is_wash_trade("a", "b")
    False
    """
    return normalize_address(maker) == normalize_address(taker)


@udaf()
class WashVolume:
    """The volume of trades that look like wash trades, over the trades of one asset.

    Counted are trades with one account on both sides, and all trades of two accounts that trade the
    asset with each other more than once: back and forth. Which of them is the maker does not
    matter, as the maker of an accepted offer is the buyer. Group by asset (and window).

    maker: the account that made the order
    taker: the account that took it
    value: the trade's value; NULL, infinite or NaN leaves the trade out

    >>> aggregate(WashVolume(), [("a", "b", 10.0), ("b", "a", 11.0), ("c", "a", 5.0)])
    21.0
    """

    def initialize(self) -> dict[str, list[float]]:
        return {}

    def accumulate(
        self, state: dict[str, list[float]], maker: str, taker: str, value: float
    ) -> dict[str, list[float]]:
        if math.isfinite(value):
            pair = sorted(normalize_address(side) or "" for side in (maker, taker))
            state.setdefault(json.dumps(pair), []).append(value)
        return state

    def merge(
        self, older: dict[str, list[float]], newer: dict[str, list[float]]
    ) -> dict[str, list[float]]:
        for pair, values in newer.items():
            older.setdefault(pair, []).extend(values)
        return older

    def finish(self, state: dict[str, list[float]]) -> float:
        flagged = []
        for pair, values in state.items():
            maker, taker = json.loads(pair)
            if maker == taker or len(values) > 1:
                flagged += values
        return math.fsum(flagged)
