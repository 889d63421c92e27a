"""Variables of a request: ``DEFINE name = 'value'``, ``UNDEFINE name``, and ``${name}`` in what follows.

As on ksqlDB (tests/embedded/replies/variables.yml) a variable stands for a name, for a literal, or for
a part of a quoted text; never for more than that, and not for a number in a window's clause. One
that is not defined is left as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sql.errors import Place, SqlError, Stage

_TOKEN = re.compile(
    r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|`[^`]*`|\"[^\"]*\"|\$\{\w+\}|;|\w+|.", re.DOTALL
)
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_NAME = re.compile(r"[A-Za-z_]\w*|`[^`]+`")
_LITERAL = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?|'(?:[^']|'')*'|true|false|null", re.I)
_BEFORE_NAMES = {"STREAM", "TABLE", "FROM", "JOIN", "INTO", "EXISTS", "AS", "TERMINATE", "PAUSE", "RESUME"}
_BEFORE_DURATIONS = {"SIZE", "BY", "RETENTION", "PERIOD", "WITHIN", "TIMEOUT", "LIMIT"}


@dataclass(frozen=True)
class Piece:
    """One statement of a request: its text, and the offset at which it starts."""

    text: str
    start: int


def pieces(text: str) -> Iterator[Piece]:
    """The statements of a request, each with its semicolon; what is left at the end without one too."""
    start = 0
    for token in _TOKEN.finditer(text):
        if token[0] == ";":
            yield Piece(text[start : token.end()], start)
            start = token.end()
    if text[start:].strip():
        yield Piece(text[start:], start)


def filled(piece: Piece, variables: Mapping[str, str], request: str) -> str:
    """A statement with its variables put in.

    Raises SqlError where a variable's value is more than a name or literal, or stands in a duration.
    """
    if "${" not in piece.text:
        return piece.text
    written = []
    before = ""
    for token in _TOKEN.finditer(piece.text):
        part = token[0]
        if part[0] in "'`\"":
            part = _VARIABLE.sub(lambda found: _inside(found, variables), part)
        elif found := _VARIABLE.fullmatch(part):
            place = _place(request, piece.start + token.start())
            if before in _BEFORE_DURATIONS:
                raise SqlError("", place, "a variable cannot stand here", stage=Stage.SYNTAX)
            part = _alone(part, variables.get(found[1]), before in _BEFORE_NAMES, place)
        if part.strip() and not part.startswith(("--", "/*")):
            before = part.upper()
        written.append(part)
    return "".join(written)


def _inside(found: re.Match[str], variables: Mapping[str, str]) -> str:
    value = variables.get(found[1])
    return found[0] if value is None else value.replace("'", "''")


def _alone(written: str, value: str | None, is_name: bool, place: Place) -> str:
    if value is None:
        return written
    if _NAME.fullmatch(value) or (not is_name and _LITERAL.fullmatch(value)):
        return value
    rule = (
        "Identifier names cannot start with '@' and may only contain alphanumeric values and '_'. "
        if is_name
        else ""
    )
    raise SqlError(
        f"Illegal argument at Line: {place.line}, Col: {place.column}. {rule}Got: '{value}'"
    )


def _place(text: str, offset: int) -> Place:
    before = text[:offset]
    return Place("statement", before.count("\n") + 1, offset - before.rfind("\n"))
