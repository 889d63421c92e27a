"""CORRELATION, STDDEV_SAMP, STDDEV_SAMPLE, HISTOGRAM and ATTR in DuckDB: texts for :mod:`.aggregates`."""

from __future__ import annotations

from typing import NamedTuple


class Parts(NamedTuple):
    """The texts of an aggregate with one accumulator, as :mod:`.aggregates` describes them."""

    partial: str
    merge: str
    finish: str
    tidy: str = "{a}"


_OF_STATE = "CASE WHEN _v.n < 2 THEN 0E0 ELSE _v.m / (_v.n - 1) END"
_VARIANCE = "CASE WHEN {a}.n < 2 THEN CAST(0 AS DOUBLE) ELSE {a}.m / ({a}.n - 1) END"


_ONE = "struct_pack(n := 1::BIGINT, s := CAST({} AS DOUBLE), m := 0E0)"
_NONE = "struct_pack(n := 0::BIGINT, s := 0E0, m := 0E0)"
_DISTANCE = "(_q.s * (_p.n + 1) - (_p.s + _q.s))"
_ADDED = f"{_DISTANCE} * {_DISTANCE} / ((_p.n + 1) * _p.n)"


def _variance(finish: str) -> Parts:
    """Count, sum and squared distances from the mean. Values are added one by one, as ksqlDB does.

    Parts of several values are joined after Chan, Golub and LeVeque, so the last bits may differ. ksqlDB adds INTEGERs
    in 32 bits, which may overflow; here they do not.
    """
    joined = "_q.m + pow(_p.s / _p.n - _q.s / _q.n, 2) * _p.n * _q.n / (_p.n + _q.n)"
    both = (
        "CASE WHEN _p.n = 0 THEN _q WHEN _q.n = 0 THEN _p ELSE struct_pack(n := _p.n + _q.n, s := _p.s + _q.s,"
        f" m := _p.m + CASE WHEN _q.n = 1 THEN {_ADDED} ELSE {joined} END) END"
    )
    values = f"list({_ONE.format('{0}')} ORDER BY {{off}}) FILTER ({{0}} IS NOT NULL)"
    return Parts(
        f"coalesce(list_reduce({values}, lambda _p, _q: {both}), {_NONE})",
        f"list_reduce(list({{a}} ORDER BY {{src}}), lambda _p, _q: {both})",
        finish,
    )


def variance_of(values: str) -> str:
    """The variance of a list, computed by adding up the values one by one."""
    more = f"struct_pack(n := _p.n + 1, s := _p.s + _q.s, m := _p.m + {_ADDED})"
    ones = f"list_transform({values}, lambda _e: {_ONE.format('_e')})"
    state = f"list_reduce({ones}, lambda _p, _q: CASE WHEN _p.n = 0 THEN _q ELSE {more} END, {_NONE})"
    return f"list_transform([{state}], lambda _v: {_OF_STATE})[1]"


def correlation(sign: str = "1") -> Parts:
    """Pearson's coefficient from sums over the rows that have both values, as ksqlDB computes it.

    ``sign`` is -1 for rows to remove.
    """
    sums = {"x": "{0}", "y": "{1}", "xx": "{0} * {0}", "yy": "{1} * {1}", "xy": "{0} * {1}"}
    there = "{0} IS NOT NULL AND {1} IS NOT NULL"
    first = [f"n := CAST(coalesce(sum({sign}) FILTER ({there}), 0) AS BIGINT)"]
    for name, product in sums.items():
        factors = product.replace("{0}", "CAST({0} AS DOUBLE)").replace("{1}", "CAST({1} AS DOUBLE)")
        first.append(f"{name} := coalesce(sum({factors} * {sign}) FILTER ({there}), 0E0)")
    merged = [f"{name} := sum({{a}}.{name})" for name in sums]
    return Parts(
        f"struct_pack({', '.join(first)})",
        f"struct_pack(n := CAST(sum({{a}}.n) AS BIGINT), {', '.join(merged)})",
        "correlation_of({a}.n, {a}.x, {a}.y, {a}.xx, {a}.yy, {a}.xy)",
    )


STATISTICS: dict[str, Parts] = {
    "ATTR": Parts(
        "list(DISTINCT struct_pack(v := {0}))",
        "list_distinct(flatten(list({a})))",
        "CASE WHEN len({a}) = 1 THEN {a}[1].v END",
        tidy="{a}[1:2]",
    ),
    "CORRELATION": correlation(),
    # The first 1,000 texts count. NULL counts as the text 'null'.
    "HISTOGRAM": Parts(
        "struct_pack(k := first_occurrences(list(coalesce({0}, 'null') ORDER BY {off})),"
        " c := map_entries(histogram(coalesce({0}, 'null'))))",
        "struct_pack(k := first_occurrences(flatten(list({a}.k ORDER BY {src}))), c := flatten(list({a}.c)))",
        "map_from_entries({a}.c)",
        tidy="struct_pack(k := {a}.k, c := counts_of({a}.k, {a}.c))",
    ),
    "STDDEV_SAMP": _variance(_VARIANCE),  # observed: the variance
    "STDDEV_SAMPLE": _variance(f"sqrt({_VARIANCE})"),
}
MACROS = (
    # Pearson's coefficient of n pairs, from their sums and the sums of their products.
    """CREATE OR REPLACE MACRO correlation_of(n, x, y, xx, yy, xy) AS (
      (n * xy - x * y) / CASE WHEN (n * xx - x * x) * (n * yy - y * y) < 0 THEN 'NaN'::DOUBLE
        ELSE sqrt((n * xx - x * x) * (n * yy - y * y)) END)""",
    # The sums of the counts of some keys, in their order.
    """CREATE OR REPLACE MACRO counts_of(keys, counts) AS (
      list_transform(keys, lambda _k: struct_pack(key := _k, value := CAST(list_sum(list_transform(
        list_filter(counts, lambda _e: _e.key = _k), lambda _e: _e.value)) AS BIGINT))))""",
)
"""The macros that these texts call."""
