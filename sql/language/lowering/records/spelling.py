"""How records write the names of fields, and a pattern of records that write one in another way.

ksqlDB takes the field of exactly a declared name, else the last field whose name in upper case is the declared
one (KsqlJsonDeserializer of 7.9.1). DuckDB knows one way to write a name. It reads the records that write
names as a sample does; ``sql.language.lowering.records.exact`` reads all others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from opensea_metrics.core.types import ArrayType, KsqlType, MapType, StructType
from opensea_metrics.sql.language.lowering.records import malformed

FOLDED = "ıſßﬀﬁﬂﬃﬄﬅﬆ"
"""The letters beyond ASCII whose upper case is in ASCII."""
_LONG = 100
"""Letters of a name."""
_LOWER = re.compile(r"[ !#->_`a-z{-~]+")


@dataclass(frozen=True)
class Spelling:
    """``keys`` maps the names of fields to the names that DuckDB looks for in JSON.

    ``is_unsafe``: DuckDB cannot hold two of the names in one record, so it can read none.
    """

    keys: Mapping[str, str]
    is_unsafe: bool = False

    @property
    def inexact(self) -> list[str]:
        """The names in JSON of the fields that are found in any case. A name in quotes that is not upper
        case is found as it is, or not at all."""
        return [key for name, key in self.keys.items() if name == name.upper()]

    @property
    def is_lower(self) -> bool:
        """Whether each other way to write a name has a capital, an escape, or a letter beyond ASCII."""
        return not self.is_unsafe and all(map(_LOWER.fullmatch, self.inexact))

    @property
    def capitalized(self) -> tuple[str, ...]:
        """The names for ``sql.language.lowering.records.capitals``, which is of no use unless all are lower case."""
        return tuple(self.inexact) if self.is_lower else ()

    @property
    def pattern(self) -> str:
        """A regular expression (RE2) that is in each line that writes a name in another way, or that DuckDB
        takes for JSON though it is none."""
        if self.is_unsafe:
            return ""
        ways = "|".join(filter(None, map(_other_ways, self.inexact))) or r"[^\s\S]"
        letters = FOLDED if all(key.isascii() for key in self.inexact) else r"[:^ascii:]"
        plain = r'(?:[^"\\]|\\.)*'
        return rf'"(?:{ways}|{plain}(?:\\.|[{letters}]){plain})"\s*:|{malformed.PATTERN}'


def sampled(kind: StructType, sample: str | None) -> Spelling:
    """The spelling of a sample's lines; lower case for the names that they do not have."""
    names: dict[str, str] = {}
    for line in (sample or "").splitlines():
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        for name, key in _keys(kind, value):
            names.setdefault(name, key)
    usual = {name: _folded(name) if name == name.upper() else name for name in _names(kind)}
    return _safe(kind, usual | names)


def declared(kind: StructType) -> Spelling:
    """The spelling of records that have the declared names."""
    return _safe(kind, {name: name for name in _names(kind)})


def _folded(name: str) -> str:
    """Equal for names that DuckDB does not tell apart: it knows the case of ASCII letters only."""
    return name.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def _safe(kind: StructType, keys: Mapping[str, str]) -> Spelling:
    """The engines tell the fields of a STRUCT apart, but columns may be `a` and `A`."""
    if len({keys[name].upper() for name, _ in kind.fields}) == len(kind.fields):
        return Spelling(keys)
    columns = {name: f"{number} {name}" for number, (name, _) in enumerate(kind.fields)}
    return Spelling({**keys, **columns}, is_unsafe=True)


def _names(kind: KsqlType) -> Iterator[str]:
    """The names of all fields in a type."""
    match kind:
        case StructType():
            for name, inner in kind.fields:
                yield name
                yield from _names(inner)
        case ArrayType():
            yield from _names(kind.element)
        case MapType():
            yield from _names(kind.value)


def _keys(kind: KsqlType, value: Any) -> Iterator[tuple[str, str]]:
    """The names of a type's fields, with the names that a JSON value has for them."""
    match kind, value:
        case StructType(), dict():
            upper = {key.upper(): key for key in value}
            for name, inner in kind.fields:
                key = name if name in value else upper.get(name)
                if key is not None:
                    if _folded(key) == _folded(name):
                        yield name, key
                    yield from _keys(inner, value[key])
        case ArrayType(), list():
            for element in value:
                yield from _keys(kind.element, element)
        case MapType(), dict():
            for element in value.values():
                yield from _keys(kind.value, element)


def _other_ways(key: str) -> str:
    """A regular expression of all ways to write a name but the one given: the same up to a letter in the
    other case, then the rest in any case. Empty if there is none.

    It grows with the square of the name's length, so for a long name it matches the given way, too."""
    if len(key) > _LONG:
        return f"(?i:{re.escape(key)})"
    ways = ""
    for at in reversed(range(len(key))):
        here, rest = key[at], key[at + 1 :]
        same = f"{re.escape(here)}(?:{ways})" if ways else ""
        other = f"{here.swapcase()}(?i:{re.escape(rest)})" if here.isalpha() else ""
        ways = "|".join(filter(None, (other, same)))
    return ways
