"""Text → statements."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeGuard

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokenizer_core import Token, TokenType

from opensea_metrics.core.errors import Place, SqlError, Stage
from opensea_metrics.core.places import Lines
from opensea_metrics.core.quoting import checked_text
from opensea_metrics.sql.language.dialect import KsqlDB
from opensea_metrics.sql.language.dialect import expressions as node
from opensea_metrics.sql.language.dialect.grammar import first_foreign
from opensea_metrics.sql.language.dialect.lexical import first_unclosed
from opensea_metrics.sql.language.dialect.naming import is_source
from opensea_metrics.sql.language.dialect.nesting import (
    BRACKETS,
    CHAINED,
    OPERATIONS,
    RECURSION,
    first_too_deep,
    too_deep,
    too_long,
)
from opensea_metrics.sql.language.dialect.reserved import RESERVED, UNITS
from opensea_metrics.sql.language.statements.statements import Statement

_DIALECT = KsqlDB()
sys.setrecursionlimit(max(sys.getrecursionlimit(), RECURSION))


def parse_script(
    text: str, file: str, place: Callable[[int], Place] | None = None
) -> tuple[Statement, ...]:
    """The statements of a script.

    ``place`` maps an offset in ``text`` to a place in the user's file where the text was rendered
    from a template; without it the text is the file. Raises SqlError at the first syntax error, and for
    a statement that is nested too deeply (:mod:`sql.language.dialect.nesting`).
    """
    locate = place or Lines(text, file).place
    if (unclosed := first_unclosed(text)) is not None:
        start, end = unclosed
        raise _syntax_error(f"{text[start : start + 2]!r} is never closed by {end!r}", locate(start))
    try:
        checked_text(text)
    except SqlError as error:
        half = next(at for at, character in enumerate(text) if 0xD800 <= ord(character) <= 0xDFFF)
        raise _syntax_error(error.message, locate(half)) from None
    try:
        tokens = _DIALECT.tokenize(text)
    except TokenError as error:
        raise _syntax_error(str(error), locate(error.start or 0)) from error
    statements = []
    chunk: list[Token] = []
    for token in tokens:
        if token.token_type != TokenType.SEMICOLON:
            chunk.append(token)
        elif chunk:
            statements.append(_statement(text, [*chunk, token], locate))
            chunk = []
    if chunk:
        raise _syntax_error("missing ';' at '<EOF>'", locate(chunk[-1].end + 1))
    return tuple(statements)


def parse_statement(text: str) -> Statement:
    """The one statement of ``text``. Raises SqlError if there is none, or more than one."""
    statements = parse_script(text, "<statement>")
    if len(statements) != 1:
        raise SqlError(f"one statement is expected, not {len(statements)}")
    return statements[0]


def where(statement: Statement, expression: exp.Expression) -> Place:
    """The place of an expression (of its first part that has a position), else of the statement."""
    return _place_of(expression, statement.locate, statement.place)


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
        offset = _offset_of(tokens, detail)
        raise _syntax_error(detail["description"], locate(offset)) from error
    except RecursionError:  # what is not in brackets, such as NOT NOT NOT …
        raise _too_deep(f"more than {OPERATIONS} operations", locate(parser._curr.start)) from None
    except TokenError as error:
        raise _syntax_error(str(error), locate(start)) from error
    if not parsed:  # it begins with a word that ends a block, such as ELSE
        raise _syntax_error(f"Unknown statement '{body[0].text}'", locate(start))
    ast, place = parsed[0], locate(start)
    if (operation := too_long(ast)) is not None:
        raise SqlError(
            f"Statement is too large to parse: more than {CHAINED} operators in a row",
            _place_of(operation, locate, place),
            "write IN (…) in place of many comparisons, or compute a part in a stream of its own",
        )
    if (operation := too_deep(ast)) is not None:
        raise _too_deep(f"more than {OPERATIONS} operations", _place_of(operation, locate, place))
    if (foreign := first_foreign(ast)) is not None:
        message = f"ksqlDB has no such expression: {foreign.sql()[:60]}"
        raise _syntax_error(message, _place_of(foreign, locate, place))
    for call in ast.find_all(exp.Anonymous):
        if isinstance(call.this, exp.Identifier):  # a function's name in quotes
            call.set("this", str(call.this.this))
        elif call.name.upper() in RESERVED:
            raise _reserved(call.name, _place_of(call, locate, place))
    _check_names(ast, locate)
    _check_lists(ast, locate, place)
    return Statement(text=text[start:end], place=place, ast=ast, locate=locate)


def _check_lists(ast: exp.Expression, locate: Callable[[int], Place], place: Place) -> None:
    """Refuses what ksqlDB's grammar has and its next step refuses: empty lists, and a property twice."""

    def refused(message: str, at: Place, hint: str | None = None) -> SqlError:
        return SqlError(message, at, hint, stage=Stage.PREPARE)

    for empty in ast.find_all(exp.Tuple):
        clause = str(empty.arg_key).upper()
        raise refused(f"{clause} BY requires at least one expression", _place_of(empty, locate, place))
    for insert in ast.find_all(node.InsertValues):
        if not insert.expressions:
            raise refused("Expected some values for INSERT INTO statement.", place)
    known: set[str] = set()
    for item in ast.find_all(node.Property):
        name = str(item.this.this).upper()
        if name in known:
            at = _place_of(item, locate, place)
            raise refused(f"Duplicate key {name}", at, "give each property in WITH once")
        known.add(name)


def _place_of(expression: exp.Expr, locate: Callable[[int], Place], default: Place) -> Place:
    """The place of the first part of an expression that has a position, else the default."""
    starts = (part.meta.get("start") for part in expression.walk())
    return next((locate(int(start)) for start in starts if start is not None), default)


def _check_names(ast: exp.Expression, locate: Callable[[int], Place]) -> None:
    """Names must be names, and reserved words must be quoted where they are names (of columns, fields …).

    A unit of time as an argument becomes an ``exp.Var``.
    """
    for name in list(ast.find_all(exp.Identifier)):
        word = str(name.this)
        column = name.parent
        start = int(name.meta.get("start", 0))
        if not word:
            raise SqlError("name is empty", locate(start), stage=Stage.PREPARE)
        if "\0" in word:
            raise SqlError("a name contains the character U+0000", locate(start), stage=Stage.PREPARE)
        if isinstance(name.parent, _NAMED_SOURCES) and name.arg_key in ("this", "alias"):
            _check_source_name(name, locate(start))
        if isinstance(ast, node.QueryControl):
            continue  # TERMINATE ALL
        if word.upper() in UNITS and _is_argument(column) and not name.args.get("quoted"):
            column.replace(exp.Var(this=word.upper()))
        elif not name.args.get("quoted") and word.upper() in RESERVED:
            raise _reserved(word, locate(start))


_NAMED_SOURCES = (
    node.CreateSource,
    node.AlterSource,
    node.DropSource,
    node.InsertSelect,
    node.InsertValues,
    node.SourceReference,
    node.DescribeSource,
)


def _check_source_name(name: exp.Identifier, place: Place) -> None:
    """Raises SqlError for a name that ksqlDB takes for no stream or table, and for no alias of one."""
    if isinstance(name.parent, node.DescribeSource) and name.parent.args.get("function"):
        return
    if not is_source(str(name.this)):
        raise SqlError(
            f"Illegal argument at Line: {place.line}, Col: {place.column}. Source names may only contain"
            f" alphanumeric values, '_' or '-'. Got: '{name.this}'",
            place,
            located=True,
        )


def _is_argument(node: exp.Expr | None) -> TypeGuard[exp.Column]:
    """Whether it is a column without a source as the argument of a function."""
    return (
        isinstance(node, exp.Column)
        and not node.args.get("table")
        and isinstance(node.parent, exp.Anonymous)
    )


def _reserved(word: str, place: Place) -> SqlError:
    return _syntax_error(
        f'"{word}" is a reserved keyword and it can\'t be used as an identifier. '
        f"You can use it as an identifier by escaping it as '{word}' ",
        place,
        f"write `{word.upper()}`",
    )


def _syntax_error(message: str, place: Place, hint: str | None = None) -> SqlError:
    return SqlError(message, place, hint, stage=Stage.SYNTAX)


def _too_deep(what: str, place: Place) -> SqlError:
    return SqlError(
        f"Statement is too large to parse: {what} inside each other",
        place,
        "compute the inner part in a stream of its own",
    )


def _offset_of(tokens: list[Token], detail: dict[str, Any]) -> int:
    for token in tokens:
        if token.line == detail["line"] and token.col == detail["col"]:
            return int(token.start)
    return int(tokens[-1].start)
