"""The parts of SQL that the engines write differently. :mod:`.engine_texts` has those for which a text is enough."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from sqlglot import exp

from opensea_metrics.core.types import DecimalType, KsqlType, StructType
from opensea_metrics.sql.language.lowering.engine_texts import Pieces, Write

SHALLOW = 16
"""The largest number of operands of a chain that are nested. Longer chains are written side by side."""
_LONG = 400
"""The largest length of a value that may be repeated, in characters."""
REPEATING = ("parse_", "substring_", "java_ordered", "has_pairs")
"""The beginnings of the names of macros that repeat their arguments (see macros)."""
_MACRO = 200
_MOST_DIGITS = 38
_CHANGING = ("random()", "rand()", "uuid()")


class Writing(Pieces):
    """Pieces of SQL, written from arguments that are already SQL."""

    engine: ClassVar[str]
    """The engine's name in refusals, see :mod:`sql.language.lowering.refusals`."""
    templates: ClassVar[Mapping[str, str]]
    """The templates of functions, for :func:`.template.fill`."""

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
    def json_field(self, json_text: str, names: Sequence[str], in_python: Callable[[str], str]) -> str:
        """A field of a JSON text, at the path ``names``. ``in_python`` writes a call that is correct but slow."""

    @abstractmethod
    def member(self, struct: str, field: str) -> str:
        """A field of a STRUCT."""

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

    def reduced(self, values: str, function: str, start: str) -> str:
        """REDUCE of an array: ``start`` if the array is NULL, and NULL if ``start`` is."""
        return self.once(
            [start, values],
            lambda once: (
                f"CASE WHEN {once[1]} IS NULL THEN {once[0]}"
                f" WHEN {once[0]} IS NOT NULL THEN {self.fold(once[1], once[0], function)} END"
            ),
        )

    @abstractmethod
    def computed(self, values: Sequence[str], write: Write) -> str:
        """The SQL that ``write`` returns for names of the values. Each value is computed once."""

    def once(self, values: Sequence[str], write: Write) -> str:
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
    def absolute(self, kind: KsqlType, value: str) -> str:
        """ABS of an integer. The smallest integer stays negative, as in Java."""

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
