"""The meaning of names in an expression, and expressions as ksqlDB's messages write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from opensea_metrics.core.errors import SqlError, Stage
from opensea_metrics.core.types import KsqlType, name_of
from opensea_metrics.sql.language.statements.parser import where
from opensea_metrics.sql.language.statements.statements import Statement

ARITHMETIC: dict[type[exp.Expression], str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%"}
COMPARISONS: dict[type[exp.Expression], tuple[str, str]] = {
    exp.EQ: ("=", "EQUAL"),
    exp.NEQ: ("<>", "NOT_EQUAL"),
    exp.LT: ("<", "LESS_THAN"),
    exp.LTE: ("<=", "LESS_THAN_OR_EQUAL"),
    exp.GT: (">", "GREATER_THAN"),
    exp.GTE: (">=", "GREATER_THAN_OR_EQUAL"),
    exp.NullSafeNEQ: ("IS DISTINCT FROM", "IS_DISTINCT_FROM"),
    exp.NullSafeEQ: ("IS NOT DISTINCT FROM", "IS_NOT_DISTINCT_FROM"),
}


@dataclass(frozen=True)
class Scope:
    """The meaning of names: the ``columns`` of each source by its alias, and the parameters of lambdas.

    ``clause`` is the expression's clause, for errors: SELECT, WHERE, GROUP BY …
    """

    statement: Statement
    columns: Mapping[str, Mapping[str, KsqlType]]
    parameters: Mapping[str, KsqlType] = field(default_factory=dict)
    clause: str = "SELECT"
    types: dict[int, tuple[exp.Expression, KsqlType]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """Types that are already known, by the identity of an expression. The expression is kept, so its id stays valid."""

    def error(
        self,
        expression: exp.Expression,
        message: str,
        hint: str | None = None,
        located: bool = False,
    ) -> SqlError:
        """An error at the place of an expression."""
        place = where(self.statement, expression)
        return SqlError(message, place, hint, stage=Stage.QUERY, located=located)


Infer = Callable[[exp.Expression, Scope], KsqlType]
"""A function that returns an expression's type, such as :func:`sql.language.queries.inference.infer` does."""


def shown(expression: exp.Expression) -> str:
    """An expression as ksqlDB's messages write it: names upper-cased, operations in parentheses."""
    right: list[str] = []
    while operator := ARITHMETIC.get(type(expression)) or COMPARISONS.get(type(expression), ("",))[0]:
        right.append(f" {operator} {shown(expression.expression)})")
        expression = expression.this
    match expression:
        case exp.Column():
            left = name_of(expression.this)
        case exp.Dot():
            left = f"{shown(expression.this)}->{name_of(expression.expression)}"
        case _:
            left = expression.sql(dialect="ksqldb")
    return "(" * len(right) + left + "".join(reversed(right))
