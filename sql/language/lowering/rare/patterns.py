"""REGEXP_REPLACE, REGEXP_SPLIT_TO_ARRAY and REGEXP_EXTRACT_ALL: Java's patterns in Python's form.

Patterns with parts that Python reads differently are not translated. :func:`translated` raises Untranslatable,
and the lowering refuses the pattern and names the part.
"""

from __future__ import annotations

import re
from functools import lru_cache

from opensea_metrics.udfs.api import udf

_ENDS = r"\n\r\u0085\u2028\u2029"
_ANY = f"[^{_ENDS}]"
_END = r"(?=(?:\r\n|(?<!\r)\n|[\r\u0085\u2028\u2029])?\Z)"
_SAME = set("dDwWtnrf") | set(".[]{}()*+?^$|\\/-\"'!#%&,:;<=>@_`~ ")
_GROUP = re.compile(r"\(\?(?::|=|!|<=|<!)")


class Untranslatable(ValueError):
    """A part of a pattern cannot be translated. The message is the part."""


@lru_cache(maxsize=200)
def translated(pattern: str) -> re.Pattern[str] | None:
    """A Java pattern in Python's syntax. None if the pattern is invalid in Java. Raises Untranslatable."""
    parts: list[str] = []
    at, in_class = 0, False
    while at < len(pattern):
        character = pattern[at]
        if character == "\\":
            following = pattern[at + 1 : at + 2]
            if following in ("s", "S"):
                blanks = r" \t\n\x0b\f\r"
                parts.append(blanks if in_class and following == "s" else f"[{'^' * (following == 'S')}{blanks}]")
                if in_class and following == "S":
                    raise Untranslatable(r"\S in a class")
            elif following == "b" and not in_class:
                parts.append(r"(?u:\b)")
            elif following in _SAME:
                parts.append(pattern[at : at + 2])
            elif not following:
                return None
            else:
                raise Untranslatable(pattern[at : at + 2])
            at += 2
            continue
        if in_class:
            if character == "[" or pattern.startswith("&&", at):
                raise Untranslatable("a class in a class")
            in_class = character != "]"
            parts.append(character)
        elif character == "[":
            in_class = True
            parts.append(character)
            if pattern[at + 1 : at + 2] == "^":
                parts.append("^")
                at += 1
            if pattern[at + 1 : at + 2] == "]":
                raise Untranslatable("[]")
        elif character == ".":
            parts.append(_ANY)
        elif character == "$":
            parts.append(_END)
        elif character == "(" and pattern.startswith("(?", at):
            if not (match := _GROUP.match(pattern, at)):
                raise Untranslatable(pattern[at : at + 3])
            parts.append(match[0])
            at = match.end() - 1
        elif character in "*+?}" and pattern[at + 1 : at + 2] == "+":
            raise Untranslatable(pattern[at : at + 2])
        elif character == "{" and not re.match(r"\{[0-9]+(?:,[0-9]*)?\}", pattern[at:]):
            return None
        else:
            parts.append(character)
        at += 1
    if max(pattern, default="") > "\uffff":
        raise Untranslatable("a character beyond U+FFFF")
    try:
        return re.compile("".join(parts), re.ASCII)
    except (re.error, OverflowError, RecursionError):
        return None


@udf(name="ksql_regexp_replace")
def regexp_replace(text: str, pattern: str, replacement: str) -> str | None:
    r"""The text with all matches replaced.

    In the replacement, ``$1`` is a group, and a backslash escapes a character.
    """
    compiled = translated(pattern)
    if compiled is None:
        return None
    pieces = _pieces(replacement, compiled.groups)
    if compiled.search(text) is None:
        return text
    if pieces is None:
        return None
    return compiled.sub(
        lambda match: "".join(piece if isinstance(piece, str) else match[piece] or "" for piece in pieces), text
    )


@lru_cache(maxsize=200)
def _pieces(replacement: str, groups: int) -> tuple[str | int, ...] | None:
    """Texts and numbers of groups; None if Java refuses the replacement."""
    pieces: list[str | int] = []
    at = 0
    while at < len(replacement):
        character = replacement[at]
        at += 1
        if character == "\\":
            if at == len(replacement):
                return None
            pieces.append(replacement[at])
            at += 1
        elif character == "$":
            digits = re.compile("[0-9]").match(replacement, at)
            if digits is None or int(digits[0]) > groups:
                return None
            number = int(digits[0])
            at += 1
            while (more := re.compile("[0-9]").match(replacement, at)) and number * 10 + int(more[0]) <= groups:
                number = number * 10 + int(more[0])
                at += 1
            pieces.append(number)
        else:
            pieces.append(character)
    return tuple(pieces)


@udf(name="ksql_regexp_split_to_array")
def regexp_split_to_array(text: str, pattern: str) -> list[str] | None:
    """The parts between matches. Java ignores an empty match at the start or the end."""
    compiled = translated(pattern)
    if compiled is None:
        return None
    parts, start = [], 0
    for match in compiled.finditer(text):
        if match.start() == match.end() and match.start() in (0, len(text)):
            continue
        parts.append(text[start : match.start()])
        start = match.end()
    return [*parts, text[start:]]


@udf(name="ksql_regexp_extract")
def regexp_extract(pattern: str, text: str, group: int) -> str | None:
    """The text of a group (0: the whole pattern) in the first match. NULL if there is no match or no such group."""
    compiled = translated(pattern)
    match = None if compiled is None or not 0 <= group <= compiled.groups else compiled.search(text)
    return None if match is None else match[group]


@udf(name="ksql_regexp_extract_all")
def regexp_extract_all(pattern: str, text: str, group: int) -> list[str | None] | None:
    """The texts of a group (0: the whole pattern) in all matches. NULL if there is no such group."""
    compiled = translated(pattern)
    if compiled is None or not 0 <= group <= compiled.groups:
        return None
    return [match[group] for match in compiled.finditer(text)]
