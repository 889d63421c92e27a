"""Reads the paths of EXTRACTJSONFIELD: ``$``, then ``.name``, ``[name]`` or ``["name"]`` for each level.

A name made of digits is an index in an array, and the name of a field in an object. For a path of another
form, ksqlDB returns NULL (observed on 7.9.1).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_LEVEL = re.compile(r'\.([^.\[\]"]+)|\[([^.\[\]"]+)\]|\["((?:[^"\\]|\\["\\])*)"\]', re.DOTALL)
_ESCAPED = re.compile(r'\\(["\\])')


def names_in(path: str) -> list[str] | None:
    """The name of each level, or None if ksqlDB does not know the form of the path."""
    if not path.startswith("$"):
        return None
    names: list[str] = []
    at = 1
    while at < len(path):
        level = _LEVEL.match(path, at)
        if level is None:
            return None
        after_dot, bare, quoted = level.groups()
        if after_dot is not None and not _is_bare(after_dot, ":@_"):
            return None
        if bare is not None and not _is_bare(bare, "_"):
            return None
        names.append(after_dot or bare or _ESCAPED.sub(r"\1", quoted))
        at = level.end()
    return names


def pointer(names: Sequence[str]) -> str:
    """The JSON pointer (RFC 6901) to a value, as DuckDB expects it. ``$`` stands for the whole value.

    Like ksqlDB's path, a pointer does not distinguish indexes from names made of digits.
    """
    if not names:
        return "$"
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)


def _is_bare(name: str, others: str) -> bool:
    """True if Java's isLetterOrDigit accepts each character, as a 16-bit unit, or ``others`` contains the character."""
    return all(
        character in others
        or (ord(character) < 0x10000 and unicodedata.category(character) in _LETTERS_AND_DIGITS)
        for character in name
    )


_LETTERS_AND_DIGITS = ("Lu", "Ll", "Lt", "Lm", "Lo", "Nd")
