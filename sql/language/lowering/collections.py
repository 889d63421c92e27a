"""How each engine writes the functions of ARRAYs and MAPs, for :mod:`.scalars`."""

from __future__ import annotations

from opensea_metrics.sql.language.lowering.template import Template, both

_BOTH_THERE = "{0} IS NOT NULL AND {1} IS NOT NULL"
_IS_FIRST = "list_position({0}, _e) = _i"
# The last value of a key counts, and a key without a value has NULL.
_DUCKDB_KEYS = "list_filter({0}, lambda _k, _i: NOT list_contains({0}[_i + 1:], _k))"
_WIDE = "DECIMAL(20, 0)"
LONGEST_SERIES = 1_000_000
"""The most elements of GENERATE_SERIES: a record with more is larger than Kafka's default limit of 1 MB."""

COLLECTIONS: dict[str, Template] = {
    "ARRAY_CONCAT": Template(
        duckdb="CASE WHEN {0} IS NOT NULL OR {1} IS NOT NULL THEN list_concat({0}, {1}) END",
        spark="CASE WHEN {0} IS NOT NULL OR {1} IS NOT NULL"
        " THEN concat(coalesce({0}, array()), coalesce({1}, array())) END",
    ),
    # The value to look for may be NULL.
    "ARRAY_CONTAINS": Template(
        duckdb="CASE WHEN {1} IS NULL THEN coalesce(len(list_filter({0}, lambda _e: _e IS NULL)) > 0,"
        " false) ELSE coalesce(list_contains({0}, {1}), false) END",
        spark="coalesce(exists({0}, _e -> _e <=> {1}), false)",
    ),
    # DuckDB's list_distinct keeps no order.
    "ARRAY_DISTINCT": Template(
        duckdb="list_filter({0}, lambda _e, _i: list_position({0}, _e) = _i)",
        spark="array_distinct({0})",
    ),
    "ARRAY_EXCEPT": Template(
        duckdb=f"CASE WHEN {{1}} IS NOT NULL THEN list_filter({{0}}, lambda _e, _i: {_IS_FIRST}"
        " AND coalesce(list_position({1}, _e), 0) = 0) END",
        spark="array_except({0}, {1})",
    ),
    "ARRAY_INTERSECT": Template(
        duckdb=f"CASE WHEN {{1}} IS NOT NULL THEN list_filter({{0}}, lambda _e, _i: {_IS_FIRST}"
        " AND list_position({1}, _e) > 0) END",
        spark="array_intersect({0}, {1})",
    ),
    "ARRAY_LENGTH": Template(
        duckdb="CAST(len({0}) AS INTEGER)",
        spark="CASE WHEN {0} IS NOT NULL THEN size({0}) END",
    ),
    "ARRAY_REMOVE": Template(
        duckdb="list_filter({0}, lambda _e: _e IS DISTINCT FROM {1})",
        spark="filter({0}, _e -> NOT (_e <=> {1}))",
    ),
    "ARRAY_UNION": Template(
        duckdb=f"CASE WHEN {_BOTH_THERE} THEN list_filter(list_concat({{0}}, {{1}}),"
        " lambda _e, _i: list_position(list_concat({0}, {1}), _e) = _i) END",
        spark="array_union({0}, {1})",
    ),
    "AS_MAP": Template(
        duckdb=f"CASE WHEN {_BOTH_THERE} AND list_count({{0}}) = len({{0}}) THEN MAP({_DUCKDB_KEYS},"
        f" list_transform(list_filter(range(1, len({{0}}) + 1), lambda _n: NOT list_contains({{0}}[_n + 1:],"
        " {0}[_n])), lambda _n: {1}[_n])) END",
        spark=f"CASE WHEN {_BOTH_THERE} AND NOT exists({{0}}, _e -> _e IS NULL) THEN map_from_entries(transform("
        "filter(sequence(1, size({0}), 1), _n -> NOT array_contains(slice({0}, _n + 1, size({0})), {0}[_n - 1])),"
        " _n -> struct({0}[_n - 1], get({1}, _n - 1)))) END",
    ),
    # All combinations of elements and NULL. The last element changes fastest. A NULL element has no second form.
    "CUBE_EXPLODE": Template(
        duckdb="list_transform(list_filter(range(0, 1 << len({0})), lambda _m: len(list_filter({0},"
        " lambda _e, _i: _e IS NULL AND (_m >> (len({0}) - _i)) & 1 = 1)) = 0),"
        " lambda _m: list_transform({0}, lambda _e, _i: CASE WHEN (_m >> (len({0}) - _i)) & 1 = 1 THEN _e END))",
        spark="transform(filter(sequence(0, shiftleft(1, size({0})) - 1), _m -> NOT exists(transform({0},"
        " (_e, _i) -> _e IS NULL AND shiftright(_m, size({0}) - _i - 1) % 2 = 1), _x -> _x)),"
        " _m -> transform({0}, (_e, _i) -> CASE WHEN shiftright(_m, size({0}) - _i - 1) % 2 = 1 THEN _e END))",
    ),
    # The arguments are the first and last number, the step and the type of the elements.
    "GENERATE_SERIES": Template(
        duckdb="list_transform(range(0, CASE WHEN {2} > 0 AND {0} <= {1} OR {2} < 0 AND {0} >= {1} THEN CASE"
        f" WHEN abs({{1}}::HUGEINT - {{0}}) < {LONGEST_SERIES} * abs({{2}}::HUGEINT)"
        " THEN CAST(({1}::HUGEINT - {0}) // {2} AS BIGINT) + 1 END END),"
        " lambda _i: CAST({0}::HUGEINT + _i * {2}::HUGEINT AS {3}))",
        spark="CASE WHEN ({2} > 0 AND {0} <= {1} OR {2} < 0 AND {0} >= {1})"
        f" AND abs(CAST({{1}} AS {_WIDE}) - CAST({{0}} AS {_WIDE})) < {LONGEST_SERIES} * abs(CAST({{2}} AS {_WIDE}))"
        " THEN sequence({0}, {1}, {2}) END",
    ),
    "MAP_UNION": Template(
        duckdb="CASE WHEN {0} IS NOT NULL OR {1} IS NOT NULL THEN map_concat({0}, {1}) END",
        spark="CASE WHEN {0} IS NULL THEN {1} WHEN {1} IS NULL THEN {0} ELSE map_concat("
        "map_filter({0}, (_k, _v) -> NOT map_contains_key({1}, _k)), {1}) END",
    ),
    # Observed: NULL when the array is shorter than the end (docs/ksqldb-facts.md, Expressions).
    "SLICE": Template(
        duckdb="CASE WHEN {1} >= 1 AND {2} <= len({0}) THEN list_slice({0}, {1}, {2}) END",
        spark="CASE WHEN {1} >= 1 AND {2} <= size({0}) THEN slice({0}, {1}, greatest({2} - {1} + 1, 0)) END",
    ),
    "ELT": Template(
        duckdb="CASE WHEN {0} >= 1 THEN list_extract([{1*}], {0}) END",
        spark="CASE WHEN {0} >= 1 THEN get(array({1*}), {0} - 1) END",
    ),
    "FIELD": Template(
        duckdb="CASE WHEN {0} IS NULL THEN 0 ELSE coalesce(list_position([{1*}], {0}), 0) END",
        spark="CASE WHEN {0} IS NULL THEN 0 ELSE CAST(array_position(array({1*}), {0}) AS INT) END",
    ),
    "AS_VALUE": both("{0}"),
}
