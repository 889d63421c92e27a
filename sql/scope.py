"""What the names in an expression stand for, and how ksqlDB's messages write it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from sql.errors import SqlError, Stage
from sql.parser import where
from sql.statements import Statement
from sql.types import KsqlType, name_of

ARITHMETIC: dict[type[exp.Expression], str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%"}
COMPARISONS: dict[type[exp.Expression], tuple[str, str]] = {
    exp.EQ: ("=", "EQUAL"),
    exp.NEQ: ("<>", "NOT_EQUAL"),
    exp.LT: ("<", "LESS_THAN"),
    exp.LTE: ("<=", "LESS_THAN_OR_EQUAL"),
    exp.GT: (">", "GREATER_THAN"),
    exp.GTE: (">=", "GREATER_THAN_OR_EQUAL"),
}


@dataclass(frozen=True)
class Scope:
    """What names stand for: ``columns`` of each source by its alias, and lambdas' parameters.

    ``clause`` is where the expression stands, for errors: SELECT, WHERE, GROUP BY …
    """

    statement: Statement
    columns: Mapping[str, Mapping[str, KsqlType]]
    parameters: Mapping[str, KsqlType] = field(default_factory=dict)
    clause: str = "SELECT"

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


def shown(expression: exp.Expression) -> str:
    """An expression as ksqlDB's messages write it: names upper-cased, operations in parentheses."""
    match expression:
        case exp.Column():
            return name_of(expression.this)
        case exp.Dot():
            return f"{shown(expression.this)}->{name_of(expression.expression)}"
    operator = ARITHMETIC.get(type(expression)) or COMPARISONS.get(type(expression), ("", ""))[0]
    if operator:
        return f"({shown(expression.this)} {operator} {shown(expression.expression)})"
    return expression.sql(dialect="ksqldb")
