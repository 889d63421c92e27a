"""Checks after parsing: names, reserved words, empty lists and repeated properties.

``parts`` are all nodes of a statement's AST, outer ones first. ``locate`` maps offsets to places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeGuard

from sqlglot import exp

from opensea_metrics.core.errors import Place, SqlError, Stage
from opensea_metrics.sql.language.dialect import expressions as node
from opensea_metrics.sql.language.dialect.naming import RESERVED, UNITS, is_source

_NAMED_SOURCES = (
    node.CreateSource,
    node.AlterSource,
    node.DropSource,
    node.InsertSelect,
    node.InsertValues,
    node.SourceReference,
    node.DescribeSource,
)


def check(ast: exp.Expression, parts: Sequence[exp.Expr], locate: Callable[[int], Place], place: Place) -> None:
    """Raise SqlError for errors that ksqlDB reports after parsing. ``place`` is the statement's place.

    Changes the AST: a function's name loses its quotes, a key of a MAP becomes a column, and a unit of time as an
    argument becomes an ``exp.Var``.
    """
    _check_functions(parts, locate, place)
    _check_names(ast, parts, locate)
    _check_lists(parts, locate, place)


def _check_functions(parts: Iterable[exp.Expr], locate: Callable[[int], Place], place: Place) -> None:
    """Raise SqlError for reserved words as function names, and remove the quotes of other function names."""
    for call in parts:
        if not isinstance(call, exp.Anonymous):
            continue
        if call.name.upper() == "MAP":
            _read_keys(call)
        if isinstance(call.this, exp.Identifier):
            call.set("this", str(call.this.this))
        elif call.name.upper() in RESERVED:
            raise _reserved(call.name, place_of(call, locate, place))


def _read_keys(call: exp.Anonymous) -> None:
    """Read the keys of ``MAP(key := value)`` as expressions. sqlglot reads a column's name there as a field's name."""
    for entry in call.expressions:
        if isinstance(entry, exp.PropertyEQ) and isinstance(entry.this, exp.Identifier):
            entry.set("this", exp.Column(this=entry.this))


def _check_lists(parts: Sequence[exp.Expr], locate: Callable[[int], Place], place: Place) -> None:
    """Raise SqlError for empty lists and repeated properties, which ksqlDB refuses after parsing."""

    def refused(message: str, at: Place, hint: str | None = None) -> SqlError:
        return SqlError(message, at, hint, stage=Stage.PREPARE)

    known: set[str] = set()
    for part in parts:
        match part:
            case exp.Tuple():
                clause = str(part.arg_key).upper()
                raise refused(f"{clause} BY requires at least one expression", place_of(part, locate, place))
            case node.InsertValues(expressions=[]):
                raise refused("Expected some values for INSERT INTO statement.", place)
            case node.Property():
                name = str(part.this.this).upper()
                if name in known:
                    at = place_of(part, locate, place)
                    raise refused(f"Duplicate key {name}", at, "write each property in WITH once")
                known.add(name)


def _check_names(ast: exp.Expression, parts: Iterable[exp.Expr], locate: Callable[[int], Place]) -> None:
    """Raise SqlError for empty and illegal names, and for reserved words as names without quotes."""
    has_reserved_words = not isinstance(ast, node.QueryControl)  # TERMINATE ALL
    for name in parts:
        if not isinstance(name, exp.Identifier) or (isinstance(name.parent, exp.Anonymous) and name.arg_key == "this"):
            continue
        word = str(name.args["this"])
        column = name.parent
        if not word:
            raise SqlError("name is empty", locate(_start(name)), stage=Stage.PREPARE)
        if "\0" in word:
            raise SqlError("a name contains the character U+0000", locate(_start(name)), stage=Stage.PREPARE)
        if name.arg_key in ("this", "alias") and isinstance(column, _NAMED_SOURCES):
            _check_source_name(name, locate(_start(name)))
        if has_reserved_words and not name.args.get("quoted"):
            upper = word.upper()
            if upper in UNITS and _is_argument(column):
                column.replace(exp.Var(this=upper))
            elif upper in RESERVED:
                raise _reserved(word, locate(_start(name)))


def _start(name: exp.Identifier) -> int:
    return int(name.meta.get("start", 0))


def _check_source_name(name: exp.Identifier, place: Place) -> None:
    """Raise SqlError for a name that no stream, table or alias can have."""
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
    """True for a column without a source that is the argument of a function."""
    return (
        isinstance(node, exp.Column)
        and not node.args.get("table")
        and isinstance(node.parent, exp.Anonymous)
    )


def _reserved(word: str, place: Place) -> SqlError:
    return syntax_error(
        f'"{word}" is a reserved keyword and it can\'t be used as an identifier. '
        f"You can use it as an identifier by escaping it as '{word}' ",
        place,
        f"write `{word.upper()}`",
    )


def place_of(expression: exp.Expr, locate: Callable[[int], Place], default: Place) -> Place:
    """The place of the first part of an expression that has a position, or the default."""
    starts = (part.meta.get("start") for part in expression.walk())
    return next((locate(int(start)) for start in starts if start is not None), default)


def syntax_error(message: str, place: Place, hint: str | None = None) -> SqlError:
    """The error for a text that does not follow ksqlDB's grammar."""
    return SqlError(message, place, hint, stage=Stage.SYNTAX)
