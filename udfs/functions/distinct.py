"""Exact counts of distinct values."""

from __future__ import annotations

from opensea_metrics.core.definition import Native, NativeSpark
from opensea_metrics.udfs import udaf

_SIZE = "CAST(size({a}) AS BIGINT)"


@udaf(
    changelog_safe=True,
    native=Native(
        partial="list(DISTINCT {0}) FILTER ({0} IS NOT NULL)",
        merge="list_distinct(flatten(list({a})))",
        finish="CAST(coalesce(len({a}), 0) AS BIGINT)",
    ),
    native_spark=NativeSpark(partial="collect_set({0})", finish=_SIZE),
)
class CountDistinctExact:
    """The exact number of distinct values. ksqlDB's own COUNT_DISTINCT only estimates it.

    The state holds every value, so use it for thousands of values per group, not for millions.

    value: the value to count; NULL does not count

    >>> aggregate(CountDistinctExact(), [("a",), ("b",), (None,), ("a",)])
    2
    """

    def initialize(self) -> set[str]:
        return set()

    def accumulate(self, state: set[str], value: str) -> set[str]:
        state.add(value)
        return state

    def merge(self, older: set[str], newer: set[str]) -> set[str]:
        return older | newer

    def finish(self, state: set[str]) -> int:
        return len(state)


@udaf(
    native=Native(
        # list_distinct omits NULL. Most rows of trading metrics have neither value.
        partial="list_distinct(flatten(list([{0}, {1}]) FILTER ({0} IS NOT NULL OR {1} IS NOT NULL)))",
        merge="list_distinct(flatten(list({a})))",
        finish="CAST(coalesce(len({a}), 0) AS BIGINT)",
    ),
    native_spark=NativeSpark(
        partial="array_union(collect_set({0}), collect_set({1}))", finish=_SIZE
    ),
)
class CountDistinctEither:
    """The exact number of distinct values in two columns together, such as the accounts on both sides of trades.

    The state holds every value, so use it for thousands of values per group, not for millions.

    a: a value to count; NULL does not count
    b: another value to count, with the same rule

    >>> aggregate(CountDistinctEither(), [("a", "b"), ("b", None), ("c", "a")])
    3
    """

    def initialize(self) -> set[str]:
        return set()

    def accumulate(self, state: set[str], a: str | None, b: str | None) -> set[str]:
        state.update(value for value in (a, b) if value is not None)
        return state

    def merge(self, older: set[str], newer: set[str]) -> set[str]:
        return older | newer

    def finish(self, state: set[str]) -> int:
        return len(state)
