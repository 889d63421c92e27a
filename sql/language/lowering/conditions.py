"""Writes conditions in an engine's SQL. This part is the same for all engines.

A comparison with NULL is false in ksqlDB and NULL in SQL. If a condition only selects rows or branches, both
have the same effect. Elsewhere NULL is turned into false. AND, OR, NOT and LIKE have three values in both
(tests/embedded/semantics).
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from opensea_metrics.core.types import DATE, STRING, TIMESTAMP
from opensea_metrics.sql.language.functions.coercion import TIMES, comparable, widest
from opensea_metrics.sql.language.lowering.expressions import Expressions
from opensea_metrics.sql.language.lowering.failing import may_fail, sides
from opensea_metrics.sql.language.lowering.writing import SHALLOW, is_long
from opensea_metrics.sql.language.queries.conditions import is_time_bound
from opensea_metrics.sql.language.queries.inference import infer
from opensea_metrics.sql.language.queries.scope import COMPARISONS
from opensea_metrics.sql.language.values.timestamps import milliseconds

_NESTED = ("ARRAY", "MAP", "STRUCT")


class Conditions(Expressions):
    """Writes expressions that contain conditions."""

    def decided(self, condition: exp.Expression) -> str:
        match condition:
            case exp.And() | exp.Or():
                return self._connected(condition)
            case exp.Not():
                return _negated(self.value(condition.this))
            case exp.Like() | exp.Is() | exp.Escape():
                return self.condition(condition)
        decided = f"coalesce({self.condition(condition)}, false)"
        if wrong := self._texts_that_are_no_times(condition):
            return f"CASE WHEN NOT ({' OR '.join(wrong)}) THEN {decided} END"
        return self.condition(condition) if self.may_fail(condition) else decided

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
                return self.like(value, _like(expression), pattern)
            case exp.Escape():
                return self._like_with_escape(expression)
        if type(expression) in COMPARISONS:
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
        return self.like_escaped(self.value(like.this), _like(like), self.text(pattern))

    def may_fail(self, expression: exp.Expression) -> bool:
        """True if a failure inside an expression could make it NULL, regardless of the expression around it.

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

        If arithmetic on NULL makes a side NULL, the whole condition is NULL. Sides after the deciding one are ignored.
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
            return f"({once[0]} {COMPARISONS[type(comparison)][0]} {once[1]})"

        is_order = not isinstance(comparison, exp.EQ | exp.NEQ | exp.NullSafeEQ | exp.NullSafeNEQ)
        if is_order and kinds == (STRING, STRING) and not (_are_plain((left,)) or _are_plain((right,))):
            written = list(map(self.java_ordered, written))
        if isinstance(comparison, exp.NullSafeEQ | exp.NullSafeNEQ):
            return self.unless_failed("IS [NOT] DISTINCT FROM", [left, right], written, write)
        return write(written)

    def _texts_that_are_no_times(self, expression: exp.Expression) -> list[str]:
        """Conditions that are true if a text that is compared with a time is not a time.

        The comparison is then NULL.
        """
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
        """A side of a comparison. A text that is compared with WINDOWSTART or ROWTIME is an ISO time."""
        if is_time_bound(other) and isinstance(side, exp.Literal) and side.is_string:
            return str(milliseconds(str(side.this)))
        kind = self.type_of(other)
        return self._as(side, kind) if kind in TIMES else self.value(side)


def _are_plain(expressions: Sequence[exp.Expression]) -> bool:
    """True for literals that compare with every text in the same way by characters and by UTF-16 units."""
    return all(
        isinstance(literal := expression.unnest(), exp.Literal) and max(str(literal.this), default="") < "\ud800"
        for expression in expressions
    )


def _like(like: exp.Like) -> str:
    return "NOT LIKE" if like.args.get("negate") else "LIKE"


def _negated(condition: str) -> str:
    # DuckDB moves a NOT into ANDs and ORs, and examines the whole inside again at each level.
    return f"({condition} = false)" if is_long(condition) else f"(NOT {condition})"


def _joined(expression: exp.Expression, sides: Sequence[str]) -> str:
    word = " AND " if isinstance(expression, exp.And) else " OR "
    return f"({word.join(sides)})" if len(sides) > 1 else sides[0]
