"""Median and percentiles, computed with a sketch that can be merged (DDSketch)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ddsketch.ddsketch import BaseDDSketch
from ddsketch.mapping import LogarithmicMapping
from ddsketch.store import DenseStore

from opensea_metrics.core.definition import Native, NativeState
from opensea_metrics.udfs import udaf

_MAPPING = LogarithmicMapping(0.01)
"""The relative error of a quantile is at most 1 %."""


@dataclass
class Bins:
    """The number of values in each bin of the sketch: positive values, negative values, and zeros."""

    positive: dict[int, int] = field(default_factory=dict)
    negative: dict[int, int] = field(default_factory=dict)
    zeros: int = 0


def _add(bins: Bins, value: float) -> Bins:
    if not math.isfinite(value):
        return bins
    if abs(value) <= _MAPPING.min_possible:
        bins.zeros += 1
        return bins
    side = bins.positive if value > 0 else bins.negative
    key = _MAPPING.key(abs(value))
    side[key] = side.get(key, 0) + 1
    return bins


def _merge(older: Bins, newer: Bins) -> Bins:
    for mine, other in ((older.positive, newer.positive), (older.negative, newer.negative)):
        for key, count in other.items():
            mine[key] = mine.get(key, 0) + count
    older.zeros += newer.zeros
    return older


def _quantile(bins: Bins, quantile: float) -> float | None:
    stores: list[DenseStore] = []
    for side in (bins.positive, bins.negative):
        store = DenseStore()
        for key, count in side.items():
            store.add(key, count)
        stores.append(store)
    positive, negative = stores
    sketch = BaseDDSketch(_MAPPING, positive, negative, bins.zeros)
    value = sketch.get_quantile_value(quantile)
    return None if value is None else float(value)


_ZERO_AT = 1 << 20
"""In DuckDB, this is added to the number of a bin of positive values. For negative values, the sum is negated."""
_NUMBER = f"ceil(ln(abs({{0}})) / {math.log(2.0)!r}::DOUBLE * {_MAPPING._multiplier!r}::DOUBLE)::INTEGER + {_ZERO_AT}"
_BIN = (
    f"CASE WHEN NOT isfinite({{0}}) THEN NULL WHEN abs({{0}}) <= {_MAPPING.min_possible!r}::DOUBLE THEN 0"
    f" ELSE CASE WHEN {{0}} > 0 THEN 1 ELSE -1 END * ({_NUMBER}) END"
)
_MOST_ENTRIES = 2_000
# Several entries of a bin become one.
_SKETCH_BINS = """CREATE OR REPLACE MACRO sketch_bins(l) AS (
  list_transform(
    list_distinct(list_transform(l, lambda e: e.key)),
    lambda k: {'key': k, 'value': CAST(list_sum(list_transform(
      list_filter(l, lambda e: e.key = k), lambda e: e.value)) AS UBIGINT)}))"""


def _bins(entries: list[dict[str, int]]) -> Bins:
    bins = Bins()
    for entry in entries:
        number, count = entry["key"], entry["value"]
        if number == 0:
            bins.zeros += count
            continue
        side, key = (bins.positive, number - _ZERO_AT) if number > 0 else (bins.negative, -number - _ZERO_AT)
        side[key] = side.get(key, 0) + count
    return bins


_IN_DUCKDB = Native(
    partial=f"map_entries(histogram({_BIN}))",
    merge="flatten(list({a}))",
    tidy=f"CASE WHEN len({{a}}) > {_MOST_ENTRIES} THEN sketch_bins({{a}}) ELSE {{a}} END",
    finish=NativeState('STRUCT("key" INTEGER, "value" UBIGINT)[]', _bins),
    macros=(_SKETCH_BINS,),
)


@udaf(native=_IN_DUCKDB)
class SketchMedian:
    """The median with a relative error of at most 1 %.

    The state is a sketch with a few hundred counters, regardless of the number of values. For an even number of values,
    the result is the lower one of the two in the middle.

    value: the value; a row with NULL, infinity or NaN is omitted

    >>> round(aggregate(SketchMedian(), [(1.0,), (100.0,), (3.0,)]), 1)
    3.0
    """

    def initialize(self) -> Bins:
        return Bins()

    def accumulate(self, state: Bins, value: float) -> Bins:
        return _add(state, value)

    def merge(self, older: Bins, newer: Bins) -> Bins:
        return _merge(older, newer)

    def finish(self, state: Bins) -> float | None:
        return _quantile(state, 0.5)


@udaf(native=_IN_DUCKDB)
class SketchPercentile:
    """A percentile with a relative error of at most 1 %.

    value: the value; a row with NULL, infinity or NaN is omitted
    percent: the percentile, from 0 to 100; 50 is the median

    >>> 89.1 < aggregate(SketchPercentile(90), [(float(x),) for x in range(1, 102)]) < 91.9
    True
    """

    def __init__(self, percent: int) -> None:
        if not 0 <= percent <= 100:
            raise ValueError(f"percent must be 0 to 100, not {percent}")
        self.percent = percent

    def initialize(self) -> Bins:
        return Bins()

    def accumulate(self, state: Bins, value: float) -> Bins:
        return _add(state, value)

    def merge(self, older: Bins, newer: Bins) -> Bins:
        return _merge(older, newer)

    def finish(self, state: Bins) -> float | None:
        return _quantile(state, self.percent / 100)
