"""Writes ARRAYs and MAPs, and calls that read their parts. This part is the same for all engines."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from opensea_metrics.core.types import DATE, NULL, STRING, TIME, TIMESTAMP, ArrayType, MapType
from opensea_metrics.sql.language.lowering.lambdas import Lambdas
from opensea_metrics.sql.language.lowering.template import PART_OF_TEMPLATE, fill
from opensea_metrics.sql.language.lowering.writing import REPEATING

_ORDERS = {False: ("ASC", "ASCEN", "ASCENDING"), True: ("DESC", "DESCEN", "DESCENDING")}
"""The words for ARRAY_SORT's two orders, by whether it is descending."""
_SORTED = frozenset(
    ("BOOLEAN", "INTEGER", "BIGINT", "DOUBLE", "DECIMAL", "STRING", "DATE", "TIME", "TIMESTAMP")
)
"""Types whose values Java compares as the engines do."""


class Containers(Lambdas):
    """Writes expressions with calls that make or read an ARRAY or a MAP."""

    def _filled(self, name: str, arguments: Sequence[str]) -> str:
        template = self.templates[name]
        parts = PART_OF_TEMPLATE.findall(template)
        if len(parts) > len(set(parts)) or template.startswith(REPEATING):
            return self.once(arguments, lambda once: fill(template, once))
        return fill(template, arguments)

    def _series(self, call: exp.Anonymous) -> str:
        """GENERATE_SERIES. Without a step it goes up or down by 1. A series that is too long is NULL."""
        kind = self.type_of(call)
        assert isinstance(kind, ArrayType)
        element = self.type_name(kind.element)
        values = [f"CAST({self.value(argument)} AS {element})" for argument in call.expressions]

        def write(once: Sequence[str]) -> str:
            first, last, *steps = once
            step = steps[0] if steps else f"CASE WHEN {first} <= {last} THEN 1 ELSE -1 END"
            return self._filled("GENERATE_SERIES", [first, last, step, element])

        return self.once(values, write)

    def _map(self, call: exp.Anonymous, arguments: list[exp.Expression]) -> str:
        """A MAP of keys and values. A NULL text becomes the key 'null'. The last value of a key counts."""
        keys = self.of_one_type([item.this for item in arguments])
        values = self.of_one_type([item.expression for item in arguments])
        kind = self.type_of(call)
        assert isinstance(kind, MapType)
        pairs = []
        for item, key, value in zip(arguments, keys, values, strict=True):
            if self.type_of(item.this) in (STRING, NULL) and not isinstance(item.this, exp.Literal):
                key = f"coalesce({key}, 'null')"
            if self.type_of(item.expression) == NULL:
                value = f"CAST(NULL AS {self.checked_type(call, kind.value)})"
            pairs.append((key, value))
        if len(pairs) == 1 or all(isinstance(item.this, exp.Literal) for item in arguments):
            return self.map(pairs)
        return self.joined_maps([self.map([pair]) for pair in pairs])

    def _of_array(self, call: exp.Anonymous, name: str, arguments: list[exp.Expression]) -> str:
        """Functions that need the type of an array's elements."""
        kind = self.type_of(arguments[0])
        element = kind.element if isinstance(kind, ArrayType) else NULL
        values = self.value(arguments[0])
        if element.name not in _SORTED or (name == "ARRAY_JOIN" and element in (DATE, TIME, TIMESTAMP)):
            raise self.refused(call, f"{name} of {kind}")
        if name == "ARRAY_JOIN":
            separator = self.value(arguments[1]) if len(arguments) > 1 else self.text(",")
            text = self.cast(call, element, STRING, "_e") if element != STRING else "_e"
            self.check_lambda(call, text)
            texts = self.mapped(values, "_e", f"coalesce({text}, 'null')")
            if len(arguments) > 1 and not isinstance(arguments[1], exp.Literal):
                return self.joined_by(texts, f"coalesce({separator}, '')")
            return self.joined(texts, separator)
        if element == STRING:
            values = self.mapped(values, "_e", self.java_ordered("_e"))
        if name != "ARRAY_SORT":
            extreme = self.greatest_of(values) if name == "ARRAY_MAX" else self.least_of(values)
            return self.of_java_ordered(extreme) if element == STRING else extreme
        written = {False: self.ascending(values), True: self.descending(values)}
        if element == STRING:
            written = {down: self.mapped(texts, "_e", self.of_java_ordered("_e")) for down, texts in written.items()}
        if len(arguments) == 1:
            return written[False]
        if isinstance(arguments[1], exp.Literal):
            order = str(arguments[1].this).upper()
            is_descending = next((down for down, names in _ORDERS.items() if order in names), None)
            return f"CAST(NULL AS {self.checked_type(call, kind)})" if is_descending is None else written[is_descending]
        order = f"upper({self.value(arguments[1])})"
        branches = [
            f"WHEN {order} IN ({', '.join(map(self.text, names))}) THEN {written[is_descending]}"
            for is_descending, names in _ORDERS.items()
        ]
        return f"CASE {' '.join(branches)} END"

    def _entries(self, call: exp.Anonymous, arguments: list[exp.Expression]) -> str:
        """The entries of a MAP in the order of their keys, or in that of Java's hash table."""
        is_sorted, value = arguments[1], self.value(arguments[0])
        if isinstance(is_sorted, exp.Boolean) and is_sorted.this:
            return self.sorted_entries(value)
        kind = self.type_of(arguments[0])
        assert isinstance(kind, MapType)
        fields = [("K", self.key_of("_e")), ("V", self.value_of("_e"))]
        unsorted = self.mapped(self.hash_ordered(arguments[0], kind, value), "_e", self.struct(fields))
        if isinstance(is_sorted, exp.Boolean):
            return unsorted
        flag, in_order = self.value(is_sorted), self.sorted_entries(value)
        return f"CASE WHEN {flag} THEN {in_order} WHEN ({flag}) = false THEN {unsorted} END"

    def _of_entries(self, name: str, argument: exp.Expression) -> str:
        """MAP_KEYS or MAP_VALUES, in the order of Java's hash table."""
        kind = self.type_of(argument)
        assert isinstance(kind, MapType)
        part = self.key_of("_e") if name == "MAP_KEYS" else self.value_of("_e")
        return self.mapped(self.hash_ordered(argument, kind, self.value(argument)), "_e", part)
