"""Expressions of ksqlDB → an engine's SQL: the part that all engines share.

A comparison with NULL is false in ksqlDB and NULL in SQL. If a condition only selects rows or branches, both
have the same effect. Elsewhere NULL is turned into false. AND, OR, NOT and LIKE have three values in both
(tests/embedded/semantics).

Each engine has its own class for the rest (``writing``): ``duckdb.Lowering`` and ``spark.SparkLowering``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from sqlglot import exp

from opensea_metrics.core.types import (
    BIGINT,
    DOUBLE,
    INTEGER,
    STRING,
    KsqlType,
    name_of,
)
from opensea_metrics.sql.language.dialect.nesting import is_chained, operands
from opensea_metrics.sql.language.lowering.casts import Casts
from opensea_metrics.sql.language.lowering.failing import may_be_null, may_fail, sides
from opensea_metrics.sql.language.lowering.refusals import Unsupported
from opensea_metrics.sql.language.lowering.writing import SHALLOW, is_long
from opensea_metrics.sql.language.queries.conditions import is_time_bound
from opensea_metrics.sql.language.queries.inference import infer
from opensea_metrics.sql.language.queries.scope import Scope
from opensea_metrics.sql.language.statements.parser import where
from opensea_metrics.sql.language.values.timestamps import milliseconds

OPERATORS: dict[type[exp.Expression], str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%",
}  # fmt: skip
INTEGERS = (BIGINT, INTEGER)


@dataclass(frozen=True)
class Expressions(Casts):
    """Writes expressions of one statement in an engine's SQL.

    ``scope`` has the types of names; ``substitutes`` maps expressions (by their text) to SQL that
    stands for them, as for the keys and aggregates of a grouped SELECT.
    """

    scope: Scope
    substitutes: Mapping[exp.Expression, str] = field(default_factory=dict)
    written: dict[tuple[str, int], tuple[exp.Expression, str]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """The SQL written so far, by its form and the identity of its expression. The expression is kept alive with
    it. Expressions around an expression ask for its SQL repeatedly."""

    def value(self, expression: exp.Expression) -> str:
        """The expression as a value. Raises SqlError for what the engine cannot give exactly."""
        return self._written("value", expression, self._value)

    def condition(self, expression: exp.Expression) -> str:
        """The expression as a condition, where NULL and false are the same."""
        return self._written("condition", expression, self._condition)

    def _written(
        self, form: str, expression: exp.Expression, write: Callable[[exp.Expression], str]
    ) -> str:
        key = form, id(expression)
        if key not in self.written:
            self.written[key] = expression, write(expression)
        return self.written[key][1]

    def _value(self, expression: exp.Expression) -> str:
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
                return self.negative(expression)
            case exp.Dot():
                return self.member(self.value(expression.this), name_of(expression.expression))
            case exp.Bracket():
                of_map = self.type_of(expression.this).name == "MAP"
                index = self.value(expression.expressions[0])
                return self.element(self.value(expression.this), index, of_map)
            case exp.Array():
                return self.array([self.value(element) for element in expression.expressions])
            case exp.Cast():
                return self._cast(expression)
            case exp.Case():
                return self._case(expression)
            case exp.Anonymous():
                return self.call(expression)
            case exp.And() | exp.Or():
                return self._connected(expression)
            case exp.Not():
                return _negated(self.value(expression.this))
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

    def _condition(self, expression: exp.Expression) -> str:
        match expression:
            case exp.And() | exp.Or():
                if self.may_fail(expression):
                    return self.value(expression)
                connected = [self.condition(side) for side in sides(expression)]
                # DuckDB makes a filter of each side of an AND; of 5,000 that takes 10 GB.
                opaque = "coalesce({}, false)" if len(connected) > SHALLOW else "{}"
                return opaque.format(_joined(expression, connected))
            case exp.Not():
                return _negated(self.value(expression.this))
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
            written = [self._time(left, right), self._time(right, left)]
            return f"({written[0]} {OPERATORS[type(expression)]} {written[1]})"
        return self.value(expression)

    def negative(self, negative: exp.Neg) -> str:
        """A number with a minus before it."""
        return f"(-{self.value(negative.this)})"

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
        return may_fail(expression, self.substitutes)

    def _connected(self, expression: exp.Expression) -> str:
        """AND and OR as ksqlDB evaluates them, from left to right.

        If arithmetic on NULL makes a side NULL, the whole is NULL. Sides after the one that decides do not count.
        """
        connected = sides(expression)
        values = [self.value(side) for side in connected]
        safe = next((at for at, side in enumerate(connected) if self.may_fail(side)), len(values)) + 1
        first = _joined(expression, values[:safe])
        if safe >= len(values):
            return first
        decided = "NOT {}", "false"
        if isinstance(expression, exp.Or):
            decided = "{}", "true"

        def write(once: Sequence[str]) -> str:
            cases = "".join(
                f" WHEN {side} IS NULL THEN NULL WHEN {decided[0].format(side)} THEN {decided[1]}"
                for side in once[:-1]
            )
            return f"CASE{cases} ELSE {once[-1]} END"

        return self.once([first, *values[safe:]], write)

    def _time(self, side: exp.Expression, other: exp.Expression) -> str:
        """A side of a comparison: a text beside WINDOWSTART or ROWTIME is an ISO time."""
        if is_time_bound(other) and isinstance(side, exp.Literal) and side.is_string:
            return str(milliseconds(str(side.this)))
        return self.value(side)

    def _arithmetic(self, expression: exp.Expression) -> str:
        """An operation, or a chain of additions and subtractions, however long."""
        first, operations = expression.this, [expression]
        if is_chained(expression):
            first, operations = operands(expression)
        written = self.value(first)
        for kind, run in groupby(operations, self.type_of):
            written = self._calculated(kind, written, list(run))
        return written

    def _calculated(self, kind: KsqlType, left: str, operations: list[exp.Expression]) -> str:
        """Operations one after the other, with results of one type."""
        steps = [(OPERATORS[type(step)], self.value(step.expression)) for step in operations]
        if kind == STRING:
            # Observed: 'x' + NULL is 'xnull'.
            texts = [left, *(right for _, right in steps)]
            return self.concatenated([f"coalesce({operand}, 'null')" for operand in texts])
        if kind in INTEGERS and steps[0][0] in "+-":
            return self.whole_sum(kind, [("+", left), *steps])
        if kind == DOUBLE and len(steps) > SHALLOW:
            signed = (f"{sign if sign == '-' else ''}CAST({right} AS DOUBLE)" for sign, right in steps)
            return self.folded([f"CAST({left} AS DOUBLE)", *signed])
        for operation, (operator, right) in zip(operations, steps, strict=True):
            if kind in INTEGERS:
                left = self.integer(kind, left, operator, right)
            elif kind.name == "DECIMAL":
                written = self.checked_type(operation, kind)
                for side in (operation.this, operation.expression):
                    self.checked_type(operation, self.type_of(side))
                if operator == "/":
                    left = f"TRY_CAST({self.quotient(kind, left, right)} AS {written})"
                elif operator == "%":
                    left = f"CAST({left} % nullif({right}, 0) AS {written})"
                else:
                    left = f"CAST({left} {operator} {right} AS {written})"
            else:
                left = self.double(f"CAST({left} AS DOUBLE)", operator, f"CAST({right} AS DOUBLE)")
        return left

    def _cast(self, cast: exp.Cast) -> str:
        return self.cast(cast, self.type_of(cast.this), self.type_of(cast), self.value(cast.this))

    def _case(self, case: exp.Case) -> str:
        tests = [branch.this for branch in case.args["ifs"]]
        default = case.args.get("default")
        values = [self.value(branch.args["true"]) for branch in case.args["ifs"]]
        values.append(self.value(default) if default is not None else "NULL")
        doubtful = [may_be_null(test, self.substitutes) for test in tests]
        asked = [self.value(test) if doubt else "" for test, doubt in zip(tests, doubtful, strict=True)]
        met = [self.condition(test) for test in tests]

        def write(once: Sequence[str]) -> str:
            branches = ""
            count = len(tests)
            for number, doubt in enumerate(doubtful):
                if doubt:  # then ksqlDB gives up: the result is NULL
                    branches += f" WHEN {once[number]} IS NULL THEN NULL"
                branches += f" WHEN {once[count + number]} THEN {once[2 * count + number]}"
            return f"CASE{branches} ELSE {once[-1]} END"

        parts = [*asked, *met, *values]
        # Only tests that may be NULL are repeated; the rest is long for other reasons.
        return self.once(parts, write) if any(map(is_long, asked)) else write(parts)


def _negated(condition: str) -> str:
    # DuckDB moves a NOT into ANDs and ORs, and looks at all that is inside again for each.
    return f"({condition} = false)" if is_long(condition) else f"(NOT {condition})"


def _joined(expression: exp.Expression, sides: Sequence[str]) -> str:
    word = " AND " if isinstance(expression, exp.And) else " OR "
    return f"({word.join(sides)})" if len(sides) > 1 else sides[0]


def owner(expression: exp.Expression) -> exp.Expression:
    """The first part of a path of fields (``a->b->c``); other expressions as they are."""
    while isinstance(expression, exp.Dot):
        expression = expression.this
    return expression


def spans_all(pattern: str) -> bool:
    """True for a pattern from ^ to $, without alternatives that could end earlier."""
    return pattern.startswith("^") and pattern.endswith("$") and "|" not in pattern
