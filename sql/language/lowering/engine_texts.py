"""Pieces of SQL that need one text for each engine, and nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

from opensea_metrics.sql.language.lowering.template import fill

Write = Callable[[Sequence[str]], str]
"""A function that writes SQL with the names or values that it gets."""


class EngineTexts:
    """A method that writes a piece of SQL from arguments that are already SQL.

    The texts are templates, see :func:`.template.fill`. Without ``spark``, both engines have the same text. With
    ``repeats``, long arguments are computed once.
    """

    def __init__(self, duckdb: str, spark: str | None = None, repeats: bool = False) -> None:
        self._texts = {"duckdb": duckdb, "spark": duckdb if spark is None else spark}
        self._repeats = repeats

    def __get__(self, lowering: Pieces, _: type[Pieces]) -> Callable[..., str]:
        text = self._texts[lowering.dialect]
        if self._repeats:
            return lambda *arguments: lowering.once(arguments, lambda once: fill(text, once))
        return lambda *arguments: fill(text, arguments)


class Pieces(ABC):
    """The pieces that an engine's text is enough for."""

    dialect: ClassVar[Literal["duckdb", "spark"]]
    """The SQL that is written."""

    @abstractmethod
    def once(self, values: Sequence[str], write: Write) -> str:
        """The SQL that ``write`` returns for the values. ``write`` may repeat them."""

    array = EngineTexts("[{*}]", "array({*})")
    element = EngineTexts("list_extract({0}, {1})", "try_element_at({0}, nullif({1}, 0))")
    """An element of an array. Indexes start at 1. Negative ones count from the end. NULL if missing."""
    map_value = EngineTexts("map_extract_value({0}, {1})", "try_element_at({0}, {1})")
    """The value of a key in a MAP; NULL if missing."""

    higher_order = EngineTexts("list_{0}({1}, {2})", "{0}({1}, {2})")
    """``transform`` or ``filter``, an array, and a lambda."""
    fold = EngineTexts("list_reduce({0}, {2}, {1})", "aggregate({0}, {1}, {2})")
    """An array, the first state, and a lambda of a state and an element. Nothing is NULL."""
    mapped = EngineTexts("list_transform({0}, lambda {1}: {2})", "transform({0}, {1} -> {2})")
    """An array, the name of an element, and the value that is computed for each element."""
    filtered = EngineTexts("list_filter({0}, lambda {1}: {2})", "filter({0}, {1} -> {2})")
    """An array, the name of an element, and the condition of the elements that stay."""
    unless_lost = EngineTexts(
        "CASE WHEN list_count({1}) = list_count({0}) THEN {1} END",
        "CASE WHEN {0} IS NOT NULL AND size(filter({1}, _n -> _n IS NULL)) = size(filter({0}, _n -> _n IS NULL))"
        " THEN {1} END",
    )
    """An array, and its elements after a computation. NULL if the computation made one of them NULL."""
    without_nulls = EngineTexts(
        "CASE WHEN len(list_filter({0}, lambda _e: _e IS NULL)) = 0 THEN {0} END",
        "CASE WHEN NOT exists({0}, _e -> _e IS NULL) THEN {0} END",
        repeats=True,
    )
    """An array, or NULL if it contains a NULL."""
    are_distinct = EngineTexts("len(list_distinct({0})) = len({0})", "size(array_distinct({0})) = size({0})")
    """A condition: no two elements of an array are equal."""
    picked = EngineTexts("list_select({0}, {1})", "transform({1}, _o -> element_at({0}, CAST(_o AS INT)))")
    """The elements of an array at some positions, in the order of the positions."""
    ascending = EngineTexts("list_sort({0}, 'ASC', 'NULLS LAST')", "array_sort({0})")
    descending = EngineTexts("list_sort({0}, 'DESC', 'NULLS LAST')", "sort_array({0}, false)")
    """An array in order, NULLs last."""
    greatest_of = EngineTexts("list_max({0})", "array_max({0})")
    least_of = EngineTexts("list_min({0})", "array_min({0})")
    """The greatest or smallest element that is not NULL."""
    folded = EngineTexts(
        "list_reduce([{*}], lambda _x, _y: _x + _y)", "aggregate(array({1*}), {0}, (_x, _y) -> _x + _y)"
    )
    """A sum of DOUBLEs from left to right."""

    joined = EngineTexts("array_to_string({0}, {1})", "array_join({0}, {1})")
    """An array of texts as one text, with a separator."""
    joined_by = EngineTexts(  # DuckDB's own function needs literals
        "CASE WHEN len({0}) = 0 THEN '' ELSE list_reduce({0}, lambda _x, _y: _x || {1} || _y) END",
        "array_join({0}, {1})",
    )
    """Like ``joined``, with a separator that may differ from row to row."""

    entries = EngineTexts("map_entries({0})")
    keys = EngineTexts("map_keys({0})")
    values = EngineTexts("map_values({0})")
    """Parts of a MAP. An entry is a struct of a key and a value."""
    key_of = EngineTexts("{0}.key")
    value_of = EngineTexts("{0}.value")
    sorted_entries = EngineTexts(
        "list_transform(list_sort(map_entries({0})), lambda _e: struct_pack(K := _e.key, V := _e.value))",
        "transform(array_sort(map_entries({0}), (_a, _b) -> CASE WHEN _a.key < _b.key THEN -1 ELSE 1 END),"
        " _e -> named_struct('K', _e.key, 'V', _e.value))",
    )
    """The entries of a MAP as structs with K and V, in the order of K."""
    mapped_map = EngineTexts(
        "CASE WHEN {0} IS NOT NULL AND {2} IS NOT NULL THEN MAP({1}, {2}) END",
        "CASE WHEN {0} IS NOT NULL AND {2} IS NOT NULL THEN map_from_arrays({1}, {2}) END",
    )
    """A value, and arrays of keys and values: a MAP. NULL if the value or the array of values is NULL."""
    normal_map = EngineTexts(
        "map_from_entries(list_sort({0}))",
        "array_sort({0}, (_a, _b) -> CASE WHEN _a.key < _b.key THEN -1 ELSE 1 END)",
    )
    """A MAP's entries in a normal form. Equal MAPs have equal forms."""

    begins_with_nine = EngineTexts(
        "starts_with(ltrim(CAST({0} AS VARCHAR), '+-0. '), '9')",
        "startswith(trim(LEADING '+-0. ' FROM CAST({0} AS STRING)), '9')",
    )
    """A condition: the first nonzero digit of a number, or of a number in a text, is 9."""
    like = EngineTexts("({0} {1} {2})", "({0} {1} {2} ESCAPE '\\u0001')")
    """A text, LIKE or NOT LIKE, and a pattern. Without ESCAPE, Spark would read a backslash as an escape."""
    like_escaped = EngineTexts("({0} {1} {2} ESCAPE chr(1))", "({0} {1} {2} ESCAPE '\\u0001')")
    """The same. In the pattern, U+0001 escapes a character that is not a wildcard."""
    java_ordered = EngineTexts(
        "java_ordered({0})",
        "CASE WHEN octet_length({0}) = char_length({0}) THEN {0} ELSE"
        " regexp_replace({0}, '([\\\\x{{E000}}-\\\\x{{FFFF}}])', '\U0010ffff\\u00241') END",
        repeats=True,
    )
    """A text, encoded so that sorting by characters gives Java's order by UTF-16 units."""
    of_java_ordered = EngineTexts("of_java_ordered({0})", "replace({0}, '\U0010ffff', '')")
    """The inverse of ``java_ordered``."""
