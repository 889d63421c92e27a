"""Writes calls of functions in an engine's SQL. This part is the same for all engines."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from opensea_metrics.core.definition import Definition
from opensea_metrics.core.types import (
    BYTES,
    DATE,
    STRING,
    TIME,
    TIMESTAMP,
    ArrayType,
    StructType,
    name_of,
)
from opensea_metrics.sql.language.functions import library as functions
from opensea_metrics.sql.language.functions import variations
from opensea_metrics.sql.language.functions.calls import resolved
from opensea_metrics.sql.language.lowering.extraction import Extraction
from opensea_metrics.sql.language.lowering.failing import is_arithmetic
from opensea_metrics.sql.language.lowering.rare import table
from opensea_metrics.sql.language.lowering.refusals import Unsupported
from opensea_metrics.sql.language.lowering.runnable import runs
from opensea_metrics.sql.language.queries.inference import infer

_TAKING_NULL = frozenset(
    ("ARRAY_CONTAINS", "ARRAY_REMOVE", "CONCAT_WS", "FIELD", "IS_JSON_STRING", "JSON_ARRAY_CONTAINS")
)
"""Functions with a result for NULL. If arithmetic on NULL is an argument, the whole expression must be NULL."""
_COMPARING = frozenset(
    ("ARRAY_CONTAINS", "ARRAY_DISTINCT", "ARRAY_EXCEPT", "ARRAY_INTERSECT", "ARRAY_REMOVE", "ARRAY_UNION", "NULLIF")
)
"""Functions that compare values of any type."""
_OF_NOTHING = {"CONCAT": (1, "''"), "CONCAT_WS": (2, "NULL"), "JSON_CONCAT": (1, "NULL")}
"""By function: a number, and the value of calls with fewer arguments than this number."""


class Calls(Extraction):
    """Writes expressions that contain calls. The class of an engine says how to write each function."""

    def _to_json(self, argument: exp.Expression) -> str:
        kind = self.type_of(argument)
        if isinstance(kind, StructType) and isinstance(argument, exp.Anonymous) and str(argument.this) == "STRUCT":
            self.checked_type(argument, kind)
            fields = {name_of(item.this): self.value(item.expression) for item in argument.expressions}
            return self.json_object(kind, fields)
        return self.json_text(kind, self.value(argument))

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
                return self._map(call, arguments)
            case "TRANSFORM" | "FILTER" | "REDUCE":
                return self.with_lambda(call)
        if name in _TAKING_NULL:
            called = self._call(call, name, arguments)
            return self.unless_failed(name, arguments, [], lambda _: called)
        return self._call(call, name, arguments)

    def _call(self, call: exp.Anonymous, name: str, arguments: list[exp.Expression]) -> str:
        function = functions.find(name)
        if function and function.definition:
            return self._python(call, function.definition)
        chosen = self.check_runs(call)
        if name in _OF_NOTHING and len(arguments) < _OF_NOTHING[name][0]:
            return _OF_NOTHING[name][1]
        if form := table.FORMS.get(name, {}).get(chosen.variation.text):
            try:
                if name == "FORMAT_TIMESTAMP" and len(arguments) == 2:
                    return self.format_timestamp(call, arguments)
            except Unsupported:
                pass
            return self._in_python(call, form, chosen)
        match name:
            case "EXPLODE" | "CUBE_EXPLODE":
                return self.exploded(call, self.listed(call))
            case "MAP_KEYS" | "MAP_VALUES":
                return self._of_entries(name, arguments[0])
            case "ABS" | "CEIL" | "FLOOR":
                return self._rounded(name, arguments[0])
            case "ROUND" | "TRUNC":
                return self._to_digits(call, name, arguments)
            case "COALESCE" | "IFNULL" | "NULLIF" | "GREATEST" | "LEAST" | "CONCAT":
                return self._absorbing(name, arguments, self._taken(call, chosen))
            case "EXTRACTJSONFIELD":
                return self._json_field(call, arguments)
            case "REGEXP_EXTRACT":
                return self._extracted(call, arguments)
            case "TO_JSON_STRING":
                return self._to_json(arguments[0])
            case "ARRAY_JOIN" | "ARRAY_MAX" | "ARRAY_MIN" | "ARRAY_SORT":
                return self._of_array(call, name, arguments)
            case "ENTRIES":
                return self._entries(call, arguments)
            case "JSON_ARRAY_CONTAINS":
                return self._json_contains(call, arguments)
            case "DATEADD" | "DATESUB" | "TIMEADD" | "TIMESUB" | "TIMESTAMPADD" | "TIMESTAMPSUB":
                return self._moved(call, chosen)
        if name in _COMPARING:
            self.check_comparable(call)
        if name in ("SUBSTRING", "LOG") and len(arguments) == {"SUBSTRING": 3, "LOG": 2}[name]:
            name = {"SUBSTRING": "SUBSTRING OF LENGTH", "LOG": "LOG OF BASE"}[name]
        if chosen.variation.text.startswith("BYTES"):
            name = f"{name} OF BYTES"
        if not arguments and f"{name}()" in self.templates:
            name = f"{name}()"
        if name == "GENERATE_SERIES":
            return self._series(call)
        if name not in self.templates:
            raise self.refused(call, name)
        return self._filled(name, self._taken(call, chosen))

    def _taken(self, call: exp.Anonymous, chosen: variations.Call) -> list[str]:
        """The arguments with the types of the function's parameters. ksqlDB converts texts to times and BYTES."""
        written = []
        for argument, parameter in zip(call.expressions, chosen.parameters, strict=True):
            value, kind = self.value(argument), self.type_of(argument)
            if kind == STRING and parameter.type in (DATE, TIME, TIMESTAMP, BYTES):
                value = self.cast(argument, STRING, parameter.type, value)
            if isinstance(kind, ArrayType) and parameter.type == STRING:
                value = self.cast(argument, kind, STRING, value)
            if str(call.this).upper() in _COMPARING:
                value = self.normal(kind, value)
            written.append(value)
        return written

    def _in_python(self, call: exp.Anonymous, form: table.PythonForm, chosen: variations.Call) -> str:
        """A call that both engines compute in Python."""
        name = str(call.this).upper()
        for number, check in form.checks.items():
            argument = call.expressions[number]
            if not isinstance(argument, exp.Literal):
                continue  # the function itself checks each pattern
            try:
                check(str(argument.this))
            except ValueError as error:
                raise self.refused(argument, f"{name} with {error} in its pattern") from None
        values = [
            self.as_number(argument, parameter.type, value) if parameter.type in (DATE, TIME, TIMESTAMP) else value
            for argument, parameter, value in zip(
                call.expressions, chosen.parameters, self._taken(call, chosen), strict=True
            )
        ]
        if form.listed is not None:
            element = self.type_name(chosen.parameters[-1].type)
            listed = self.array(*(f"CAST({value} AS {element})" for value in values[form.listed :]))
            values = [*values[: form.listed], listed]
        called = self.in_python(form, values)
        kind = chosen.type
        return self.from_number(call, kind, called) if kind in (DATE, TIME, TIMESTAMP) else called

    def check_runs(self, call: exp.Anonymous) -> variations.Call:
        """The variation of one of ksqlDB's functions that is called. Raises Unsupported if no engine runs it."""
        if (function := functions.find(str(call.this))) is not None and function.is_of_server:
            raise self.refused(call, f"{function.name}, a function of another server,")
        chosen = resolved(call, self.scope, infer)
        if not runs(str(call.this).upper(), chosen.variation.text) or chosen.as_list:
            name = str(call.this).upper()
            if not any(runs(name, variation.text) for variation in functions.BUILT_IN[name].variations):
                raise self.refused(call, name)
            taken = ", ".join(map(str, map(self.type_of, call.expressions)))
            raise self.refused(call, f"{name}({taken})")
        return chosen

    def check_comparable(self, call: exp.Anonymous) -> None:
        """Raises Unsupported for a function that compares MAPs, if the engine cannot compare them."""

    def listed(self, call: exp.Anonymous) -> str:
        """The rows of a table function as an ARRAY."""
        function = functions.known()[str(call.this).upper()]
        if function.definition:
            return self._python_call(call.expressions, function.definition)
        self.check_runs(call)
        value = self.value(call.expressions[0])
        return value if function.name == "EXPLODE" else self._filled(function.name, [value])

    def _python(self, call: exp.Anonymous, definition: Definition) -> str:
        """A function of ``udfs``. It is registered with the engine under its name."""
        called = self._python_call(call.expressions, definition)
        return self.exploded(call, called) if definition.kind == "table" else called

    def _python_call(self, arguments: Sequence[exp.Expression], definition: Definition) -> str:
        casts = ", ".join(
            f"CAST({self.value(argument)} AS {self.type_name(parameter.type)})"
            for argument, parameter in zip(arguments, definition.parameters, strict=True)
        )
        return f"{self.function_name(definition.name)}({casts})"

    def _absorbing(self, name: str, arguments: list[exp.Expression], written: list[str]) -> str:
        """A call of a function that accepts NULL.

        Arithmetic on NULL still fails in ksqlDB, and the whole expression is NULL.
        """
        if is_arithmetic(arguments[0]) and not any(map(self.may_fail, arguments[1:])):
            kinds = set(map(self.type_of, arguments))
            if name == "NULLIF" or (name in ("COALESCE", "IFNULL") and len(kinds) == 1):
                # The result is NULL if the first argument is NULL, so that argument needs no check. DuckDB's time
                # grows with the cube of the depth for a deep expression.
                return self._filled(name, written) if name == "NULLIF" else written[0]
        if name in ("GREATEST", "LEAST") and self.type_of(arguments[0]) == STRING:
            return self.unless_failed(
                name, arguments, written,
                lambda once: self.of_java_ordered(self._filled(name, list(map(self.java_ordered, once)))),
            )  # fmt: skip
        return self.unless_failed(name, arguments, written, lambda once: self._filled(name, once))
