"""Types, and operands of expressions without a type prefix."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

from opensea_metrics.sql.language.dialect.lexical import KsqlDBTokenizer
from opensea_metrics.sql.language.dialect.reading import Reading

Operand = TypeVar("Operand", bound=exp.Expr | None)


class Types(Reading):
    """Reads types.

    sqlglot's own reader reads the word before a bracket twice: first as a type, then as a call. It reads everything
    inside the brackets each time. So ``DATE(DATE(…))``, ``ARRAY[ARRAY[…]]`` and ``VARCHAR(VARCHAR(…))`` take 2^depth
    steps.
    """

    def _parse_type(
        self, parse_interval: bool = True, fallback_to_identifier: bool = False
    ) -> exp.Expression | None:
        """An operand. ksqlDB has no intervals, and no type before a literal."""
        first = self._curr
        operand = self._parse_atom() or self._parse_column()
        assert operand is None or isinstance(operand, exp.Expression)
        return _placed(operand, first)

    def _parse_unary(self) -> exp.Expr | None:
        first = self._curr
        return _placed(super()._parse_unary(), first)

    def _parse_bracket(self, this: exp.Expr | None = None) -> exp.Expr | None:
        """The part in brackets after an operand. sqlglot would also accept arrays and structs without a name."""
        if this is None and self._curr and self._curr.token_type in self.BRACKETS:
            self._unexpected()
        return super()._parse_bracket(this)

    def _parse_types(
        self,
        check_func: bool = False,
        schema: bool = False,
        allow_identifiers: bool = True,
        with_collation: bool = False,
    ) -> exp.Expression:
        kind = self._one_type()
        while self._match(TokenType.ARRAY):  # INT ARRAY is ARRAY<INT>
            kind = _nested(exp.DType.ARRAY, [kind])
        return kind

    def _one_type(self) -> exp.Expression:
        if self._match(TokenType.ARRAY):
            return _nested(exp.DType.ARRAY, self._angled(self._parse_types, 1))
        if self._match(TokenType.MAP):
            return _nested(exp.DType.MAP, self._angled(self._parse_types, 2))
        if self._match(TokenType.STRUCT):
            if self._match_pair(TokenType.LT, TokenType.GT):  # `<>` is an operator
                return _nested(exp.DType.STRUCT, [])
            return _nested(exp.DType.STRUCT, self._angled(self._struct_field))
        name = self._curr.text if self._curr else ""
        if not self._match_set((TokenType.VAR, TokenType.IDENTIFIER, *self.TYPE_TOKENS)):
            self.raise_error("Expecting a type")
        token = KsqlDBTokenizer.KEYWORDS.get(name.upper())
        if token not in self.TYPE_TOKENS:
            kind = exp.DataType(this=exp.DType.USERDEFINED, kind=name)
        else:
            kind = exp.DataType(this=exp.DType[token.name])
        if self._match(TokenType.L_PAREN):
            kind.set("expressions", self._sizes())
        if kind.this == exp.DType.DECIMAL and len(kind.expressions) != 2:
            self.raise_error("DECIMAL needs a precision and a scale, such as DECIMAL(10, 2)", self._prev)
        return kind

    def _angled(
        self, read: Callable[[], exp.Expression], number: int | None = None
    ) -> list[exp.Expression]:
        """``<part, …>``. If ``number`` is given, there must be that many parts."""
        if not self._match(TokenType.LT):
            self.raise_error("Expecting '<'")
        parts = [read()]
        while len(parts) != number and self._match(TokenType.COMMA):
            parts.append(read())
        if number is not None and len(parts) != number:
            self.raise_error("Expecting ','")
        if not self._match(TokenType.GT):
            self.raise_error("Expecting '>'" if number else "Expecting ',' or '>'")
        return parts

    def _struct_field(self) -> exp.Expression:
        return exp.ColumnDef(this=self._name(), kind=self._parse_types())

    def _sizes(self) -> list[exp.Expression]:
        """``10, 2)``. The number in the brackets of a VARCHAR has no effect."""
        sizes: list[exp.Expression] = []
        while True:
            if not self._match(TokenType.TEXT):
                size = exp.Literal.number(self._whole_number("a size"))
                sizes.append(exp.DataTypeParam(this=size))
            if not self._match(TokenType.COMMA):
                break
        self._closing()
        return sizes


_WITHOUT_PLACE = (exp.Boolean, exp.Null, exp.Array, exp.Not, exp.Case)
"""Operands that have no position of their own in sqlglot's AST."""


def _placed(operand: Operand, first: Token) -> Operand:
    """Give an operand the position of its first token, for the places in errors."""
    if isinstance(operand, _WITHOUT_PLACE) and "start" not in operand.meta:
        operand.update_positions(first)
    return operand


def _nested(kind: exp.DType, parts: list[exp.Expression]) -> exp.Expression:
    return exp.DataType(this=kind, expressions=parts, nested=True)
