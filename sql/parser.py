"""Text → statements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokenizer_core import Token, TokenType

from sql.dialect import KsqlDB
from sql.dialect import expressions as node
from sql.dialect.reserved import RESERVED
from sql.errors import Place, SqlError, Stage
from sql.naming import is_source
from sql.quoting import checked_text
from sql.statements import Kind, Statement
from sql.types import name_of

_DIALECT = KsqlDB()


def parse_script(
    text: str, file: str, place: Callable[[int], Place] | None = None
) -> tuple[Statement, ...]:
    """The statements of a script.

    ``place`` maps an offset in ``text`` to a place in the user's file where the text was rendered
    from a template; without it the text is the file. Raises SqlError at the first syntax error.
    """
    locate = place or (lambda offset: _position(text, file, offset))
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
    for part in expression.walk():
        offset = part.meta.get("start")
        if offset is not None:
            return statement.locate(int(offset))
    return statement.place


def _position(text: str, file: str, offset: int) -> Place:
    before = text[:offset]
    return Place(file, before.count("\n") + 1, offset - before.rfind("\n"))


def _statement(
    text: str, tokens: list[Token], locate: Callable[[int], Place]
) -> Statement:
    body = tokens[:-1]
    start, end = body[0].start, tokens[-1].end + 1
    try:
        parsed: Any = _DIALECT.parser(error_level=sqlglot.ErrorLevel.IMMEDIATE).parse(body, text)
    except ParseError as error:
        detail = error.errors[0]
        offset = _offset_of(tokens, detail)
        raise _syntax_error(detail["description"], locate(offset)) from error
    except TokenError as error:
        raise _syntax_error(str(error), locate(start)) from error
    ast = parsed[0]
    for call in ast.find_all(exp.Anonymous):
        if isinstance(call.this, exp.Identifier):  # a function's name in quotes
            call.set("this", str(call.this.this))
    _check_names(ast, locate)
    return Statement(
        kind=_kind(ast),
        text=text[start:end],
        place=locate(start),
        ast=ast,
        name=_target(ast),
        reads=tuple(name_of(source.this) for source in ast.find_all(node.Source)),
        locate=locate,
    )


def _check_names(ast: exp.Expression, locate: Callable[[int], Place]) -> None:
    """Names must be names, and reserved words must be quoted where they are names (of columns, fields …)."""
    for name in ast.find_all(exp.Identifier):
        word = str(name.this)
        place = locate(int(name.meta.get("start", 0)))
        if not word:
            raise SqlError("name is empty", place, stage=Stage.PREPARE)
        if "\0" in word:
            raise SqlError("a name contains the character U+0000", place, stage=Stage.PREPARE)
        if isinstance(name.parent, _NAMED_SOURCES) and name.arg_key in ("this", "alias"):
            _check_source_name(name, place)
        if isinstance(ast, node.QueryControl):
            continue  # TERMINATE ALL
        if isinstance(name.parent, exp.Column) and isinstance(name.parent.parent, exp.Anonymous):
            continue  # DATEADD(DAYS, …): a unit, or an error that is found later
        if not name.args.get("quoted") and word.upper() in RESERVED:
            raise _syntax_error(
                f'"{word}" is a reserved keyword and it can\'t be used as an identifier. '
                f"You can use it as an identifier by escaping it as '{word}' ",
                place,
                f"write `{word.upper()}`",
            )


_NAMED_SOURCES = (
    node.CreateSource,
    node.AlterSource,
    node.DropSource,
    node.InsertSelect,
    node.InsertValues,
    node.Source,
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


def _syntax_error(message: str, place: Place, hint: str | None = None) -> SqlError:
    return SqlError(message, place, hint, stage=Stage.SYNTAX)


def _offset_of(tokens: list[Token], detail: dict[str, Any]) -> int:
    for token in tokens:
        if token.line == detail["line"] and token.col == detail["col"]:
            return int(token.start)
    return int(tokens[-1].start)


def _kind(ast: exp.Expression) -> Kind:
    match ast:
        case node.CreateSource():
            words = f"create {ast.args['kind'].lower()}"
            return Kind(f"{words} as select" if ast.args.get("query") else words)
        case node.AlterSource():
            return Kind.ALTER
        case node.DropSource():
            return Kind(f"drop {ast.args['kind'].lower()}")
        case node.QueryControl():
            return Kind(str(ast.args["action"]).lower())
        case node.SetProperty():
            return Kind.SET if ast.args.get("value") else Kind.UNSET
        case node.Define():
            return Kind.DEFINE if ast.args.get("value") else Kind.UNDEFINE
        case _:
            return _KINDS[type(ast)]


_KINDS: dict[type, Kind] = {
    node.InsertSelect: Kind.INSERT_SELECT,
    node.InsertValues: Kind.INSERT_VALUES,
    node.Query: Kind.SELECT,
    node.Show: Kind.SHOW,
    node.DescribeSource: Kind.DESCRIBE,
    node.Explain: Kind.EXPLAIN,
    node.Assert: Kind.ASSERT,
    node.Connector: Kind.CONNECTOR,
}


def _target(ast: exp.Expression) -> str | None:
    named = (
        node.CreateSource,
        node.AlterSource,
        node.DropSource,
        node.InsertSelect,
        node.InsertValues,
        node.QueryControl,
        node.DescribeSource,
    )
    return name_of(ast.this) if isinstance(ast, named) else None
