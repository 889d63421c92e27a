"""Variables: ``DEFINE name = 'value'``, ``UNDEFINE name``, and ``${name}`` in later statements.

The same code serves requests to the embedded server and files of migrations. Observed on 7.9.1
(tests/embedded/replies/variables.yml): Names ignore case. A variable stands for a name, a literal, or a part of a
quoted text. It never stands for more than that, or for a number in a window's clause. ``$${name}`` produces
the text ``${name}``. Nothing is replaced in comments.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from opensea_metrics.core.errors import Place, SqlError, Stage
from opensea_metrics.core.places import Located
from opensea_metrics.sql.language.dialect.lexical import COMMENT, QUOTED_OR_COMMENT
from opensea_metrics.sql.language.statements.parser import parse_script
from opensea_metrics.sql.language.statements.statements import Kind

_VARIABLE = re.compile(r"(\$?)\$\{([A-Za-z_][A-Za-z0-9_@]*+)\}")
_TOKEN = re.compile(rf"(?P<part>{QUOTED_OR_COMMENT})|(?P<variable>{_VARIABLE.pattern})|\w+|\S", re.DOTALL)
_END = re.compile(rf"(?:{QUOTED_OR_COMMENT})|(?P<end>;)", re.DOTALL)
_DEFINITION = re.compile(rf"(?>\s+|{COMMENT})*+(?:UN)?DEFINE\b", re.DOTALL | re.IGNORECASE)
_NAME = re.compile(r"([`\"]?)[A-Za-z_][A-Za-z0-9_@]*\1")
_LITERAL = re.compile(
    r"\s*(?:[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|'(?:[^']|'')*'|true|false|null)\s*",
    re.IGNORECASE,
)
_BEFORE_NAMES = {"STREAM", "TABLE", "FROM", "JOIN", "INTO", "EXISTS", "AS", "TERMINATE", "PAUSE", "RESUME"}
CHARACTERS = 1 << 20
"""The characters that variables may add to a file or request. So values that double cannot fill the memory."""
_BEFORE_DURATIONS = {"SIZE", "BY", "RETENTION", "PERIOD", "WITHIN", "TIMEOUT", "LIMIT"}


class Variables(Mapping[str, str]):
    """Values by name. Names ignore case; a name is listed as it was first written.

    ``room`` is the number of characters that the variables may still add to their file or request.
    """

    def __init__(self, given: Mapping[str, str]) -> None:
        self._known: dict[str, tuple[str, str]] = {}
        self.room = CHARACTERS
        for name, value in given.items():
            self.define(name, value)

    def define(self, name: str, value: str) -> None:
        """Set the value of a variable."""
        written, _ = self._known.get(name.lower(), (name, ""))
        self._known[name.lower()] = written, value

    def undefine(self, name: str) -> bool:
        """Delete a variable. Returns False if there is no variable with this name."""
        return self._known.pop(name.lower(), None) is not None

    def __getitem__(self, name: str) -> str:
        return self._known[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (written for written, _ in self._known.values())

    def __len__(self) -> int:
        return len(self._known)


@dataclass(frozen=True)
class Piece:
    """One statement of a text with its semicolon, and the offset where it starts."""

    text: str
    start: int


def pieces(text: str) -> Iterator[Piece]:
    """The statements of a text, and the remaining text after the last semicolon."""
    start = 0
    for match in _END.finditer(text):
        if match["end"]:
            yield Piece(text[start : match.end()], start)
            start = match.end()
    if text[start:].strip():
        yield Piece(text[start:], start)


@dataclass(frozen=True)
class Filled:
    """A text with its variables replaced by values. ``runs`` are its parts in order. Each has the offset where it
    begins, the offset where it was written, and whether it is a variable's value."""

    text: str
    runs: tuple[tuple[int, int, bool], ...] = ((0, 0, False),)

    def origin(self, offset: int) -> int:
        """The offset in the original text for an offset in ``text``."""
        index = bisect.bisect_right(self.runs, offset, key=lambda run: run[0]) - 1
        begins, written, is_variable = self.runs[index]
        return written if is_variable else written + offset - begins


def filled(
    text: str, variables: Variables, place: Callable[[int], Place], strict: bool = False
) -> Filled:
    """A statement with its variables replaced by values. A name without a value stays as it is, or is refused if
    ``strict``.

    Raises SqlError if a value is more than a name or literal, if a variable stands in a duration, or if a value is
    longer than ``variables.room``. Each value reduces that number.
    """
    if "${" not in text:
        return Filled(text)
    written: list[str] = []
    runs: list[tuple[int, int, bool]] = [(0, 0, False)]
    length = end = 0

    def put(value: str, match: re.Match[str], offset: int) -> None:
        """Append the text before a variable, and the variable's value."""
        nonlocal length, end
        variables.room -= len(value)
        if variables.room < 0:
            raise SqlError(
                f"variables add more than {CHARACTERS:,} characters",
                place(offset + match.start()),
                "give the variables shorter values, or use them less often",
                stage=Stage.SYNTAX,
            )
        before = text[end : offset + match.start()]
        written.extend((before, value))
        end = offset + match.end()
        runs.append((length + len(before), offset + match.start(), True))
        length += len(before) + len(value)
        runs.append((length, end, False))

    def value_of(match: re.Match[str], offset: int) -> str | None:
        value = variables.get(match[2])
        if value is None and strict:
            hint = "DEFINE it above, or pass --var NAME=VALUE"
            raise SqlError(f"${{{match[2]}}} is not defined", place(offset + match.start()), hint)
        return value

    last = ""
    for token in _TOKEN.finditer(text):
        part = token["part"]
        if part and part.startswith(("--", "/*")):
            continue
        for match in _VARIABLE.finditer(token[0]) if part or token["variable"] else ():
            if match[1]:
                put(match[0][1:], match, token.start())
            elif (value := value_of(match, token.start())) is not None:
                if part:
                    value = value.replace(part[0], 2 * part[0])
                else:
                    _check(value, last, place(token.start()), in_file=strict)
                put(value, match, token.start())
        last = token[0].upper()
    return Filled("".join((*written, text[end:])), tuple(runs))


def resolved(source: Located, given: Mapping[str, str]) -> Located:
    """The text of a migration with its variables replaced by values, and without DEFINE and UNDEFINE statements.

    ``given`` are variables that are defined beforehand. Raises SqlError for a malformed definition, and for a
    ``${name}`` that is not defined at its place, because ksqlDB would leave it in the text.
    """
    text = source.text
    if "${" not in text and not re.search("DEFINE", text, re.IGNORECASE):
        return source
    variables = Variables(given)
    written: list[str] = []
    parts: list[tuple[int, int, Filled]] = []  # the offset in the result, the offset in the source, the text
    length = 0
    for piece in pieces(text):

        def place(offset: int, start: int = piece.start) -> Place:
            return source.place(start + offset)

        part = filled(piece.text, variables, place, strict=True)
        if _DEFINITION.match(part.text):
            _define(part, place, variables)
            continue
        parts.append((length, piece.start, part))
        written.append(part.text)
        length += len(part.text)

    def origin(offset: int) -> Place:
        index = bisect.bisect_right(parts, offset, key=lambda entry: entry[0]) - 1
        if index < 0:
            return source.place(0)
        begins, start, part = parts[index]
        return source.place(start + part.origin(offset - begins))

    return Located("".join(written), origin)


def _define(part: Filled, place: Callable[[int], Place], variables: Variables) -> None:
    at_origin: Callable[[int], Place] = lambda offset: place(part.origin(offset))  # noqa: E731
    for statement in parse_script(part.text, "", at_origin):
        name = str(statement.ast.this.this)
        if statement.kind is Kind.DEFINE:
            variables.define(name, str(statement.ast.args["value"].this))
        else:
            variables.undefine(name)


def _check(value: str, before: str, place: Place, *, in_file: bool) -> None:
    """Refuse a value that is more than a name or literal."""
    if before in _BEFORE_DURATIONS:
        raise SqlError("", place, "a variable is not allowed here", stage=Stage.SYNTAX)
    is_name = before in _BEFORE_NAMES
    if _NAME.fullmatch(value) or (not is_name and _LITERAL.fullmatch(value)):
        return
    rule = (
        "Identifier names cannot start with '@' and may only contain alphanumeric values and '_'. "
        if is_name
        else ""
    )
    raise SqlError(
        f"Illegal argument at Line: {place.line}, Col: {place.column}. {rule}Got: '{value}'",
        place if in_file else None,  # in a server's reply, only the message has the place
    )
