"""Turns text into statements."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokenizer_core import Token, TokenType

from opensea_metrics.core.errors import Place, SqlError, SqlErrors
from opensea_metrics.core.places import Lines
from opensea_metrics.core.quoting import checked_text
from opensea_metrics.sql.language.dialect import KsqlDB
from opensea_metrics.sql.language.dialect.grammar import first_foreign
from opensea_metrics.sql.language.dialect.lexical import first_unclosed
from opensea_metrics.sql.language.dialect.nesting import (
    BRACKETS,
    CHAINED,
    OPERATIONS,
    RECURSION,
    first_too_deep,
    too_deep,
    too_long,
)
from opensea_metrics.sql.language.statements.checks import check, place_of, syntax_error
from opensea_metrics.sql.language.statements.statements import Statement

_DIALECT = KsqlDB()
sys.setrecursionlimit(max(sys.getrecursionlimit(), RECURSION))


def parse_script(
    text: str, file: str, place: Callable[[int], Place] | None = None, all_errors: bool = False
) -> tuple[Statement, ...]:
    """The statements of a script.

    If ``text`` was rendered from a template, ``place`` maps its offsets to places in the user's file. Without
    ``place``, the text is the file. Raises SqlError at the first syntax error, and for a statement that is
    nested too deeply (:mod:`sql.language.dialect.nesting`). With ``all_errors`` it raises SqlErrors with the errors of
    all statements.
    """
    locate = place or Lines(text, file).place
    if (unclosed := first_unclosed(text)) is not None:
        start, end = unclosed
        raise syntax_error(f"{text[start : start + 2]!r} is never closed by {end!r}", locate(start))
    try:
        checked_text(text)
    except SqlError as error:
        half = next(at for at, character in enumerate(text) if 0xD800 <= ord(character) <= 0xDFFF)
        raise syntax_error(error.message, locate(half)) from None
    try:
        tokens = _DIALECT.tokenize(text)
    except TokenError as error:
        raise syntax_error(str(error), locate(error.start or 0)) from error
    statements = []
    errors: list[SqlError] = []
    chunk: list[Token] = []
    for token in tokens:
        if token.token_type != TokenType.SEMICOLON:
            chunk.append(token)
        elif chunk:
            try:
                statements.append(_statement(text, [*chunk, token], locate))
            except SqlError as error:
                if not all_errors:
                    raise
                errors.append(error)
            chunk = []
    if chunk:
        errors.append(syntax_error("missing ';' at '<EOF>'", locate(chunk[-1].end + 1)))
    if errors:
        raise errors[0] if len(errors) == 1 else SqlErrors(errors)
    return tuple(statements)


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
    text: str, tokens: list[Token], locate: Callable[[int], Place]
) -> Statement:
    body = tokens[:-1]
    start, end = body[0].start, tokens[-1].end + 1
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
        raise syntax_error(description, locate(_offset_of(tokens, detail))) from error
    except RecursionError:  # nested without brackets, such as NOT NOT NOT …
        raise _too_deep(f"more than {OPERATIONS} operations", locate(parser._curr.start)) from None
    except TokenError as error:
        raise syntax_error(str(error), locate(start)) from error
    if not parsed:  # the text begins with a word that ends a block, such as ELSE
        raise syntax_error(f"Unknown statement '{body[0].text}'", locate(start))
    ast, place = parsed[0], locate(start)
    parts = tuple(ast.walk())  # outer nodes first
    if (operation := too_long(parts)) is not None:
        raise SqlError(
            f"Statement is too large to parse: more than {CHAINED} operators in a row",
            place_of(operation, locate, place),
            "write IN (…) instead of many comparisons, or compute a part in another stream",
        )
    if (operation := too_deep(ast)) is not None:
        raise _too_deep(f"more than {OPERATIONS} operations", place_of(operation, locate, place))
    if (foreign := first_foreign(parts)) is not None:
        message = f"ksqlDB does not have this expression: {foreign.sql()[:60]}"
        raise syntax_error(message, place_of(foreign, locate, place))
    check(ast, parts, locate, place)
    return Statement(text=text[start:end], place=place, ast=ast, locate=locate)


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
