"""The syntax of ksqlDB's expressions, where it is narrower than sqlglot's.

sqlglot's parser also accepts ``{'a': 1}``, ``a & b``, subqueries and other syntax that ksqlDB does not have.
Each refusal was observed on ksqlDB 7.9.1, which answers with a syntax error.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlglot import exp

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
