"""The top-N aggregate."""

from __future__ import annotations

import math
from typing import NamedTuple

from opensea_metrics.core.definition import Native, NativeSpark
from opensea_metrics.udfs import udaf

# The detail may be expensive, so it is computed only for rows with a value. The other rows are omitted.
_KEPT = "FILTER ({0} IS NOT NULL AND isfinite({1}))"
_ENTRIES = f"list({{{{'k': {{0}}, 'no': -{{off}}, 'v': {{1}}}}}}) {_KEPT}"
_DETAILS = f"list(CASE WHEN isfinite({{1}}) THEN {{2}} END) {_KEPT}"
_SPARK_ENTRY = "named_struct('k', {0}, 'o', {off}, 'v', {1}, 'd', {2})"
# Keeps each key's newest entry, then the n greatest by value. Equal values are ordered by key. Entries are
# {k: key, no: -offset, v: value, d: detail}. Details are long, so entries are sorted without them and picked by number.
_TOP_ENTRIES = """CREATE OR REPLACE MACRO top_entries(l, n) AS (
  list_transform(
    [list_sort(list_transform(l, lambda e, i: {'k': e.k, 'no': e.no, 'v': e.v, 'i': i}))],
    lambda s: list_select(l, list_transform(
      list_sort(list_transform(
        list_filter(s, lambda e, i: i = 1 OR s[i - 1].k <> e.k),
        lambda e: {'nv': -e.v, 'k': e.k, 'i': e.i}))[1:n],
      lambda e: e.i)))[1])"""

# DuckDB collects long texts in a list of structs in twice the time of a list of texts. Both lists have the same rows,
# so their order is the same.
_WITH_DETAILS = """CREATE OR REPLACE MACRO with_details(l, d) AS (
  list_transform(l, lambda e, i: {'k': e.k, 'no': e.no, 'v': e.v, 'd': d[i]}))"""


class TopEntry(NamedTuple):
    """One of the N greatest keys."""

    key: str
    value: float
    detail: str | None


State = tuple[TopEntry, ...]
"""Entries in order: the greatest value first, equal values by key."""


@udaf(
    changelog_safe=True,
    native=Native(
        partial=f"with_details({_ENTRIES}, {_DETAILS})",
        merge="flatten(list({a}))",
        tidy="top_entries({a}, {n})",
        finish="coalesce(list_transform({a},"
        " lambda e: {{'KEY': e.k, 'VALUE': e.v, 'DETAIL': e.d}}), [])",
        macros=(_TOP_ENTRIES, _WITH_DETAILS),
    ),
    native_spark=NativeSpark(
        partial=f"sort_array(collect_list({_SPARK_ENTRY}) FILTER (WHERE {{0}} IS NOT NULL"
        " AND abs({1}) < double('Infinity')))",
        # Each key's newest entry, then the same as in DuckDB.
        finish="transform(slice(sort_array(transform("
        "filter({a}, (e, i) -> coalesce(get({a}, i + 1).k <> e.k, true)),"
        " e -> named_struct('nv', -e.v, 'KEY', e.k, 'DETAIL', e.d))), 1, {n}),"
        " e -> named_struct('KEY', e.KEY, 'VALUE', -e.nv, 'DETAIL', e.DETAIL))",
    ),
)
class TopByKey:
    """The n keys with the greatest newest values, the greatest first, and equal values by key.

    A key's newer value replaces its older one. So the aggregate may read a stream of a table's changes, in which a key
    appears again with each change. Only n keys are kept. The result is exact if no key's value decreases, as with
    sums and counts that grow.

    key: the key to rank; a row with NULL is omitted
    value: the value that keys are ranked by; a row with NULL, infinity or NaN is omitted
    detail: a text that is kept with the key's newest value
    n: the number of keys

    >>> rows = [("a", 1.0, None), ("b", 2.0, "x"), ("a", 3.0, "y"), ("c", 2.0, None)]
    >>> [(entry.key, entry.value, entry.detail) for entry in aggregate(TopByKey(2), rows)]
    [('a', 3.0, 'y'), ('b', 2.0, 'x')]
    """

    def __init__(self, n: int) -> None:
        if n < 1:
            raise ValueError(f"n must be 1 or more, not {n}")
        self.n = n

    def initialize(self) -> State:
        return ()

    def accumulate(self, state: State, key: str, value: float, detail: str | None) -> State:
        if not math.isfinite(value):
            return state
        kept = [entry for entry in state if entry[0] != key]
        index = len(kept)
        while index:  # written as a loop because it runs for every record
            above, least, _ = kept[index - 1]
            if value < least or (value == least and key > above):
                break
            index -= 1
        if index == self.n:
            return state
        kept.insert(index, TopEntry(key, value, detail))
        return tuple(kept[: self.n])

    def merge(self, older: State, newer: State) -> State:
        replaced = {entry.key for entry in newer}
        kept = [entry for entry in older if entry.key not in replaced]
        return tuple(sorted([*kept, *newer], key=lambda e: (-e.value, e.key))[: self.n])

    def finish(self, state: State) -> list[TopEntry]:
        return list(state)

