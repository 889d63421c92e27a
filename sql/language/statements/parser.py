"""Turns text into statements."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokenizer_core import Token, TokenType

from opensea_metrics.core.errors import Place, SqlError, SqlErrors
from opensea_metrics.core.places import Lines
from opensea_metrics.core.quoting import checked_text
from opensea_metrics.sql.language.dialect import KsqlDB
from opensea_metrics.sql.language.dialect.grammar import (
    BRACKETS,
    CHAINED,
    OPERATIONS,
    RECURSION,
    first_foreign,
    first_too_deep,
    too_deep,
    too_long,
)
from opensea_metrics.sql.language.dialect.lexical import (
    first_suspect,
    first_unclosed,
    next_statement,
)
from opensea_metrics.sql.language.dialect.parser import FIRST_WORDS
from opensea_metrics.sql.language.dialect.rewriting import nodes
from opensea_metrics.sql.language.statements.checks import check, place_of, syntax_error
from opensea_metrics.sql.language.statements.statements import Statement

_DIALECT = KsqlDB()
_DEFINING = re.compile(
    r"CREATE\s+(?:OR\s+REPLACE\s+)?(?:SOURCE\s+)?\w+\s+(?:IF\s+NOT\s+EXISTS\s+)?(\w+|`[^`]+`|\"[^\"]+\")",
    re.IGNORECASE,
)
_TRIES = 20
"""How many missing semicolons in a row the parser searches for."""
_SEARCHED = 5_000
"""In how many tokens the parser searches for a missing semicolon. The search parses these tokens again."""
sys.setrecursionlimit(max(sys.getrecursionlimit(), RECURSION))


@dataclass
class ScriptReading:
    """The statements of a script that can be read, and the errors of the others.

    ``broken`` are the names that statements with errors would define, upper-cased.
    """

    statements: list[Statement] = field(default_factory=list)
    errors: list[SqlError] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)


def parse_script(
    text: str, file: str, place: Callable[[int], Place] | None = None, all_errors: bool = False
) -> tuple[Statement, ...]:
    """The statements of a script.

    If ``text`` was rendered from a template, ``place`` maps its offsets to places in the user's file. Without
    ``place``, the text is the file. Raises SqlError at the first syntax error, and for a statement that is
    nested too deeply (:mod:`sql.language.dialect.grammar`). With ``all_errors`` it raises SqlErrors with the errors of
    all statements.
    """
    reading = read_script(text, place or Lines(text, file).place, all_errors)
    if reading.errors:
        raise reading.errors[0] if len(reading.errors) == 1 else SqlErrors(reading.errors)
    return tuple(reading.statements)


def read_script(text: str, locate: Callable[[int], Place], all_errors: bool = True) -> ScriptReading:
    """Read a script to its end, or up to its first error without ``all_errors``. ``locate`` maps offsets to places."""
    reading = ScriptReading()
    _read(text, locate, reading, all_errors)
    return reading


def _read(text: str, locate: Callable[[int], Place], reading: ScriptReading, all_errors: bool) -> None:
    if (unclosed := first_unclosed(text)) is not None:
        start, end = unclosed
        suspect = first_suspect(text, end, FIRST_WORDS) if len(end) == 1 else None
        start = start if suspect is None else suspect
        error = syntax_error(f"{text[start : start + 2]!r} is never closed by {end!r}", locate(start))
        resumed = next_statement(text, start, FIRST_WORDS) if suspect is not None else None
        if all_errors:
            _read_statements(text[:start], locate, reading, all_errors, is_cut=True)
        reading.errors.append(error)
        if all_errors and resumed is not None:
            _read(text[resumed:], lambda offset: locate(resumed + offset), reading, all_errors)
        return
    try:
        checked_text(text)
    except SqlError as error:
        half = next(at for at, character in enumerate(text) if 0xD800 <= ord(character) <= 0xDFFF)
        reading.errors.append(syntax_error(error.message, locate(half)))
        return
    _read_statements(text, locate, reading, all_errors)


def _read_statements(
    text: str, locate: Callable[[int], Place], reading: ScriptReading, all_errors: bool, is_cut: bool = False
) -> None:
    """Read the statements of a text whose quotes are closed. With ``is_cut`` the last statement is not whole."""
    try:
        tokens = _DIALECT.tokenize(text)
    except TokenError as error:
        reading.errors.append(syntax_error(str(error), locate(error.start or 0)))
        return
    chunk: list[Token] = []
    for token in tokens:
        chunk.append(token)
        if token.token_type == TokenType.SEMICOLON:
            if len(chunk) > 1:
                _read_chunk(text, chunk, locate, reading)
            chunk = []
            if reading.errors and not all_errors:
                return
    if chunk and is_cut:
        reading.broken |= _defined(text, chunk)
    elif chunk:
        reading.errors.append(syntax_error("missing ';' at '<EOF>'", locate(chunk[-1].end + 1)))
        reading.broken |= _defined(text, chunk)


def _read_chunk(
    text: str, tokens: list[Token], locate: Callable[[int], Place], reading: ScriptReading, tries: int = _TRIES
) -> None:
    """Read the tokens up to a semicolon: one statement, or more if semicolons are missing between them."""
    try:
        reading.statements.append(_statement(text, tokens, locate))
        return
    except SqlError as raised:
        error = raised
    beginnings = (at for at in range(1, min(len(tokens) - 1, _SEARCHED)) if _begins_statement(text, tokens, at))
    for at in islice(beginnings, tries):
        try:
            first = _statement(text, [*tokens[:at], tokens[-1]], locate, end=tokens[at - 1].end + 1)
        except SqlError:
            continue
        reading.errors.append(syntax_error("missing ';'", locate(tokens[at - 1].end + 1)))
        reading.statements.append(first)
        _read_chunk(text, tokens[at:], locate, reading, tries - 1)
        return
    reading.errors.append(error)
    reading.broken |= _defined(text, tokens)


def _begins_statement(text: str, tokens: list[Token], at: int) -> bool:
    """Whether a token is the first of its line, and a word with which statements begin."""
    is_first = "\n" in text[tokens[at - 1].end + 1 : tokens[at].start]
    return is_first and tokens[at].text.upper() in FIRST_WORDS


def _defined(text: str, tokens: list[Token]) -> set[str]:
    """The name that a CREATE with an error would define."""
    match = _DEFINING.match(text, tokens[0].start)
    if match is None:
        return set()
    name = match[1]
    return {name[1:-1] if name[0] in "`\"" else name.upper()}


def parse_statement(text: str) -> Statement:
    """The only statement of ``text``. Raises SqlError if there is none, or more than one."""
    statements = parse_script(text, "<statement>")
    if len(statements) != 1:
        raise SqlError(f"write one statement, not {len(statements)}")
    return statements[0]


def where(statement: Statement, expression: exp.Expression) -> Place:
    """The place of the first part of an expression that has a position, or the statement's place."""
    return place_of(expression, statement.locate, statement.place)


def _statement(
    text: str, tokens: list[Token], locate: Callable[[int], Place], end: int | None = None
) -> Statement:
    """The statement of tokens up to a semicolon. ``end`` is the end of its text, if the semicolon is missing there."""
    body = tokens[:-1]
    start = body[0].start
    if (bracket := first_too_deep(body)) is not None:
        raise _too_deep(f"more than {BRACKETS} brackets and CASEs", locate(bracket.start))
    parser = _DIALECT.parser(error_level=sqlglot.ErrorLevel.IMMEDIATE)
    try:
        parsed: Any = parser.parse(body, text)
    except ParseError as error:
        detail = error.errors[0]
        description = str(detail["description"])
        if description.startswith("Required keyword"):  # sqlglot's parser names one of its own classes
            description = "an operator has no operand"
        elif description.startswith("Invalid expression"):
            description = f"'{detail['highlight']}' does not belong here"
        place = locate(_offset_of(tokens, detail))
        # ksqlDB's sentence names a line, which the parser counts within its own text.
        description = re.sub(r" at line \d+:\d+\Z", f" at line {place.line}:{place.column}", description)
        raise syntax_error(description, place) from error
    except RecursionError:  # nested without brackets, such as NOT NOT NOT …
        raise _too_deep(f"more than {OPERATIONS} operations", locate(parser._curr.start)) from None
    except TokenError as error:
        raise syntax_error(str(error), locate(start)) from error
    if not parsed:  # the text begins with a word that ends a block, such as ELSE
        raise syntax_error(f"Unknown statement '{body[0].text}'", locate(start))
    ast, place = parsed[0], locate(start)
    parts = nodes(ast)
    if (operation := too_long(parts)) is not None:
        raise SqlError(
            f"Statement is too large to parse: more than {CHAINED} operators in a row",
            place_of(operation, locate, place),
            "write IN (…) instead of many comparisons, or compute a part in another stream",
        )
    if (operation := too_deep(parts)) is not None:
        raise _too_deep(f"more than {OPERATIONS} operations", place_of(operation, locate, place))
    if (foreign := first_foreign(parts)) is not None:
        message = f"ksqlDB does not have this expression: {foreign.sql()[:60]}"
        raise syntax_error(message, place_of(foreign, locate, place))
    check(ast, parts, locate, place)
    written = text[start : tokens[-1].end + 1] if end is None else f"{text[start:end]};"
    return Statement(text=written, place=place, ast=ast, locate=locate)


def _too_deep(excess: str, place: Place) -> SqlError:
    return SqlError(
        f"Statement is too large to parse: {excess} inside each other",
        place,
        "compute the inner part in another stream",
    )


def _offset_of(tokens: list[Token], detail: dict[str, Any]) -> int:
    for token in tokens:
        if token.line == detail["line"] and token.col == detail["col"]:
            return int(token.start)
    return int(tokens[-1].start)
