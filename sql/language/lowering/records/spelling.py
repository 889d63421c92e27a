"""The spelling of field names in records, and a pattern for records with another spelling.

ksqlDB takes the field with exactly the declared name. Otherwise it takes the last field whose upper-cased name is the
declared name (KsqlJsonDeserializer of 7.9.1). DuckDB only looks for one spelling of a name. It reads the records
with the spelling of a sample, and ``sql.language.lowering.records.exact`` reads all others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from opensea_metrics.core.types import ArrayType, KsqlType, MapType, StructType
from opensea_metrics.sql.language.lowering.records import malformed

FOLDED = "ıſßﬀﬁﬂﬃﬄﬅﬆ"
"""The letters beyond ASCII whose upper case is ASCII."""
_LONG = 100
"""The length, in letters, of the longest name with an exact pattern."""
_LOWER = re.compile(r"[ !#->_`a-z{-~]+")


@dataclass(frozen=True)
class Spelling:
    """A spelling: ``keys`` maps the names of fields to the names that DuckDB looks for in JSON.

    With ``is_unsafe``, DuckDB cannot hold two of the names in one record, so it can read no record.
    """

    keys: Mapping[str, str]
    is_unsafe: bool = False

    def of(self, kind: StructType) -> Spelling:
        """The spelling of the fields in a type only. DuckDB needs milliseconds to compile a long pattern."""
        return replace(self, keys={name: self.keys[name] for name in _names(kind)})

    @property
    def inexact(self) -> list[str]:
        """The JSON names of the fields that ksqlDB matches regardless of case.

        A quoted name that is not upper case must match exactly.
        """
        return [key for name, key in self.keys.items() if name == name.upper()]

    @property
    def is_lower(self) -> bool:
        """True if every other spelling of a name has a capital, an escape, or a letter beyond ASCII."""
        return not self.is_unsafe and all(map(_LOWER.fullmatch, self.inexact))

    @property
    def capitalized(self) -> tuple[str, ...]:
        """The names for ``sql.language.lowering.records.capitals``, which only works if all of them are lower case."""
        return tuple(self.inexact) if self.is_lower else ()

    @property
    def pattern(self) -> str:
        """A regular expression (RE2) for lines with another spelling of a name, and for invalid JSON that DuckDB
        accepts.
        """
        if self.is_unsafe:
            return ""
        ways = "|".join(filter(None, map(_other_ways, self.inexact))) or r"[^\s\S]"
        letters = FOLDED if all(key.isascii() for key in self.inexact) else r"[:^ascii:]"
        plain = r'(?:[^"\\]|\\.)*'
        return rf'"(?:{ways}|{plain}(?:\\.|[{letters}]){plain})"\s*:|{malformed.PATTERN}'


def sampled(kind: StructType, sample: str | None) -> Spelling:
    """The spelling of a sample's lines. Names that the sample does not have are lower case."""
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
    """A form that is equal for names that DuckDB does not distinguish. It only ignores the case of ASCII letters."""
    return name.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def _safe(kind: StructType, keys: Mapping[str, str]) -> Spelling:
    """A spelling that DuckDB can hold. A STRUCT's fields always differ, but columns may be `a` and `A`."""
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
    """The names of a type's fields, each with its name in a JSON value."""
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
    """A regular expression for all spellings of a name other than the given one, or an empty text.

    Each alternative is equal up to a letter in the other case, and ignores the case of the rest. Its length grows with
    the square of the name's length, so for a long name it also matches the given spelling."""
    if len(key) > _LONG:
        return f"(?i:{re.escape(key)})"
    ways = ""
    for at in reversed(range(len(key))):
        here, rest = key[at], key[at + 1 :]
        same = f"{re.escape(here)}(?:{ways})" if ways else ""
        other = f"{here.swapcase()}(?i:{re.escape(rest)})" if here.isalpha() else ""
        ways = "|".join(filter(None, (other, same)))
    return ways
