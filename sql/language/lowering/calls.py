"""Writes calls of functions in an engine's SQL. This part is the same for all engines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from sqlglot import exp

from opensea_metrics.core.definition import Definition
from opensea_metrics.core.types import BYTES, DATE, NULL, STRING, TIME, TIMESTAMP, MapType, name_of
from opensea_metrics.sql.language.functions import library as functions
from opensea_metrics.sql.language.functions.calls import resolved
from opensea_metrics.sql.language.lowering.expressions import INTEGERS, Expressions
from opensea_metrics.sql.language.lowering.failing import is_arithmetic
from opensea_metrics.sql.language.lowering.json_paths import names_in
from opensea_metrics.sql.language.lowering.writing import REPEATING
from opensea_metrics.sql.language.queries.inference import infer

_PART_OF_TEMPLATE = re.compile(r"\{(\*|[0-9]+)\}|\{\{|\}\}")
PARTLY: dict[str, tuple[str, ...]] = {
    "CHR": ("INT",),
    "CONCAT": ("VARCHAR...",),
    "EARLIEST_BY_OFFSET": ("T",),
    "FILTER": ("ARRAY<T> (T)=>BOOLEAN",),
    "FORMAT_TIMESTAMP": ("TIMESTAMP VARCHAR",),
    "INSTR": ("VARCHAR VARCHAR",),
    "LATEST_BY_OFFSET": ("T",),
    "LEN": ("VARCHAR",),
    "LPAD": ("VARCHAR INT VARCHAR",),
    "REDUCE": ("ARRAY<T> S (S,T)=>S",),
    "RPAD": ("VARCHAR INT VARCHAR",),
    "SPLIT": ("VARCHAR VARCHAR",),
    "SUBSTRING": ("VARCHAR INT", "VARCHAR INT INT"),
    "TRANSFORM": ("ARRAY<T> (T)=>R",),
    "UNIX_TIMESTAMP": ("TIMESTAMP",),
}
"""The functions of which the engines support only some variations, with these variations."""
OWN_WAY = frozenset(
    (
        "ABS", "CEIL", "EXPLODE", "FILTER", "FLOOR", "FORMAT_TIMESTAMP", "REDUCE", "REGEXP_EXTRACT",
        "TO_JSON_STRING", "TRANSFORM",
    )
)
"""Functions that no template can write, see :meth:`Calls.call`."""


LAMBDAS = 8
"""The largest depth of nested lambdas. DuckDB's time and memory double with each level."""


def fill(template: str, arguments: Sequence[str]) -> str:
    """Insert arguments into a template: ``{0}``, ``{1}`` … and ``{*}`` for all of them.

    Other braces in the template are doubled. Arguments may contain braces, because one pass inserts all of them.
    """

    def part(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0][0]
        return ", ".join(arguments) if match[1] == "*" else arguments[int(match[1])]

    return _PART_OF_TEMPLATE.sub(part, template)


class Calls(Expressions):
    """Writes expressions that contain calls. The class of an engine says how to write each function."""

    def call(self, call: exp.Anonymous) -> str:
        name = str(call.this).upper()
        arguments = list(call.expressions)
        match name:
            case "STRUCT":
                self.checked_type(call, self.type_of(call))
                return self.struct(
                    [(name_of(item.this), self.value(item.expression)) for item in arguments]
                )
            case "MAP":
                keys = self.of_one_type([item.this for item in arguments])
                values = self.of_one_type([item.expression for item in arguments])
                return self.map(list(zip(keys, values, strict=True)))
            case "TRANSFORM" | "FILTER" | "REDUCE":
                return self._higher_order(call, arguments)
        function = functions.find(name)
        if function and function.definition:
            return self._python(call, function.definition, arguments)
        self.check_runs(call)
        match name:
            case "EXPLODE":
                return self.exploded(call, self.value(arguments[0]))
            case "ABS" | "CEIL" | "FLOOR":
                return self._rounded(name, arguments[0])
            case "COALESCE" | "IFNULL" | "NULLIF" | "GREATEST" | "LEAST" | "CONCAT":
                return self._absorbing(name, arguments)
            case "EXTRACTJSONFIELD":
                return self._json_field(call, arguments)
            case "REGEXP_EXTRACT":
                return self._extracted(call, arguments)
            case "FORMAT_TIMESTAMP":
                return self.format_timestamp(call, arguments)
            case "TO_JSON_STRING":
                return self.json_text(self.type_of(arguments[0]), self.value(arguments[0]))
        if name == "SUBSTRING" and len(arguments) == 3:
            name = "SUBSTRING OF LENGTH"
        if name not in self.templates:
            raise self.refused(call, name)
        return self._filled(name, [self.value(argument) for argument in arguments])

    def _extracted(self, call: exp.Anonymous, arguments: list[exp.Expression]) -> str:
        pattern = arguments[0]
        if not isinstance(pattern, exp.Literal):
            raise self.refused(call, "REGEXP_EXTRACT with a pattern that is not a literal")
        if len(arguments) == 3 and re.search(r"[?*|]|\{0", str(pattern.this)):
            # In ksqlDB, an unused group is NULL, and an empty one is ''. The engines return '' for both.
            raise self.refused(call, "a group of REGEXP_EXTRACT beside an optional part")
        group = self.value(arguments[2]) if len(arguments) == 3 else None
        return self.regexp_extract(call, str(pattern.this), self.value(arguments[1]), group)

    def _json_field(self, call: exp.Anonymous, arguments: list[exp.Expression]) -> str:
        path = arguments[1]
        if not isinstance(path, exp.Literal):
            raise self.refused(call, "EXTRACTJSONFIELD with a path that is not a literal")
        names = names_in(str(path.this))
        if names is None:
            return f"CAST(NULL AS {self.type_name(STRING)})"
        try:
            paths = self.json_paths(names)
        except ValueError as error:
            raise self.refused(call, f"EXTRACTJSONFIELD with {error} in its path") from None
        text = self.value(arguments[0])
        values = [self._filled("EXTRACTJSONFIELD", [text, path]) for path in paths]
        return values[0] if len(values) == 1 else f"coalesce({', '.join(values)})"

    def _filled(self, name: str, arguments: Sequence[str]) -> str:
        template = self.templates[name]
        parts = _PART_OF_TEMPLATE.findall(template)
        if len(parts) > len(set(parts)) or template.startswith(REPEATING):
            return self.once(arguments, lambda once: fill(template, once))
        return fill(template, arguments)

    def check_runs(self, call: exp.Anonymous) -> None:
        """Raise Unsupported for a variation of a ksqlDB function that the engine does not support."""
        chosen = resolved(call, self.scope, infer)
        name = str(call.this).upper()
        for argument, parameter in zip(call.expressions, chosen.parameters, strict=True):
            if parameter.type in (DATE, TIME, TIMESTAMP, BYTES) and self.type_of(argument) == STRING:
                raise self.refused(argument, f"a STRING as {parameter.type} for {name}")
        variation = chosen.variation
        without_any = bool(variation.parameters) and not call.expressions
        if variation.text not in PARTLY.get(name, (variation.text,)) or chosen.as_list or without_any:
            taken = ", ".join(map(str, map(self.type_of, call.expressions)))
            raise self.refused(call, f"{name}({taken})")

    def _python(
        self, call: exp.Anonymous, definition: Definition, arguments: list[exp.Expression]
    ) -> str:
        """A function of ``udfs``. It is registered with the engine under its name."""
        casts = ", ".join(
            f"CAST({self.value(argument)} AS {self.type_name(parameter.type)})"
            for argument, parameter in zip(arguments, definition.parameters, strict=True)
        )
        called = f"{self.function_name(definition.name)}({casts})"
        return self.exploded(call, called) if definition.kind == "table" else called

    def _rounded(self, name: str, argument: exp.Expression) -> str:
        """ABS, CEIL or FLOOR. The result has the argument's type."""
        kind, value = self.type_of(argument), self.value(argument)
        if kind in INTEGERS:
            return self.absolute(kind, value) if name == "ABS" else value
        self.checked_type(argument, kind)
        return self.rounded(name, kind, value)

    def _absorbing(self, name: str, arguments: list[exp.Expression]) -> str:
        """A function that accepts NULL. Arithmetic on NULL still fails in ksqlDB, so the whole call is NULL."""
        written = [self.value(argument) for argument in arguments]
        failing = []
        for number, argument in enumerate(arguments):
            if is_arithmetic(argument):
                failing.append(number)
            elif self.may_fail(argument):
                raise self.refused(argument, f"arithmetic inside an argument of {name}")
        if not failing:
            return self._filled(name, written)
        kinds = set(map(self.type_of, arguments))
        if failing == [0] and (name == "NULLIF" or (name in ("COALESCE", "IFNULL") and len(kinds) == 1)):
            # The result is NULL if the first argument is NULL, so no check is needed before it. DuckDB's time grows
            # with the cube of the depth for a deep expression.
            return self._filled(name, written) if name == "NULLIF" else written[0]

        def write(once: Sequence[str]) -> str:
            present = " AND ".join(f"{once[number]} IS NOT NULL" for number in failing)
            return f"CASE WHEN {present} THEN {fill(self.templates[name], once)} END"

        return self.once(written, write)

    def _higher_order(self, call: exp.Anonymous, arguments: list[exp.Expression]) -> str:
        name = str(call.this).upper()
        values, function = arguments[0], arguments[-1]
        kind = self.type_of(values)
        if isinstance(kind, MapType):
            raise self.refused(call, f"{name} of a MAP")
        if _lambdas_around(call) >= LAMBDAS:
            raise self.refused(call, f"a lambda inside {LAMBDAS} others")
        kinds = [getattr(kind, "element", NULL)]
        if name == "REDUCE":
            kinds.insert(0, self.type_of(arguments[1]))
        names = [name_of(parameter) for parameter in function.expressions]
        parameters = {**self.scope.parameters, **dict(zip(names, kinds, strict=False))}
        inner = replace(self, scope=replace(self.scope, parameters=parameters))
        body = self.function(names, inner.value(function.this))
        start = self.value(arguments[1]) if name == "REDUCE" else None
        written = self.higher_order(name, self.value(values), body, start)
        if name == "TRANSFORM" and inner.may_fail(function.this):
            return self.without_nulls(written)
        if name != "REDUCE" and inner.may_fail(function.this):
            raise self.refused(function, f"arithmetic inside the lambda of {name}")
        return written


def _lambdas_around(call: exp.Expression) -> int:
    around, count = call.parent, 0
    while around is not None:
        count += isinstance(around, exp.Lambda)
        around = around.parent
    return count
