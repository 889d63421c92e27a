"""Reads a SELECT that may also have ORDER BY and OVER, which ksqlDB's own grammar does not have.

The clauses that ksqlDB has are read by ksqlDB's own parser, with its limits and error messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokenizer_core import Token, TokenType

from opensea_metrics.core.errors import TYPED, SqlError
from opensea_metrics.core.places import Lines
from opensea_metrics.sql.language.dialect import KsqlDB
from opensea_metrics.sql.language.dialect import expressions as node
from opensea_metrics.sql.language.dialect.grammar import (
    first_foreign,
    first_too_deep,
    too_deep,
    too_long,
)
from opensea_metrics.sql.language.dialect.parser import KsqlDBParser
from opensea_metrics.sql.language.functions import library as functions
from opensea_metrics.sql.language.statements.checks import check, place_of, syntax_error
from opensea_metrics.sql.language.statements.statements import Statement

_CLAUSES = ("ORDER", "GROUP", "HAVING", "JOIN", "OVER")
_OPENING = (TokenType.L_PAREN, TokenType.L_BRACKET)
_CLOSING = (TokenType.R_PAREN, TokenType.R_BRACKET)


class Over(exp.Window):
    """``call OVER (PARTITION BY … ORDER BY … ROWS BETWEEN … AND …)``. ``frame`` is the text of the last part."""

    arg_types = {"this": True, "partition": False, "order": False, "frame": False}


class Term(exp.Expression):
    """One expression of ORDER BY. NULLs come last unless ``nulls_first``."""

    arg_types = {"this": True, "descending": False, "nulls_first": False}


class Order(exp.Expression):
    """The expressions of ORDER BY."""

    arg_types = {"expressions": True}


class LocalParser(KsqlDBParser):
    """ksqlDB's parser with OVER after a call, and with ORDER BY as a statement of its own."""

    def _parse_window(self, this: exp.Expr | None, alias: bool = False) -> exp.Expr | None:
        if this is None or alias or not self._word("OVER"):
            return this
        self._match_l_paren()
        partition = self._expressions() if self._word("PARTITION", "BY") else []
        order = self._terms() if self._word("ORDER", "BY") else []
        frame = self._frame()
        self._closing()
        return self.expression(Over(this=this, partition=partition, order=order, frame=frame))

    def _parse_statement(self) -> exp.Expression | None:
        if self._word("ORDER", "BY"):
            return self.expression(Order(expressions=self._terms()))
        return super()._parse_statement()

    def _expressions(self) -> list[exp.Expression]:
        values = [self._expression()]
        while self._match(TokenType.COMMA):
            values.append(self._expression())
        return values

    def _terms(self) -> list[exp.Expression]:
        terms = [self._term()]
        while self._match(TokenType.COMMA):
            terms.append(self._term())
        return terms

    def _term(self) -> exp.Expression:
        value = self._expression()
        descending = self._word("DESC")
        if not descending:
            self._word("ASC")
        nulls_first = False
        if self._word("NULLS"):
            nulls_first = self._word("FIRST")
            if not nulls_first:
                self._expect("LAST")
        return self.expression(Term(this=value, descending=descending, nulls_first=nulls_first))

    def _frame(self) -> str:
        if not self._word("ROWS"):
            return ""
        if not self._word("BETWEEN"):
            return f"ROWS {self._bound()}"
        start = self._bound()
        self._expect("AND")
        return f"ROWS BETWEEN {start} AND {self._bound()}"

    def _bound(self) -> str:
        if self._word("CURRENT", "ROW"):
            return "CURRENT ROW"
        amount = "UNBOUNDED" if self._word("UNBOUNDED") else str(self._whole_number("a number of rows"))
        if self._word("PRECEDING"):
            return f"{amount} PRECEDING"
        self._expect("FOLLOWING")
        return f"{amount} FOLLOWING"


class LocalDialect(KsqlDB):
    """ksqlDB's dialect with :class:`LocalParser`."""

    Parser = LocalParser


_DIALECT = LocalDialect()


@dataclass(frozen=True)
class LocalSelect:
    """A parsed SELECT. ``statement`` has everything except ORDER BY, whose terms are in ``order``."""

    statement: Statement
    order: tuple[Term, ...]

    @property
    def query(self) -> exp.Expression:
        """The node :class:`SelectQuery`."""
        return self.statement.ast


def tokens_of(text: str) -> list[Token]:
    """The tokens of one statement, without semicolons at its end. Raises SqlError."""
    try:
        tokens = _DIALECT.tokenize(text)
    except TokenError as error:
        raise SqlError(f"the query cannot be read: {error}") from error
    while tokens and tokens[-1].token_type == TokenType.SEMICOLON:
        tokens.pop()
    return tokens


def needs_tool(tokens: list[Token]) -> bool:
    """True if a SELECT without EMIT may have a clause or call that pull queries do not have.

    A column with the name of such a clause also returns True.
    """
    for at, token in enumerate(tokens):
        if token.token_type in (TokenType.STRING, TokenType.IDENTIFIER):
            continue
        word, after = token.text.upper(), tokens[at + 1] if at + 1 < len(tokens) else None
        if word in _CLAUSES and after is not None:
            return True
        if after is not None and after.token_type == TokenType.L_PAREN:
            function = functions.find(word)
            if function is not None and function.kind == "aggregate":
                return True
    return False


def read(text: str) -> LocalSelect:
    """Read a SELECT with its ORDER BY. Raises SqlError."""
    tokens = tokens_of(text)
    start, end = _order_at(tokens)
    rest = _parsed(text, tokens[:start] + tokens[end:])
    order = _parsed(text, tokens[start:end]).ast.expressions if start < end else []
    return LocalSelect(rest, tuple(order))


def _order_at(tokens: list[Token]) -> tuple[int, int]:
    """Where the tokens of ORDER BY begin and end, outside all brackets."""
    depth, start = 0, len(tokens)
    for at, token in enumerate(tokens):
        depth += (token.token_type in _OPENING) - (token.token_type in _CLOSING)
        if depth or token.token_type in (TokenType.STRING, TokenType.IDENTIFIER):
            continue
        word = token.text.upper()
        if word == "ORDER" and at + 1 < len(tokens) and tokens[at + 1].text.upper() == "BY":
            start = at
        elif start < at and word in ("LIMIT", "EMIT"):
            return start, at
    return start, len(tokens)


def _parsed(text: str, tokens: list[Token]) -> Statement:
    locate = Lines(text, TYPED).place
    if not tokens:
        raise SqlError("the query is empty", hint="write a SELECT")
    place = locate(tokens[0].start)
    if (bracket := first_too_deep(tokens)) is not None:
        raise SqlError("the query has too many nested brackets", locate(bracket.start))
    parser = _DIALECT.parser(error_level=sqlglot.ErrorLevel.IMMEDIATE)
    try:
        parsed: Any = parser.parse(tokens, text)
    except ParseError as error:
        detail = error.errors[0]
        at = (token.start for token in tokens if (token.line, token.col) == (detail["line"], detail["col"]))
        raise syntax_error(str(detail["description"]), locate(next(at, tokens[-1].start))) from error
    except RecursionError:
        raise SqlError("the query has too many nested operations", place) from None
    ast = parsed[0] if parsed else None
    if not isinstance(ast, node.SelectQuery | Order):
        raise SqlError("a query is a SELECT", place)
    parts = tuple(ast.walk())
    if (operation := too_long(parts) or too_deep(parts)) is not None:
        raise SqlError("the query is too large", place_of(operation, locate, place), "write IN (…) for many ORs")
    own = [part for part in parts if not isinstance(part, Over | Term | Order)]
    if (foreign := first_foreign(own)) is not None:
        message = f"ksqlDB does not have this expression: {foreign.sql()[:60]}"
        raise syntax_error(message, place_of(foreign, locate, place))
    check(ast, own, locate, place)
    return Statement(text=text, place=place, ast=ast, locate=locate)
