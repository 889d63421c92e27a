"""The parts of SQL that the engines write differently."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from sqlglot import exp

from opensea_metrics.core.types import DecimalType, KsqlType, StructType

SHALLOW = 16
"""The largest number of operands of a chain that are nested. Longer chains are written side by side."""
_LONG = 400
"""The largest length of a value that may be repeated, in characters."""
REPEATING = ("parse_", "substring_", "java_ordered", "has_pairs")
"""The beginnings of the names of macros that repeat their arguments (see macros)."""
_MACRO = 200
_MOST_DIGITS = 38
_CHANGING = ("random()", "rand()", "uuid()")


class Writing(ABC):
    """Pieces of SQL, written from arguments that are already SQL."""

    engine: ClassVar[str]
    """The engine's name in refusals, see :mod:`sql.language.lowering.refusals`."""
    templates: ClassVar[Mapping[str, str]]
    """The templates of functions, for :func:`sql.language.lowering.calls.fill`."""

    @abstractmethod
    def name(self, name: str) -> str:
        """A column, or a lambda's parameter."""

    @abstractmethod
    def function_name(self, name: str) -> str:
        """A function of ``udfs``."""

    @abstractmethod
    def text(self, value: str) -> str:
        """A string literal in the engine's SQL."""

    @abstractmethod
    def type_name(self, kind: KsqlType) -> str:
        """A type. Raises ValueError if the engine has no type that holds the values."""

    def wider(self, kind: KsqlType) -> str:
        """A DECIMAL type with room for one more digit, because ksqlDB does not check the digits of rounded values."""
        if isinstance(kind, DecimalType):
            kind = replace(kind, precision=min(kind.precision + 1, _MOST_DIGITS))
        return self.type_name(kind)

    def fits(self, kind: KsqlType, value: str) -> str:
        """A condition: a number, or a number in a text, has no more digits before the point than a DECIMAL type allows.

        As a DOUBLE, a number such as 999999999999999999 becomes the next power of ten.
        """
        assert isinstance(kind, DecimalType)
        size, limit = f"abs(TRY_CAST({value} AS DOUBLE))", f"1E{kind.precision - kind.scale}"
        return f"({size} < {limit} OR ({size} = {limit} AND {self.begins_with_nine(value)}))"

    @abstractmethod
    def begins_with_nine(self, value: str) -> str:
        """A condition: the first nonzero digit of a number, or of a number in a text, is 9."""

    @abstractmethod
    def java_ordered(self, value: str) -> str:
        """A text, encoded so that sorting by characters gives Java's order by UTF-16 units."""

    @abstractmethod
    def of_java_ordered(self, value: str) -> str:
        """The inverse of :meth:`java_ordered`."""

    @abstractmethod
    def like_escaped(self, value: str, pattern: str, negated: bool) -> str:
        """[NOT] LIKE with a pattern. In the pattern, U+0001 escapes a character that is not a wildcard."""

    @abstractmethod
    def json_field(self, json_text: str, names: Sequence[str], in_python: Callable[[str], str]) -> str:
        """A field of a JSON text, at the path ``names``. ``in_python`` writes a call that is correct but slow."""

    @abstractmethod
    def member(self, struct: str, field: str) -> str:
        """A field of a STRUCT."""

    @abstractmethod
    def element(self, base: str, index: str, of_map: bool) -> str:
        """An element of an array or map. Indexes start at 1. Negative ones count from the end. NULL if missing."""

    @abstractmethod
    def array(self, values: Sequence[str]) -> str: ...

    @abstractmethod
    def struct(self, fields: Sequence[tuple[str, str]]) -> str: ...

    @abstractmethod
    def map(self, pairs: Sequence[tuple[str, str]]) -> str: ...

    @abstractmethod
    def joined_maps(self, maps: Sequence[str]) -> str:
        """Several MAPs as one; the last value of a key counts."""

    @abstractmethod
    def function(self, parameters: Sequence[str], body: str) -> str:
        """A lambda. The parameters are ksqlDB names."""

    @abstractmethod
    def higher_order(self, name: str, values: str, function: str) -> str:
        """TRANSFORM or FILTER of an array."""

    def reduced(self, values: str, function: str, start: str) -> str:
        """REDUCE of an array: ``start`` if the array is NULL, and NULL if ``start`` is."""
        return self.once(
            [start, values],
            lambda once: (
                f"CASE WHEN {once[1]} IS NULL THEN {once[0]}"
                f" WHEN {once[0]} IS NOT NULL THEN {self.fold(once[1], function, once[0])} END"
            ),
        )

    @abstractmethod
    def fold(self, values: str, function: str, start: str) -> str:
        """A function of a state and an element, applied to each element of an array. Nothing is NULL."""

    @abstractmethod
    def without_nulls(self, values: str) -> str:
        """An array, or NULL if it contains a NULL."""

    @abstractmethod
    def computed(self, values: Sequence[str], write: Callable[[Sequence[str]], str]) -> str:
        """The SQL that ``write`` returns for names of the values. Each value is computed once."""

    def once(self, values: Sequence[str], write: Callable[[Sequence[str]], str]) -> str:
        """The SQL that ``write`` returns for the values. ``write`` may repeat them.

        Long values are repeated by name, because nested repetition would double the text at every level. A
        name's value contains no other name, because DuckDB's time doubles with every lambda inside a lambda.
        """
        long = list(filter(is_long, dict.fromkeys(values)))
        if not long:
            return write(values)

        def written(names: Sequence[str]) -> str:
            known = dict(zip(long, names, strict=True))
            return write([known.get(value, value) for value in values])

        return self.computed(long, written)

    @abstractmethod
    def whole_sum(self, kind: KsqlType, terms: Sequence[tuple[str, str]]) -> str:
        """A sum of INTEGERs or BIGINTs as Java computes it. The terms are pairs of a sign (+ or -) and a value."""

    @abstractmethod
    def folded(self, terms: Sequence[str]) -> str:
        """A sum of DOUBLEs from left to right."""

    def concatenated(self, texts: Sequence[str]) -> str:
        """Texts that are not NULL, joined in order."""
        return f"({' || '.join(texts)})" if len(texts) <= SHALLOW else f"concat({', '.join(texts)})"

    @abstractmethod
    def integer(self, kind: KsqlType, left: str, operator: str, right: str) -> str:
        """``*``, ``/`` or ``%`` of INTEGER or BIGINT as in Java. A division by zero is NULL."""

    def double(self, left: str, operator: str, right: str) -> str:
        """Arithmetic on DOUBLEs as in Java. A division by zero is infinite or NaN."""
        return f"({left} {operator} {right})"

    def decimal(self, kind: KsqlType, first: KsqlType, left: str, operator: str, right: str) -> str:
        """``+``, ``-`` or ``*`` of DECIMALs and integers, with a result of type ``kind``. ``first`` is the type of
        ``left``."""
        return f"CAST({left} {operator} {right} AS {self.type_name(kind)})"

    def rounded(self, name: str, kind: KsqlType, value: str) -> str:
        """ABS, CEIL or FLOOR of a DOUBLE or DECIMAL."""
        cast = "TRY_CAST" if isinstance(kind, DecimalType) else "CAST"
        return f"{cast}({name.lower()}({value}) AS {self.wider(kind)})"

    @abstractmethod
    def cast_integer(self, kind: KsqlType, value: str) -> str:
        """BIGINT → INTEGER, wrapped around."""

    @abstractmethod
    def truncated(self, kind: KsqlType, value: str) -> str:
        """DOUBLE → integer as in Java: rounded towards zero. NaN becomes 0, and larger values become the bounds."""

    @abstractmethod
    def parsed(self, kind: KsqlType, value: str) -> str:
        """A text as a number or BOOLEAN. NULL if the text is neither."""

    @abstractmethod
    def cut_decimal(self, kind: KsqlType, value: str) -> str:
        """DECIMAL → integer: without its fraction, and wrapped around."""

    @abstractmethod
    def text_of(self, kind: KsqlType, value: str) -> str:
        """DECIMAL, DATE, TIME or TIMESTAMP → text."""

    @abstractmethod
    def number_of_time(self, kind: KsqlType, value: str) -> str:
        """A TIMESTAMP as epoch ms, a DATE as days since 1970, or a TIME as ms since midnight."""

    @abstractmethod
    def time_of_number(self, kind: KsqlType, value: str) -> str:
        """The TIMESTAMP, DATE or TIME for a number. NULL if the number is too large."""

    @abstractmethod
    def timestamp_of_date(self, value: str) -> str:
        """The start of a DATE; NULL for a date that is too far from 1970."""

    @abstractmethod
    def check_lambda(self, place: exp.Expression, body: str) -> None:
        """Raises SqlError if the engine cannot compute the body of a lambda."""

    @abstractmethod
    def mapped(self, values: str, name: str, value: str, is_strict: bool = False) -> str:
        """An array with ``value`` computed for each element ``name``.

        If it is strict, one NULL makes the whole array NULL.
        """

    @abstractmethod
    def mapped_map(self, value: str, keys: str, values: str) -> str:
        """A MAP from arrays of keys and values. NULL if ``value`` or ``values`` is NULL."""

    def entries(self, value: str) -> str:
        """The entries of a MAP, see :meth:`key_of` and :meth:`value_of`."""
        return f"map_entries({value})"

    def key_of(self, entry: str) -> str:
        """The key of an entry."""
        return f"{entry}.key"

    def value_of(self, entry: str) -> str:
        """The value of an entry."""
        return f"{entry}.value"

    @abstractmethod
    def filtered(self, values: str, name: str, condition: str) -> str:
        """The elements ``name`` of an array for which a condition is true."""

    @abstractmethod
    def picked(self, values: str, positions: str) -> str:
        """The elements of an array at some positions, in the order of the positions."""

    @abstractmethod
    def normal_map(self, entries: str) -> str:
        """A MAP's entries in a normal form. Equal MAPs have equal forms."""

    def keys(self, value: str) -> str:
        """The keys of a MAP."""
        return f"map_keys({value})"

    def values(self, value: str) -> str:
        """The values of a MAP."""
        return f"map_values({value})"

    @abstractmethod
    def sorted_entries(self, value: str) -> str:
        """The entries of a MAP as structs with K and V, in the order of K."""

    @abstractmethod
    def joined(self, texts: str, separator: str) -> str:
        """An array of texts as one text."""

    @abstractmethod
    def joined_by(self, texts: str, separator: str) -> str:
        """Like :meth:`joined`, with a separator that may differ from row to row."""

    @abstractmethod
    def sorted(self, values: str, is_descending: bool) -> str:
        """An array in order, NULLs last."""

    @abstractmethod
    def greatest_of(self, values: str) -> str:
        """The greatest element that is not NULL."""

    @abstractmethod
    def least_of(self, values: str) -> str:
        """The smallest element that is not NULL."""

    @abstractmethod
    def absolute(self, kind: KsqlType, value: str) -> str:
        """ABS of an integer. The smallest integer stays negative, as in Java."""

    @abstractmethod
    def like(self, value: str, pattern: str, negated: bool) -> str: ...

    @abstractmethod
    def regexp_extract(self, call: exp.Anonymous, pattern: str, value: str, group: str | None) -> str:
        """The part of a value that a pattern matches, or one of its groups. NULL if the pattern does not match.

        ``pattern`` is a regular expression. ``value`` and ``group`` are SQL.
        """

    @abstractmethod
    def format_timestamp(self, call: exp.Anonymous, arguments: list[exp.Expression]) -> str: ...

    @abstractmethod
    def json_text(self, kind: KsqlType, value: str) -> str:
        """A value as JSON text, as TO_JSON_STRING returns it."""

    def json_object(self, kind: StructType, fields: Mapping[str, str]) -> str:
        """A struct with these values as JSON text, as TO_JSON_STRING returns it."""
        return self.json_text(kind, self.struct(list(fields.items())))

    @abstractmethod
    def exploded(self, call: exp.Expression, values: str) -> str:
        """The rows that a table function returns for an array."""


def is_long(value: str) -> bool:
    """True if a value is too long to repeat, or if it changes with each evaluation. The text that its macros expand
    to counts too."""
    if is_changing(value):
        return True
    return len(value) + sum(_MACRO * value.count(name) for name in REPEATING) > _LONG


def is_changing(value: str) -> bool:
    """True if a value changes with each evaluation."""
    return any(name in value for name in _CHANGING)


def balanced(terms: Sequence[str]) -> str:
    """A sum of terms in any order, nested as little as possible."""
    while len(terms) > 1:
        pairs = [terms[at : at + 2] for at in range(0, len(terms), 2)]
        terms = [f"({pair[0]} + {pair[1]})" if len(pair) > 1 else pair[0] for pair in pairs]
    return terms[0]
