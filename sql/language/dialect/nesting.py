"""Limits on how deeply a statement may be nested.

Our code reads, checks and writes statements recursively, and so does DuckDB. Python's default limit of 1,000
calls would stop at about 45 brackets. :data:`RECURSION` is enough for every statement that passes the
checks here. In C, such calls take less than 4 MB, which is half of a thread's stack.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

BRACKETS = 250
"""The largest depth of nested brackets, CASEs and angle brackets of types."""
OPERATIONS = 600
"""The largest depth of nested operations, such as calls, casts and operators. A chain of ANDs, of ORs, or
of additions and subtractions counts as one operation."""
CHAINED = 6_000
"""The largest number of operations in such a chain. For longer chains, the time grows faster than the length."""
RECURSION = 10_000

_OPENING = (TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE, TokenType.CASE)
_CLOSING = (TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE, TokenType.END)
_WITH_ANGLES = (TokenType.ARRAY, TokenType.MAP, TokenType.STRUCT)
_CHAINS: dict[type[exp.Expr], tuple[type[exp.Expr], ...]] = {
    exp.And: (exp.And,),
    exp.Or: (exp.Or,),
    exp.Add: (exp.Add, exp.Sub),
    exp.Sub: (exp.Add, exp.Sub),
}
_PARTS = (
    exp.Paren, exp.If, exp.PropertyEQ, exp.ColumnDef, exp.Column, exp.Identifier, exp.Alias, exp.Literal,
)  # fmt: skip
"""Nodes that do not count as operations."""


def first_too_deep(tokens: Sequence[Token]) -> Token | None:
    """The first bracket that exceeds the depth limit, or None."""
    if len(tokens) <= BRACKETS:
        return None
    depth = angles = 0
    for before, token in pairwise(tokens):
        kind = token.token_type
        if kind in _OPENING:
            depth += 1
        elif kind in _CLOSING:
            depth -= 1
        elif kind == TokenType.LT and before.token_type in _WITH_ANGLES:
            depth, angles = depth + 1, angles + 1
        elif kind == TokenType.GT and angles:
            depth, angles = depth - 1, angles - 1
        if depth > BRACKETS:
            return token
    return None


def too_deep(parts: Sequence[exp.Expr]) -> exp.Expr | None:
    """An operation that exceeds the depth limit, or None. ``parts`` are all nodes of a statement, outer ones first."""
    if len(parts) <= OPERATIONS:
        return None
    pending = [(parts[0], 0)]
    while pending:
        node, depth = pending.pop()
        if depth > OPERATIONS:
            return node
        chain = _CHAINS.get(type(node), ())
        for part in node.iter_expressions():
            goes_on = isinstance(part, _PARTS) or (part is node.this and type(part) in chain)
            pending.append((part, depth if goes_on else depth + 1))
    return None


def too_long(parts: Sequence[exp.Expr]) -> exp.Expr | None:
    """An operation whose chain is too long, or None. ``parts`` are all nodes of a statement, outer ones first."""
    if len(parts) <= CHAINED:
        return None
    lengths: dict[int, int] = {}
    for node in parts:
        if type(node) not in _CHAINS:
            continue
        length = lengths.pop(id(node), 1)
        if length > CHAINED:
            return node
        if type(node.this) in _CHAINS[type(node)]:
            lengths[id(node.this)] = length + 1
    return None


def is_chained(expression: exp.Expression) -> bool:
    """True for an operation that may be part of a chain of any length."""
    return type(expression) in _CHAINS


def operands(expression: exp.Expression) -> tuple[exp.Expression, list[exp.Expression]]:
    """Split a chain of operators with the same precedence into its first operand and its operations.

    The operations come from the innermost to the whole chain. The right side of each operation is the next operand.
    """
    chain = _CHAINS[type(expression)]
    operations = [expression]
    while type(first := operations[-1].this) in chain:
        operations.append(first)
    return first, operations[::-1]
