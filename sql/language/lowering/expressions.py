"""Writes ksqlDB expressions in an engine's SQL. This part is the same for all engines.

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
    DATE,
    DOUBLE,
    INTEGER,
    STRING,
    TIMESTAMP,
    KsqlType,
    common,
    name_of,
)
from opensea_metrics.sql.language.dialect.nesting import is_chained, operands
from opensea_metrics.sql.language.functions.coercion import TIMES, comparable, widest
from opensea_metrics.sql.language.lowering.casts import Casts
from opensea_metrics.sql.language.lowering.failing import (
    failing_parts,
    may_be_null,
    may_fail,
    sides,
)
from opensea_metrics.sql.language.lowering.refusals import Unsupported
from opensea_metrics.sql.language.lowering.writing import SHALLOW, is_long
from opensea_metrics.sql.language.queries.conditions import is_time_bound
from opensea_metrics.sql.language.queries.inference import infer
from opensea_metrics.sql.language.queries.scope import Scope
from opensea_metrics.sql.language.statements.parser import where
from opensea_metrics.sql.language.values.timestamps import milliseconds

OPERATORS: dict[type[exp.Expression], str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
    exp.NullSafeNEQ: "IS DISTINCT FROM", exp.NullSafeEQ: "IS NOT DISTINCT FROM",
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%",
}  # fmt: skip
INTEGERS = (BIGINT, INTEGER)
_NESTED = ("ARRAY", "MAP", "STRUCT")
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
    """The SQL of a lambda's parameters that do not stand there by their names."""
    written: dict[tuple[str, int], tuple[exp.Expression, str]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """The SQL written so far, by its form and the identity of its expression. Outer expressions ask for it
    repeatedly. The expression is kept too, so that its identity stays valid."""

    def value(self, expression: exp.Expression) -> str:
        """The expression as a value. Raises SqlError if the engine cannot compute it exactly."""
        return self._written("value", expression, self._value)

    def condition(self, expression: exp.Expression) -> str:
        """The expression as a condition, in which NULL has the same effect as false."""
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
            case exp.Column(this=exp.Identifier() as identifier) | (exp.Identifier() as identifier):
                name = name_of(identifier)
                return self.named.get(name) or self.name(name)
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
                return self.array(self.of_one_type(expression.expressions))
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
            case exp.Like() | exp.Is() | exp.Escape():
                return self.condition(expression)
        if type(expression) in OPERATORS and not isinstance(expression, exp.Predicate):
            return self._arithmetic(expression)
        decided = f"coalesce({self.condition(expression)}, false)"
        if wrong := self._texts_that_are_no_times(expression):
            return f"CASE WHEN NOT ({' OR '.join(wrong)}) THEN {decided} END"
        return self.condition(expression) if self.may_fail(expression) else decided

    @abstractmethod
    def call(self, call: exp.Anonymous) -> str:
        """A call of a function."""

    def _condition(self, expression: exp.Expression) -> str:
        match expression:
            case exp.And() | exp.Or():
                if self.may_fail(expression):
                    return self.value(expression)
                connected = [self.condition(side) for side in sides(expression)]
                # DuckDB turns each side of an AND into a filter, which takes 10 GB for 5,000 sides.
                opaque = "coalesce({}, false)" if len(connected) > SHALLOW else "{}"
                return opaque.format(_joined(expression, connected))
            case exp.Not():
                return _negated(self.value(expression.this))
            case exp.Paren():
                return f"({self.condition(expression.this)})"
            case exp.Is():
                other = self.value(expression.expression)
                values = [self.value(expression.this)]
                return self.unless_failed("IS NULL", [expression.this], values, lambda once: f"({once[0]} IS {other})")
            case exp.In():
                members = comparable([expression.this, *expression.expressions], self.scope, infer)
                kind = widest(members, self.scope, infer)
                value, *choices = [self.normal(kind, self._as(member, kind)) for member in members]
                if members[0] is not expression.this or not choices:
                    return "false"
                return f"({value} IN ({', '.join(choices)}))"
            case exp.Between():
                low, high = expression.args["low"], expression.args["high"]
                written = [self._time(side, expression.this) for side in (low, high)]
                bound = high if self.type_of(high) == TIMESTAMP else low
                is_date = self.type_of(expression.this) == DATE
                value = self._time(expression.this, bound) if is_date else self.value(expression.this)
                if self.type_of(expression.this) == self.type_of(low) == STRING and not _are_plain((low, high)):
                    value, *written = map(self.java_ordered, (value, *written))
                return f"({value} BETWEEN {written[0]} AND {written[1]})"
            case exp.Like():
                value, pattern = self.value(expression.this), self.value(expression.expression)
                return self.like(value, pattern, bool(expression.args.get("negate")))
            case exp.Escape():
                return self._like_with_escape(expression)
        if type(expression) in OPERATORS and isinstance(expression, exp.Predicate):
            return self._compared(expression)
        return self.value(expression)

    def _like_with_escape(self, escape: exp.Escape) -> str:
        """LIKE with a pattern whose escape character makes any character stand for itself.

        A pattern that ends with the escape character is an error in ksqlDB, so the result is NULL.
        """
        like, mark = escape.this, str(escape.expression.this)
        if not (isinstance(like.expression, exp.Literal) and like.expression.is_string):
            raise self.refused(like.expression, "LIKE … ESCAPE with a pattern that is not a text in quotes")
        characters = iter(str(like.expression.this))
        pattern = ""
        for character in characters:
            if is_escaped := character == mark:
                following = next(characters, None)
                if following is None:
                    return "CAST(NULL AS BOOLEAN)"
                character = following
            pattern += f"\x01{character}" if (is_escaped and character in "%_") or character == "\x01" else character
        return self.like_escaped(self.value(like.this), self.text(pattern), bool(like.args.get("negate")))

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

    def may_fail(self, expression: exp.Expression) -> bool:
        """True if a failure inside could make an expression NULL, regardless of the expression around it.

        Arithmetic fails for NULL. A comparison with a time fails for a text that is not one.
        """
        if may_fail(expression, self.substitutes):
            return True
        return isinstance(expression, exp.And | exp.Or) and any(map(self.may_fail_for_text, sides(expression)))

    def may_fail_for_text(self, condition: exp.Expression) -> bool:
        """True for a comparison of a time with a text that may not be one, also inside NOT, AND and OR."""
        while isinstance(condition, exp.Not | exp.Paren):
            condition = condition.this
        return bool(self._written("failure", condition, self._failure))

    def _failure(self, condition: exp.Expression) -> str:
        return "NULL" if self.may_fail(condition) or self._texts_that_are_no_times(condition) else ""

    def _connected(self, expression: exp.Expression) -> str:
        """AND or OR as ksqlDB evaluates it, from left to right.

        If arithmetic on NULL makes a side NULL, the whole is NULL. Sides after the deciding one are ignored.
        """
        connected = sides(expression)
        values = [self.value(side) for side in connected]
        failing = map(self.may_fail_for_text, connected)
        safe = next((at for at, may_fail in enumerate(failing) if may_fail), len(values)) + 1
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

    def _compared(self, comparison: exp.Expression) -> str:
        """A comparison of two values. Values of two nested types are never equal."""
        left, right = comparison.this, comparison.expression
        kinds = self.type_of(left), self.type_of(right)
        written = [
            self.normal(kind, self._time(side, other))
            for kind, side, other in zip(kinds, (left, right), (right, left), strict=True)
        ]
        one, both = (word.join(f"{side} IS NOT NULL" for side in written) for word in (" OR ", " AND "))
        if kinds[0] != kinds[1] and kinds[0].name in _NESTED:
            match comparison:
                case exp.EQ():
                    return "false"
                case exp.NEQ():
                    return f"({both})"
                case exp.NullSafeEQ():
                    return f"(NOT ({one}))"
            return f"({one})"

        def write(once: Sequence[str]) -> str:
            return f"({once[0]} {OPERATORS[type(comparison)]} {once[1]})"

        is_order = not isinstance(comparison, exp.EQ | exp.NEQ | exp.NullSafeEQ | exp.NullSafeNEQ)
        if is_order and kinds == (STRING, STRING) and not (_are_plain((left,)) or _are_plain((right,))):
            written = list(map(self.java_ordered, written))
        if isinstance(comparison, exp.NullSafeEQ | exp.NullSafeNEQ):
            return self.unless_failed("IS [NOT] DISTINCT FROM", [left, right], written, write)
        return write(written)

    def unless_failed(
        self,
        name: str,
        operands: Sequence[exp.Expression],
        values: Sequence[str],
        write: Callable[[Sequence[str]], str],
    ) -> str:
        """What ``write`` makes of operands' values: something that takes NULLs, but not failures.

        NULL if arithmetic in an operand fails. Raises Unsupported for arithmetic that a branch may leave out.
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

    def _texts_that_are_no_times(self, expression: exp.Expression) -> list[str]:
        """Conditions for texts beside a time that are not one: they make a comparison NULL."""
        match expression:
            case exp.Between():
                pairs = [(expression.this, expression.args[bound]) for bound in ("low", "high")]
            case exp.Binary():
                pairs = [(expression.this, expression.expression)]
            case _:
                return []
        texts: dict[str, str] = {}
        for pair in pairs:
            for side, other in (pair, pair[::-1]):
                kind = self.type_of(other)
                if kind in TIMES and self.type_of(side) == STRING and not self.is_time(side, kind):
                    texts[self.value(side)] = self._as(side, kind)
        return [f"({text} IS NOT NULL AND {time} IS NULL)" for text, time in texts.items()]

    def _time(self, side: exp.Expression, other: exp.Expression) -> str:
        """A side of a comparison. A text beside WINDOWSTART or ROWTIME is an ISO time."""
        if is_time_bound(other) and isinstance(side, exp.Literal) and side.is_string:
            return str(milliseconds(str(side.this)))
        kind = self.type_of(other)
        return self._as(side, kind) if kind in TIMES else self.value(side)

    def of_one_type(self, expressions: Sequence[exp.Expression]) -> list[str]:
        """Values of a list, of which ksqlDB casts some to the type of the others."""
        kind = widest(expressions, self.scope, infer)
        return [self._as(expression, kind) for expression in expressions]

    def _as(self, expression: exp.Expression, kind: KsqlType) -> str:
        """A value that ksqlDB casts to a type by itself."""
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
        """Operations in sequence, whose results all have one type."""
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
                if doubt:  # ksqlDB fails for a NULL condition, so the result is NULL
                    branches += f" WHEN {once[number]} IS NULL THEN NULL"
                branches += f" WHEN {once[count + number]} THEN {once[2 * count + number]}"
            return f"CASE{branches} ELSE {once[-1]} END"

        parts = [*asked, *met, *values]
        # Only tests that may be NULL are repeated. Other parts may be long too, but they are written once.
        return self.once(parts, write) if any(map(is_long, asked)) else write(parts)


def _are_plain(expressions: Sequence[exp.Expression]) -> bool:
    """True for texts in quotes that every text has the same order with, by characters and by UTF-16 units."""
    return all(
        isinstance(literal := expression.unnest(), exp.Literal) and max(str(literal.this), default="") < "\ud800"
        for expression in expressions
    )


def _negated(condition: str) -> str:
    # DuckDB moves a NOT into ANDs and ORs, and examines the whole inside again at each level.
    return f"({condition} = false)" if is_long(condition) else f"(NOT {condition})"


def _joined(expression: exp.Expression, sides: Sequence[str]) -> str:
    word = " AND " if isinstance(expression, exp.And) else " OR "
    return f"({word.join(sides)})" if len(sides) > 1 else sides[0]


def owner(expression: exp.Expression) -> exp.Expression:
    """The first part of a path of fields (``a->b->c``). Other expressions stay as they are."""
    while isinstance(expression, exp.Dot):
        expression = expression.this
    return expression


def spans_all(pattern: str) -> bool:
    """True for a pattern from ^ to $ without alternatives that could end earlier."""
    return pattern.startswith("^") and pattern.endswith("$") and "|" not in pattern
