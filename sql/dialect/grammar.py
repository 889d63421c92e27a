"""What ksqlDB's expressions consist of.

sqlglot's parser reads more than ksqlDB has, such as ``{'a': 1}``, ``a & b`` and subqueries. Each of the
refusals was observed on a 7.9.1, which answers with a syntax error.
"""

from __future__ import annotations

from sqlglot import exp

from sql.dialect import expressions as node

_ARITHMETIC = (exp.Add, exp.DPipe, exp.Div, exp.Mod, exp.Mul, exp.Neg, exp.Sub)
_PREDICATES = (
    exp.Between, exp.EQ, exp.Escape, exp.GT, exp.GTE, exp.In, exp.Is, exp.LT, exp.LTE, exp.Like, exp.NEQ,
    exp.NullSafeEQ, exp.NullSafeNEQ,
)  # fmt: skip
_CONDITIONS = (*_PREDICATES, exp.And, exp.Not, exp.Or)
_OPERATORS = (*_ARITHMETIC, *_CONDITIONS, exp.Paren)
_OPERANDS = (
    exp.Anonymous, exp.Array, exp.Boolean, exp.Case, exp.Column, exp.Identifier, exp.If, exp.Lambda, exp.Literal,
    exp.Null, exp.Var,
)  # fmt: skip
_TYPES = (exp.ColumnDef, exp.DataType, exp.DataTypeParam, exp.TryCast)
_STATEMENTS = tuple(
    each for each in vars(node).values() if isinstance(each, type) and issubclass(each, exp.Expression)
)


def first_foreign(ast: exp.Expression) -> exp.Expr | None:
    """The outermost part of a statement that ksqlDB has no syntax for, None if there is none."""
    return next((part for part in ast.walk() if not _is_known(part)), None)


def _is_known(part: exp.Expr) -> bool:
    parent = part.parent
    if isinstance(part, _CONDITIONS) and _takes_a_value(part):
        return False
    match part:
        case exp.Column(this=exp.Star()):
            return isinstance(parent, node.Query)
        case exp.Column():
            return part.args.get("db") is None
        case exp.Star():
            return isinstance(parent, node.Query | exp.Anonymous | exp.Column | exp.Dot)
        case exp.Dot(expression=exp.Star()):
            return isinstance(parent, node.Query)
        case exp.Dot():
            return isinstance(part.expression, exp.Identifier)
        case exp.Alias():
            return isinstance(parent, node.Query)
        case exp.PropertyEQ():
            return isinstance(parent, exp.Anonymous) and parent.name.upper() in ("MAP", "STRUCT")
        case exp.Is():
            return isinstance(part.expression, exp.Null)
        case exp.In():
            return bool(part.expressions)
        case exp.Between():
            return not part.args.get("symmetric")
        case exp.Tuple():  # GROUP BY a, (b, c)
            return isinstance(parent, node.Query) and part.arg_key in ("group", "partition")
        case exp.Bracket():
            return len(part.expressions) == 1
        case _:
            return isinstance(part, _OPERATORS + _OPERANDS + _TYPES + _STATEMENTS)


def _takes_a_value(part: exp.Expr) -> bool:
    """Whether it stands where ksqlDB takes a condition in parentheses only, such as the left of ``a = b = c``."""
    match part.parent:
        case exp.Escape():
            return part.arg_key != "this"
        case exp.In():
            return part.arg_key == "this"
        case exp.Case():
            return part.arg_key == "this"
        case exp.Not():
            return False
        case parent:
            return isinstance(parent, (*_ARITHMETIC, *_PREDICATES, exp.Bracket))
