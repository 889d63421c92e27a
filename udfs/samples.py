"""Random arguments for a function's checks, with NULLs, extremes and text of all kinds.

Among them are texts and numbers from the docstring's examples, and changed ones. So the arguments include the cases
that the function is made for.
"""

from __future__ import annotations

import ast
import doctest
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from opensea_metrics.core.conversions import is_numeric
from opensea_metrics.core.definition import Definition
from opensea_metrics.core.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTEGER,
    STRING,
    TIME,
    ArrayType,
    DecimalType,
    KsqlType,
    MapType,
    StructType,
)

Row = tuple[Any, ...]
_NULLS = 0.06
_CONSTANTS = 4
_TEXTS = (
    "", " ", "0", "00", "-1", "é", "日本語", "😀", "e\u0301", "a\tb", "a'b\"c\\", "null", "{}", "[]",
    "9" * 78, "9" * 79, "x" * 5_000, "٣", "\u00a0", "/", "//",
)  # fmt: skip
_ALPHABET = "0123456789abcxyzABCXYZ/.,:-_ \"'\\{}[]éß日😀\u0301"
_DOUBLES = (0.0, -0.0, 1.0, -1.5, 0.1, 1e308, 5e-324, float("inf"), float("-inf"), float("nan"))


@dataclass(frozen=True)
class SampleGroup:
    """The input of an aggregate: constants, and rows in parts, with older parts first."""

    constants: Row
    parts: tuple[tuple[Row, ...], ...]


class Samples:
    """Random arguments for one function. The same seed produces the same arguments."""

    def __init__(self, definition: Definition, seed: int = 1) -> None:
        self._definition = definition
        self._random = random.Random(f"{definition.name} {seed}")
        seeds = [v for v in _literals(definition.examples) if v is not None]
        self._texts: list[str] = [v for v in seeds if isinstance(v, str)] or ["text"]
        self._constants: list[Row] = []
        self._numbers = [v for v in seeds if isinstance(v, int) and not isinstance(v, bool)] or [1]

    def row(self) -> Row:
        """The arguments of a call, or the columns of a row."""
        return tuple(
            None if self._random.random() < _NULLS else self.value(parameter.type)
            for parameter in self._definition.parameters
        )

    def group(self, most: int) -> SampleGroup:
        """The rows of a group, at most ``most``. If the aggregate is safe over changelogs, the numbers of each key (the
        first column) only grow."""
        rows = [self.row() for _ in range(self._random.randint(0, most))]
        if self._definition.changelog_safe:
            keys = [self.row()[0] for _ in range(8)]
            rows = _growing([(self._random.choice(keys), *row[1:]) for row in rows], self._definition)
        cuts = sorted(self._random.choices(range(len(rows) + 1), k=2))
        parts = (rows[: cuts[0]], rows[cuts[0] : cuts[1]], rows[cuts[1] :])
        return SampleGroup(self.constants(), tuple(map(tuple, parts)))

    def constants(self) -> Row:
        """Literal arguments that the constructor accepts, chosen from a few."""
        while len(self._constants) < _CONSTANTS:
            drawn = tuple(self._constant(parameter.type) for parameter in self._definition.constants)
            try:
                self._definition.call(*drawn)
            except Exception:
                continue
            self._constants.append(drawn)
        return self._random.choice(self._constants)

    def value(self, kind: KsqlType) -> Any:
        """A plain value that is not NULL. It may contain NULLs."""
        chance = self._random
        match kind:
            case DecimalType():
                digits = chance.randint(1, kind.precision)
                return Decimal(chance.randint(-(10**digits) + 1, 10**digits - 1)).scaleb(-kind.scale)
            case ArrayType():
                return [self._inner(kind.element) for _ in range(chance.randint(0, 4))]
            case MapType():
                return {self.value(STRING): self._inner(kind.value) for _ in range(chance.randint(0, 3))}
            case StructType():
                return {name: self._inner(inner) for name, inner in kind.fields}
        return _SCALARS[kind](self) if kind in _SCALARS else self._moment()

    def _inner(self, kind: KsqlType) -> Any:
        return None if self._random.random() < _NULLS else self.value(kind)

    def _constant(self, kind: KsqlType) -> Any:
        if kind == INTEGER:
            return self._random.choice([*self._numbers, self._random.randint(0, 12)])
        return self.value(kind)

    def text(self) -> str:
        """An example, a changed example, a number, or an extreme text."""
        chance = self._random
        match chance.randint(0, 5):
            case 0:
                return str(chance.choice(_TEXTS))
            case 1:
                return str(chance.randrange(10 ** chance.randint(1, 80)))
            case 2:
                return "".join(chance.choices(_ALPHABET, k=chance.randint(1, 12)))
            case 3:
                return chance.choice(self._texts)
        text: str = chance.choice(self._texts)
        cut = chance.randint(0, len(text))
        inserted: str = chance.choice(("", *_ALPHABET))
        return text[:cut] + inserted + text[cut + chance.randint(0, 1) :]

    def whole(self, bits: int) -> int:
        """A small integer, an example, or an extreme value."""
        chance = self._random
        match chance.randint(0, 3):
            case 0:
                return chance.randint(-3, 100)
            case 1:
                known = chance.choice(self._numbers)
                return known if known.bit_length() <= bits else 1
            case 2:
                return chance.choice((0, 1, -1, 2**bits - 1, -(2**bits)))
        return chance.randint(-(2**bits), 2**bits - 1)

    def double(self) -> float:
        """A price, an extreme value, or any other number."""
        chance = self._random
        match chance.randint(0, 3):
            case 0:
                return chance.choice(_DOUBLES)
            case 1:
                return float(chance.randint(-5, 50))
        return chance.uniform(-1, 1) * 10.0 ** chance.randint(-9, 20)

    def _moment(self) -> datetime:
        seconds = self._random.randint(-(10**9), 4 * 10**9)
        return datetime(1970, 1, 1) + timedelta(seconds=seconds, milliseconds=seconds % 1000)

    def day(self) -> date:
        """A random date, from 1938 to 2096."""
        return self._moment().date()

    def clock(self) -> time:
        """A random time of day, with milliseconds."""
        return self._moment().time()

    def truth(self) -> bool:
        """True or False, with equal probability."""
        return self._random.random() < 0.5

    def octets(self) -> bytes:
        """At most 20 random bytes."""
        return self._random.randbytes(self._random.randint(0, 20))


_SCALARS: dict[KsqlType, Callable[[Samples], Any]] = {
    BOOLEAN: Samples.truth,
    INTEGER: lambda samples: samples.whole(31),
    BIGINT: lambda samples: samples.whole(63),
    DOUBLE: Samples.double,
    STRING: Samples.text,
    BYTES: Samples.octets,
    DATE: Samples.day,
    TIME: Samples.clock,
}


def _growing(rows: Sequence[Row], definition: Definition) -> list[Row]:
    numeric = [i for i, p in enumerate(definition.parameters) if i and is_numeric(p.type)]
    last: dict[tuple[Any, int], Any] = {}
    grown = []
    for row in rows:
        values = list(row)
        for index in numeric:
            value, known = values[index], last.get((row[0], index))
            if value is not None and value == value and abs(value) != float("inf"):
                values[index] = value if known is None else max(value, known)
                last[row[0], index] = values[index]
        grown.append(tuple(values))
    return grown


def _literals(examples: str) -> list[Any]:
    values = []
    for example in doctest.DocTestParser().get_examples(examples):
        for node in ast.walk(ast.parse(example.source)):
            if isinstance(node, ast.Constant):
                values.append(node.value)
    return values
