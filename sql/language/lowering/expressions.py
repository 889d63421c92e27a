"""Writes ksqlDB expressions in an engine's SQL. This part is the same for all engines.

Further classes extend this one, each the one before it: :mod:`.conditions`, :mod:`.lambdas`, :mod:`.containers`,
:mod:`.amounts`, :mod:`.extraction` and :mod:`.calls`. Each engine has its own class for the rest (:mod:`.writing`):
``duckdb.Lowering`` and ``spark.SparkLowering``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from sqlglot import exp

from opensea_metrics.core.conversions import common
from opensea_metrics.core.types import (
    BIGINT,
    DATE,
    DOUBLE,
    INTEGER,
    STRING,
    TIMESTAMP,
    KsqlType,
    name_of,
)
from opensea_metrics.sql.language.dialect.grammar import is_chained, operands
from opensea_metrics.sql.language.functions.coercion import widest
from opensea_metrics.sql.language.lowering.casts import Casts
from opensea_metrics.sql.language.lowering.engine_texts import Write
from opensea_metrics.sql.language.lowering.failing import failing_parts, may_be_null
from opensea_metrics.sql.language.lowering.refusals import Unsupported
from opensea_metrics.sql.language.lowering.writing import SHALLOW, is_long
from opensea_metrics.sql.language.queries.inference import infer
from opensea_metrics.sql.language.queries.scope import ARITHMETIC, Scope
from opensea_metrics.sql.language.statements.parser import where

INTEGERS = (BIGINT, INTEGER)
_OPERATORS_WITH_NULL = ("IS NULL", "IS [NOT] DISTINCT FROM")


@dataclass(frozen=True)
class Expressions(Casts):
    """Writes expressions of one statement in an engine's SQL.

    ``scope`` has the types of names. ``substitutes`` maps expressions, by their text, to SQL that replaces them. A
    grouped SELECT uses it for its keys and aggregates.
    """

    scope: Scope
    substitutes: Mapping[exp.Expression, str] = field(default_factory=dict)
    named: Mapping[str, str] = field(default_factory=dict)
    """The SQL of a lambda's parameters, if it differs from their names."""
    written: dict[tuple[str, int], tuple[exp.Expression, str]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """The SQL written so far, by its form and the identity of its expression.

    Outer expressions need the SQL repeatedly. The expression is kept too, so that its identity stays valid.
    """

    def value(self, expression: exp.Expression) -> str:
        """The expression as a value. Raises SqlError if the engine cannot compute it exactly."""
        return self._written("value", expression, self._value)

    def condition(self, expression: exp.Expression) -> str:
        """The expression as a condition, in which NULL has the same effect as false."""
        return self._written("condition", expression, self._condition)

    def _written(self, form: str, expression: exp.Expression, write: Callable[[exp.Expression], str]) -> str:
        key = form, id(expression)
        if key not in self.written:
            self.written[key] = expression, write(expression)
        return self.written[key][1]

    def _value(self, expression: exp.Expression) -> str:
        if self.substitutes and expression in self.substitutes:
            return self.substitutes[expression]
        match expression:
            case exp.Column(this=exp.Identifier() as identifier) | (exp.Identifier() as identifier):
                name = name_of(identifier)
                return self.named.get(name) or self.name(name)
            case exp.Literal():
                return self.literal(expression)
            case exp.Boolean():
                return "TRUE" if expression.this else "FALSE"
            case exp.Null():
                return "NULL"
            case exp.Paren():
                return f"({self.value(expression.this)})"
            case exp.Neg():
                return self.negative(expression)
            case exp.Dot():
                return self.member(self.value(expression.this), name_of(expression.expression))
            case exp.Bracket():
                is_map = self.type_of(expression.this).name == "MAP"
                index = self.value(expression.expressions[0])
                return (self.map_value if is_map else self.element)(self.value(expression.this), index)
            case exp.Array():
                return self.array(*self.of_one_type(expression.expressions))
            case exp.Cast(this=inner):
                return self.cast(expression, self.type_of(inner), self.type_of(expression), self.value(inner))
            case exp.Case():
                return self._case(expression)
            case exp.Anonymous():
                return self.call(expression)
        if type(expression) in ARITHMETIC:
            return self._arithmetic(expression)
        return self.decided(expression)

    @abstractmethod
    def decided(self, condition: exp.Expression) -> str:
        """A condition as a value. The value is NULL only if ksqlDB returns NULL."""

    @abstractmethod
    def _condition(self, expression: exp.Expression) -> str:
        """The expression as a condition; see :meth:`condition`."""

    @abstractmethod
    def call(self, call: exp.Anonymous) -> str:
        """A call of a function."""

    def negative(self, negative: exp.Neg) -> str:
        """A number with a minus sign before it."""
        return f"(-{self.value(negative.this)})"

    def literal(self, literal: exp.Literal) -> str:
        """A text or number."""
        return self.text(str(literal.this)) if literal.is_string else str(literal.this)

    def type_of(self, expression: exp.Expression) -> KsqlType:
        """The ksqlDB type of an expression."""
        return infer(expression, self.scope)

    def refused(self, expression: exp.Expression, feature: str) -> Unsupported:
        """The error for a feature that the engine cannot compute as ksqlDB does."""
        return Unsupported(feature, self.engine, where(self.scope.statement, expression))

    def checked_type(self, expression: exp.Expression, kind: KsqlType) -> str:
        """A type in the engine's SQL. Raises SqlError if the engine has no such type."""
        try:
            return self.type_name(kind)
        except ValueError:
            raise self.refused(expression, f"the type {kind}") from None

    def unless_failed(
        self, name: str, operands: Sequence[exp.Expression], values: Sequence[str], write: Write
    ) -> str:
        """The SQL that ``write`` returns for the values of operands, which may be NULL but must not fail.

        The result is NULL if arithmetic in an operand fails. Raises Unsupported for arithmetic that a branch may skip.
        """
        tests: list[str] = []
        for operand in operands:
            if isinstance(operand, exp.Anonymous) and name not in _OPERATORS_WITH_NULL:
                continue  # a call that is an argument of a call contains its failure
            parts = failing_parts(operand, self.substitutes)
            if parts is None:
                raise self.refused(operand, f"arithmetic in a branch inside an argument of {name}")
            tests += map(self.value, parts)
        if not tests:
            return write(values)

        def guarded(once: Sequence[str]) -> str:
            there = " AND ".join(f"{test} IS NOT NULL" for test in once[len(values) :])
            return f"CASE WHEN {there} THEN {write(once[: len(values)])} END"

        return self.once([*values, *tests], guarded)

    def of_one_type(self, expressions: Sequence[exp.Expression]) -> list[str]:
        """The values of a list as one type. ksqlDB casts some of them to the type of the others."""
        kind = widest(expressions, self.scope, infer)
        return [self._as(expression, kind) for expression in expressions]

    def _as(self, expression: exp.Expression, kind: KsqlType) -> str:
        """A value that ksqlDB casts to a type implicitly."""
        given = self.type_of(expression)
        if common(given, kind) is not None or (given, kind) == (TIMESTAMP, DATE):
            return self.value(expression)
        return self.cast(expression, given, kind, self.value(expression))

    def _arithmetic(self, expression: exp.Expression) -> str:
        """An operation, or a chain of additions and subtractions of any length."""
        first, operations = expression.this, [expression]
        if is_chained(expression):
            first, operations = operands(expression)
        written = self.value(first)
        for kind, run in groupby(operations, self.type_of):
            written = self._calculated(kind, written, list(run))
        return written

    def _calculated(self, kind: KsqlType, left: str, operations: list[exp.Expression]) -> str:
        """A sequence of operations, all of whose results have the same type."""
        steps = [(ARITHMETIC[type(step)], self.value(step.expression)) for step in operations]
        if kind == STRING:  # observed: 'x' + NULL is 'xnull'
            return self.concatenated([f"coalesce({text}, 'null')" for text in (left, *(right for _, right in steps))])
        if kind in INTEGERS and steps[0][0] in "+-":
            return self.whole_sum(kind, [("+", left), *steps])
        if kind == DOUBLE and len(steps) > SHALLOW:
            signed = (f"{sign if sign == '-' else ''}CAST({right} AS DOUBLE)" for sign, right in steps)
            return self.folded(f"CAST({left} AS DOUBLE)", *signed)
        for operation, (operator, right) in zip(operations, steps, strict=True):
            if kind in INTEGERS:
                left = self.integer(kind, left, operator, right)
            elif kind.name == "DECIMAL":
                written = self.checked_type(operation, kind)
                first, second = self.type_of(operation.this), self.type_of(operation.expression)
                for side in (first, second):
                    self.checked_type(operation, side)
                if operator == "/":
                    left = f"TRY_CAST({self.quotient(kind, left, right)} AS {written})"
                elif operator == "%":
                    left = f"CAST({left} % nullif({right}, 0) AS {written})"
                else:
                    left = self.decimal(kind, first, left, operator, right)
            else:
                left = self.double(f"CAST({left} AS DOUBLE)", operator, f"CAST({right} AS DOUBLE)")
        return left

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
                if doubt:  # ksqlDB fails for a NULL condition, so the result is NULL
                    branches += f" WHEN {once[number]} IS NULL THEN NULL"
                branches += f" WHEN {once[count + number]} THEN {once[2 * count + number]}"
            return f"CASE{branches} ELSE {once[-1]} END"

        parts = [*asked, *met, *values]
        # Only tests that may be NULL appear twice in the SQL. Other parts may be long too, but appear once.
        return self.once(parts, write) if any(map(is_long, asked)) else write(parts)


def owner(expression: exp.Expression) -> exp.Expression:
    """The first part of a path of fields (``a->b->c``). Returns other expressions unchanged."""
    while isinstance(expression, exp.Dot):
        expression = expression.this
    return expression
