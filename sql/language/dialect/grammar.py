"""The syntax of ksqlDB's expressions, where it is narrower than sqlglot's, and limits on how deeply it may be nested.

sqlglot's parser also accepts ``{'a': 1}``, ``a & b``, subqueries and other syntax that ksqlDB does not have.
Each refusal was observed on ksqlDB 7.9.1, which answers with a syntax error.

Our code reads, checks and writes statements recursively, and so does DuckDB. Python's default limit of 1,000
calls would stop at about 45 brackets. :data:`RECURSION` is enough for every statement that passes the
checks here. In C, such calls take less than 4 MB, which is half of a thread's stack.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

from opensea_metrics.sql.language.dialect import expressions as node

_ARITHMETIC = (exp.Add, exp.DPipe, exp.Div, exp.Mod, exp.Mul, exp.Neg, exp.Sub)
_PREDICATES = (
    exp.Between, exp.EQ, exp.Escape, exp.GT, exp.GTE, exp.In, exp.Is, exp.LT, exp.LTE, exp.Like, exp.NEQ,
    exp.NullSafeEQ, exp.NullSafeNEQ,
)  # fmt: skip
_CONDITIONS = (*_PREDICATES, exp.And, exp.Not, exp.Or)
_OPERATORS = (*_ARITHMETIC, *_CONDITIONS, exp.Paren)
_OPERANDS = (
    exp.Anonymous, exp.Array, exp.Boolean, exp.Case, exp.Column, exp.Identifier, exp.If, exp.Literal, exp.Null, exp.Var,
)  # fmt: skip
_TYPES = (exp.ColumnDef, exp.DataType, exp.DataTypeParam, exp.TryCast)
_STATEMENTS = tuple(
    value for value in vars(node).values() if isinstance(value, type) and issubclass(value, exp.Expression)
)

_EVERYWHERE = frozenset((
    *_STATEMENTS, exp.Anonymous, exp.Array, exp.Boolean, exp.Case, exp.ColumnDef, exp.DataType, exp.DataTypeParam,
    exp.Identifier, exp.If, exp.Literal, exp.Null, exp.TryCast, exp.Var,
))  # fmt: skip
"""Nodes that ksqlDB has wherever the parser reads them. Most nodes are of these types."""


def first_foreign(parts: Iterable[exp.Expr]) -> exp.Expr | None:
    """The first part without a syntax in ksqlDB, or None. ``parts`` are all nodes of a statement, outer nodes first."""
    return next((part for part in parts if type(part) not in _EVERYWHERE and not _is_known(part)), None)


def _is_known(part: exp.Expr) -> bool:
    parent = part.parent
    if isinstance(part, _CONDITIONS) and _takes_a_value(part):
        return False
    match part:
        case exp.Column(this=exp.Star()):
            return isinstance(parent, node.SelectQuery) and part.args.get("db") is None
        case exp.Column():
            return isinstance(part.this, exp.Identifier) and part.args.get("db") is None
        case exp.Star():
            if isinstance(parent, exp.Anonymous):
                return len(parent.expressions) == 1
            return isinstance(parent, node.SelectQuery | exp.Column | exp.Dot)
        case exp.Dot(expression=exp.Star()):
            return isinstance(parent, node.SelectQuery)
        case exp.Dot():
            return isinstance(part.expression, exp.Identifier) and "is_field_access" in part.meta
        case exp.Alias():
            return isinstance(parent, node.SelectQuery) and part.arg_key == "expressions"
        case exp.PropertyEQ():
            return _is_entry(part)
        case exp.Lambda():
            return _is_lambda(part)
        case exp.Is():
            return isinstance(part.expression, exp.Null)
        case exp.Paren():
            return "is_written" in part.meta
        case exp.In():
            return bool(part.expressions)
        case exp.Between():
            return not part.args.get("symmetric")
        case exp.Tuple():  # GROUP BY (): the statement parser refuses it with ksqlDB's sentence
            return isinstance(parent, node.SelectQuery) and [exp.Tuple()] in parent.args.values()
        case exp.Bracket():
            return len(part.expressions) == 1
        case _:
            return isinstance(part, _OPERATORS + _OPERANDS + _TYPES + _STATEMENTS)


def _is_entry(part: exp.PropertyEQ) -> bool:
    """True for an entry of ``MAP(key := value, …)`` or ``STRUCT(name := value, …)``."""
    call = part.parent
    if not isinstance(call, exp.Anonymous) or not all(
        isinstance(other, exp.PropertyEQ) for other in call.expressions
    ):
        return False
    name = call.name.upper()
    return name == "MAP" or (name == "STRUCT" and _is_name(part.this))


def _is_name(part: exp.Expr) -> bool:
    return isinstance(part, exp.Identifier) or (
        isinstance(part, exp.Column) and isinstance(part.this, exp.Identifier) and not part.args.get("table")
    )


def _is_lambda(part: exp.Lambda) -> bool:
    """True for a function's argument. Lambdas are the last arguments, and never the first."""
    call = part.parent
    if not isinstance(call, exp.Anonymous) or part.arg_key != "expressions" or not part.index:
        return False
    return all(isinstance(other, exp.Lambda) for other in call.expressions[part.index :]) and all(
        isinstance(parameter, exp.Identifier) for parameter in part.expressions
    )


def _takes_a_value(part: exp.Expr) -> bool:
    """True where ksqlDB takes a condition only in parentheses, such as on the left of ``a = b = c``."""
    match part.parent:
        case exp.Escape():
            return part.arg_key != "this"
        case exp.In():
            return part.arg_key == "this"
        case exp.Case():
            return part.arg_key == "this"
        case exp.Not():
            return False
        case node.SelectQuery():
            return part.arg_key in ("group", "partition")
        case parent:
            return isinstance(parent, (*_ARITHMETIC, *_PREDICATES, exp.Bracket))


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
        outer, depth = pending.pop()
        if depth > OPERATIONS:
            return outer
        chain = _CHAINS.get(type(outer), ())
        for part in outer.iter_expressions():
            goes_on = isinstance(part, _PARTS) or (part is outer.this and type(part) in chain)
            pending.append((part, depth if goes_on else depth + 1))
    return None


def too_long(parts: Sequence[exp.Expr]) -> exp.Expr | None:
    """An operation whose chain is too long, or None. ``parts`` are all nodes of a statement, outer ones first."""
    if len(parts) <= CHAINED:
        return None
    lengths: dict[int, int] = {}
    for operation in parts:
        if type(operation) not in _CHAINS:
            continue
        length = lengths.pop(id(operation), 1)
        if length > CHAINED:
            return operation
        if type(operation.this) in _CHAINS[type(operation)]:
            lengths[id(operation.this)] = length + 1
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
