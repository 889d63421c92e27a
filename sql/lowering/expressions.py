"""Expressions of ksqlDB → an engine's SQL: what holds for every engine.

In ksqlDB a comparison with NULL is false, in SQL it is NULL. Where a condition only decides whether a row
or branch is taken the two are the same; elsewhere NULL is turned into false. AND, OR, NOT and LIKE know
three values in both (tests/embedded/semantics).

How an engine writes things (``writing``) is in its own class: ``duckdb.Lowering``, ``spark.SparkLowering``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from sql.inference import infer, is_time_bound
from sql.lowering.refusals import Unsupported
from sql.lowering.writing import Writing
from sql.parser import where
from sql.scope import Scope
from sql.timestamps import milliseconds
from sql.types import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    INTEGER,
    NULL,
    STRING,
    KsqlType,
    name_of,
)

OPERATORS: dict[type[exp.Expression], str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%",
}  # fmt: skip
INTEGERS = (BIGINT, INTEGER)


@dataclass(frozen=True)
class Expressions(Writing):
    """Writes expressions of one statement in an engine's SQL.

    ``scope`` has the types of names; ``substitutes`` maps expressions (by their text) to SQL that
    stands for them, as for the keys and aggregates of a grouped SELECT.
    """

    scope: Scope
    substitutes: Mapping[exp.Expression, str] = field(default_factory=dict)

    def value(self, expression: exp.Expression) -> str:
        """The expression as a value. Raises SqlError for what the engine cannot give exactly."""
        if expression in self.substitutes:
            return self.substitutes[expression]
        match expression:
            case exp.Column() if name_of(expression.this) in ("ROWPARTITION", "ROWOFFSET"):
                raise self.refused(expression, name_of(expression.this))
            case exp.Column():
                return self.name(name_of(expression.this))
            case exp.Identifier():
                return self.name(name_of(expression))
            case exp.Literal():
                return self.literal(expression)
            case exp.Boolean() | exp.Null():
                return expression.sql(dialect="duckdb")
            case exp.Paren():
                return f"({self.value(expression.this)})"
            case exp.Neg():
                return f"(-{self.value(expression.this)})"
            case exp.Dot():
                return self.member(self.value(expression.this), name_of(expression.expression))
            case exp.Bracket():
                of_map = self.type_of(expression.this).name == "MAP"
                index = self.value(expression.expressions[0])
                return self.element(self.value(expression.this), index, of_map)
            case exp.Array():
                return self.array([self.value(each) for each in expression.expressions])
            case exp.Cast():
                return self._cast(expression)
            case exp.Case():
                return self._case(expression)
            case exp.Anonymous():
                return self.call(expression)
            case exp.And() | exp.Or():
                word = "AND" if isinstance(expression, exp.And) else "OR"
                left = self.value(expression.this)
                both = f"({left} {word} {self.value(expression.expression)})"
                if not self.may_fail(expression.this):
                    return both
                return f"CASE WHEN {left} IS NOT NULL THEN {both} END"
            case exp.Not():
                return f"(NOT {self.value(expression.this)})"
            case exp.Like() | exp.Is():
                return self.condition(expression)
        if type(expression) in OPERATORS and not isinstance(expression, exp.Predicate):
            return self._arithmetic(expression)
        if self.may_fail(expression):
            return self.condition(expression)
        return f"coalesce({self.condition(expression)}, false)"

    @abstractmethod
    def call(self, call: exp.Anonymous) -> str:
        """A call of a function."""

    def condition(self, expression: exp.Expression) -> str:
        """The expression as a condition, where NULL and false are the same."""
        match expression:
            case exp.And() | exp.Or():
                if self.may_fail(expression):
                    return self.value(expression)
                word = "AND" if isinstance(expression, exp.And) else "OR"
                left, right = expression.this, expression.expression
                return f"({self.condition(left)} {word} {self.condition(right)})"
            case exp.Not():
                return f"(NOT {self.value(expression.this)})"
            case exp.Paren():
                return f"({self.condition(expression.this)})"
            case exp.Is():
                return f"({self.value(expression.this)} IS {self.value(expression.expression)})"
            case exp.In():
                choices = ", ".join(self.value(e) for e in expression.expressions)
                return f"({self.value(expression.this)} IN ({choices}))"
            case exp.Between():
                low, high = expression.args["low"], expression.args["high"]
                written = [self._time(side, expression.this) for side in (low, high)]
                return f"({self.value(expression.this)} BETWEEN {written[0]} AND {written[1]})"
            case exp.Like():
                value, pattern = self.value(expression.this), self.value(expression.expression)
                return self.like(value, pattern, bool(expression.args.get("negate")))
        if type(expression) in OPERATORS and isinstance(expression, exp.Predicate):
            left, right = expression.this, expression.expression
            sides = self._time(left, right), self._time(right, left)
            return f"({sides[0]} {OPERATORS[type(expression)]} {sides[1]})"
        return self.value(expression)

    def literal(self, literal: exp.Literal) -> str:
        """A text or number."""
        return self.text(str(literal.this)) if literal.is_string else str(literal.this)

    def type_of(self, expression: exp.Expression) -> KsqlType:
        """The ksqlDB type of an expression."""
        return infer(expression, self.scope)

    def refused(self, expression: exp.Expression, feature: str) -> Unsupported:
        """The error for something that the engine cannot give as ksqlDB does."""
        return Unsupported(feature, self.engine, where(self.scope.statement, expression))

    def checked_type(self, expression: exp.Expression, kind: KsqlType) -> str:
        """A type in the engine's SQL. Raises SqlError if it has none."""
        try:
            return self.type_name(kind)
        except ValueError:
            raise self.refused(expression, f"the type {kind}") from None

    def may_fail(self, expression: exp.Expression) -> bool:
        """Whether arithmetic on NULL could make an expression NULL, whatever stands around it."""
        if isinstance(expression, exp.Anonymous) and expression not in self.substitutes:
            name = str(expression.this).upper()
            if name in ("STRUCT", "MAP", "TRANSFORM", "FILTER", "REDUCE"):
                return False  # they take the NULL for themselves
        if isinstance(expression, exp.Array) or expression in self.substitutes:
            return False
        if is_arithmetic(expression):
            return any(not isinstance(part, exp.Literal) for part in expression.iter_expressions())
        return any(self.may_fail(part) for part in expression.iter_expressions())

    def may_be_null(self, condition: exp.Expression) -> bool:
        """Whether a condition can be NULL in ksqlDB, rather than true or false."""
        match condition:
            case exp.Paren():
                return self.may_be_null(condition.this)
            case exp.And() | exp.Or():
                sides = (condition.this, condition.expression)
                return any(self.may_be_null(side) for side in sides)
            case exp.Not():
                return self.may_be_null(condition.this)
            case exp.Is() | exp.In() | exp.Between():
                return self.may_fail(condition)
            case exp.Boolean():
                return False
        if type(condition) in OPERATORS and isinstance(condition, exp.Predicate):
            return self.may_fail(condition)
        return True

    def _time(self, side: exp.Expression, other: exp.Expression) -> str:
        """A side of a comparison: a text beside WINDOWSTART or ROWTIME is an ISO time."""
        if is_time_bound(other) and isinstance(side, exp.Literal) and side.is_string:
            return str(milliseconds(str(side.this)))
        return self.value(side)

    def _arithmetic(self, expression: exp.Expression) -> str:
        left, right = self.value(expression.this), self.value(expression.expression)
        operator = OPERATORS[type(expression)]
        kind = self.type_of(expression)
        if kind == STRING:
            # Observed: 'x' + NULL is 'xnull'.
            return f"(coalesce({left}, 'null') || coalesce({right}, 'null'))"
        if kind in INTEGERS:
            return self.integer(kind, left, operator, right)
        if kind.name == "DECIMAL":
            if operator in "/%":
                raise self.refused(expression, f"'{operator}' of DECIMALs")
            return f"CAST({left} {operator} {right} AS {self.checked_type(expression, kind)})"
        return self.double(f"CAST({left} AS DOUBLE)", operator, f"CAST({right} AS DOUBLE)")

    def _cast(self, cast: exp.Cast) -> str:
        source, target = self.type_of(cast.this), self.type_of(cast)
        value = self.value(cast.this)
        if source == target:
            return value
        if source == NULL:
            return f"CAST(NULL AS {self.checked_type(cast, target)})"
        if source == STRING and (target in (*INTEGERS, DOUBLE, BOOLEAN) or target.name == "DECIMAL"):
            self.checked_type(cast, target)
            return self.parsed(target, value)
        if source in (INTEGER, BIGINT, BOOLEAN) and target == STRING:
            return f"CAST({value} AS {self.type_name(STRING)})"
        if source == INTEGER and target == BIGINT:
            return f"CAST({value} AS BIGINT)"
        if source == BIGINT and target == INTEGER:
            return self.cast_integer(INTEGER, value)
        if source.name in ("INTEGER", "BIGINT", "DECIMAL") and target == DOUBLE:
            return f"CAST({value} AS DOUBLE)"
        if source == DOUBLE and target in INTEGERS:
            return self.truncated(target, value)
        if source.name in ("INTEGER", "BIGINT") and target.name == "DECIMAL":
            return f"TRY_CAST({value} AS {self.checked_type(cast, target)})"
        raise self.refused(cast, f"CAST of {source} AS {target}")

    def _case(self, case: exp.Case) -> str:
        branches = ""
        for branch in case.args["ifs"]:
            if self.may_be_null(branch.this):  # then ksqlDB gives up: the result is NULL
                branches += f" WHEN {self.value(branch.this)} IS NULL THEN NULL"
            branches += f" WHEN {self.condition(branch.this)} THEN {self.value(branch.args['true'])}"
        default = case.args.get("default")
        return f"CASE{branches} ELSE {self.value(default) if default is not None else 'NULL'} END"


def is_arithmetic(expression: exp.Expression) -> bool:
    """Whether an expression is arithmetic at its top."""
    if isinstance(expression, exp.Paren):
        return is_arithmetic(expression.this)
    if isinstance(expression, exp.Neg):
        return not isinstance(expression.this, exp.Literal)
    return isinstance(expression, exp.Add | exp.Sub | exp.Mul | exp.Div | exp.Mod)


def owner(expression: exp.Expression) -> exp.Expression:
    """What a path of fields (``a->b->c``) begins with; an expression that is no path itself."""
    while isinstance(expression, exp.Dot):
        expression = expression.this
    return expression


def spans_all(pattern: str) -> bool:
    """True for a pattern from ^ to $, without alternatives that could end earlier."""
    return pattern.startswith("^") and pattern.endswith("$") and "|" not in pattern
