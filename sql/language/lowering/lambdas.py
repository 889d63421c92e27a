"""Writes TRANSFORM, FILTER and REDUCE in an engine's SQL. This part is the same for all engines.

The lambdas of a MAP become functions of one entry. Where the order of a MAP's entries matters, as in REDUCE, it is the
order of Java's hash table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlglot import exp

from opensea_metrics.core.types import NULL, KsqlType, MapType, name_of
from opensea_metrics.sql.language.lowering.conditions import Conditions
from opensea_metrics.sql.language.lowering.failing import may_be_null

LAMBDAS = 8
"""The largest depth of nested lambdas. DuckDB's time and memory double with each level."""


class Lambdas(Conditions):
    """Writes expressions that contain lambdas."""

    def with_lambda(self, call: exp.Anonymous) -> str:
        """A call of TRANSFORM, FILTER or REDUCE. NULL if a lambda fails for one of the elements."""
        name = str(call.this).upper()
        values = call.expressions[0]
        kind = self.type_of(values)
        if _lambdas_around(call) >= LAMBDAS:
            raise self.refused(call, f"a lambda inside {LAMBDAS} others")
        if isinstance(kind, MapType):
            return self._of_map(call, name, kind)
        function = call.expressions[-1]
        element = getattr(kind, "element", NULL)
        if name == "REDUCE":
            return self._reduced(call, self.value(values), [element])
        inner = self._inside(function, [element])
        parameters = [name_of(parameter) for parameter in function.expressions]
        body = self.function(parameters, inner.value(function.this))
        self.check_lambda(function, body)
        written = self.higher_order(name.lower(), self.value(values), body)
        if name == "TRANSFORM":
            return self.without_nulls(written) if inner.may_fail(function.this) else written
        if may_be_null(function.this, inner.substitutes):
            results = self.higher_order("transform", self.value(values), body)
            return f"CASE WHEN {self.without_nulls(results)} IS NOT NULL THEN {written} END"
        return written

    def _of_map(self, call: exp.Anonymous, name: str, kind: MapType) -> str:
        value = self.value(call.expressions[0])
        if name == "REDUCE":
            entries = self.hash_ordered(call.expressions[0], kind, value)
            return self._reduced(call, entries, [kind.key, kind.value])
        item = f"_m{_lambdas_around(call)}"
        key, member = self.key_of(item), self.value_of(item)
        entries = self.entries(value)
        functions = call.expressions[1:]
        bodies = []
        for function in functions:
            inner = self._inside(function, [kind.key, kind.value], [key, member])
            bodies.append(inner.value(function.this))
            self.check_lambda(function, bodies[-1])
        if name == "TRANSFORM":
            keys, values = (self.without_nulls(self.mapped(entries, item, body)) for body in bodies)
            return self.once(
                [keys, values],
                lambda once: f"CASE WHEN {self.are_distinct(once[0])} THEN {self.mapped_map(once[0], *once)} END",
            )
        kept = self.filtered(entries, item, bodies[0])

        def write(once: Sequence[str]) -> str:
            values = self.without_nulls(self.mapped(once[0], item, member))
            return self.mapped_map(once[0], self.mapped(once[0], item, key), values)

        written = self.once([kept], write)
        if may_be_null(functions[0].this, self.substitutes):
            results = self.without_nulls(self.mapped(entries, item, bodies[0]))
            return f"CASE WHEN {results} IS NOT NULL THEN {written} END"
        return written

    def _reduced(self, call: exp.Anonymous, values: str, kinds: Sequence[KsqlType]) -> str:
        """REDUCE of an array's elements, or of a MAP's entries. NULL if the first state is NULL."""
        start, function = call.expressions[1:]
        state, *names = [name_of(parameter) for parameter in function.expressions]
        named = []
        if len(kinds) > 1:
            names = [f"_M{_lambdas_around(call)}"]
            named = [self.name(state), self.key_of(self.name(names[0])), self.value_of(self.name(names[0]))]
        inner = self._inside(function, [self.type_of(start), *kinds], named)
        body = self.function([state, *names], inner.value(function.this))
        self.check_lambda(function, body)
        return self.reduced(values, body, self.value(start))

    def _inside(self, function: exp.Expression, kinds: Sequence[KsqlType], written: Sequence[str] = ()) -> Lambdas:
        """The writer for a lambda's body.

        ``kinds`` are the types of its parameters, and ``written`` is their SQL if it differs from their names.
        """
        names = [name_of(parameter) for parameter in function.expressions]
        parameters = {**self.scope.parameters, **dict(zip(names, kinds, strict=True))}
        named = {name: sql for name, sql in self.named.items() if name not in names}
        named |= dict(zip(names, written, strict=False))
        return replace(self, scope=replace(self.scope, parameters=parameters), named=named)


def _lambdas_around(call: exp.Expression) -> int:
    around, count = call.parent, 0
    while around is not None:
        count += isinstance(around, exp.Lambda)
        around = around.parent
    return count
