"""Writes calls of functions in an engine's SQL. This part is the same for all engines."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence

from sqlglot import exp

from opensea_metrics.core.definition import Definition
from opensea_metrics.core.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTEGER,
    NULL,
    STRING,
    TIME,
    TIMESTAMP,
    ArrayType,
    DecimalType,
    MapType,
    name_of,
)
from opensea_metrics.sql.language.functions import library as functions
from opensea_metrics.sql.language.functions import variations
from opensea_metrics.sql.language.functions.calls import resolved
from opensea_metrics.sql.language.lowering import scalars
from opensea_metrics.sql.language.lowering.expressions import INTEGERS
from opensea_metrics.sql.language.lowering.failing import is_arithmetic
from opensea_metrics.sql.language.lowering.json_paths import names_in
from opensea_metrics.sql.language.lowering.lambdas import Lambdas
from opensea_metrics.sql.language.lowering.rare import table
from opensea_metrics.sql.language.lowering.refusals import Unsupported
from opensea_metrics.sql.language.lowering.template import PART_OF_TEMPLATE, fill
from opensea_metrics.sql.language.lowering.writing import REPEATING
from opensea_metrics.sql.language.queries.inference import infer

AGGREGATES = frozenset(
    (
        "ATTR", "AVG", "COLLECT_LIST", "COLLECT_SET", "CORRELATION", "COUNT", "COUNT_DISTINCT", "EARLIEST_BY_OFFSET",
        "HISTOGRAM", "LATEST_BY_OFFSET", "MAX", "MIN", "STDDEV_SAMP", "STDDEV_SAMPLE", "SUM", "SUM_LIST", "TOPK",
        "TOPKDISTINCT",
    )
)  # fmt: skip
PARTLY: dict[str, tuple[str, ...]] = {
    "CHR": ("INT",),
    "CONCAT": ("VARCHAR...",),
    "CONCAT_WS": ("VARCHAR...",),
    "FORMAT_TIMESTAMP": ("TIMESTAMP VARCHAR",),
    "INSTR": ("VARCHAR VARCHAR",),
    "LEN": ("VARCHAR", "BYTES"),
    "LPAD": ("VARCHAR INT VARCHAR",),
    "ROUND": ("DECIMAL", "DOUBLE", "DECIMAL INT", "INT", "BIGINT"),
    "RPAD": ("VARCHAR INT VARCHAR",),
    "SPLIT": ("VARCHAR VARCHAR",),
    "SUBSTRING": ("VARCHAR INT", "VARCHAR INT INT"),
    "TRUNC": ("DECIMAL", "DOUBLE", "DECIMAL INT", "INT", "BIGINT"),
    "UUID": ("",),
}
"""For each function whose SQL is for some variations only: these variations."""
OWN_WAY = frozenset(
    (
        "ABS", "ARRAY_JOIN", "ARRAY_MAX", "ARRAY_MIN", "ARRAY_SORT", "CEIL", "CUBE_EXPLODE", "DATEADD", "DATESUB",
        "ENTRIES", "EXPLODE", "EXTRACTJSONFIELD", "FILTER", "FLOOR", "FORMAT_TIMESTAMP", "JSON_ARRAY_CONTAINS",
        "MAP_KEYS", "MAP_VALUES", "REDUCE", "REGEXP_EXTRACT", "ROUND", "TIMEADD", "TIMESTAMPADD", "TIMESTAMPSUB",
        "TIMESUB", "TO_JSON_STRING", "TRANSFORM", "TRUNC",
    )
)  # fmt: skip
"""Functions that are not written by a template, see :meth:`Calls.call`."""


_TAKING_NULL = frozenset(
    ("ARRAY_CONTAINS", "ARRAY_REMOVE", "CONCAT_WS", "FIELD", "IS_JSON_STRING", "JSON_ARRAY_CONTAINS")
)
"""Functions that give something for NULL, where arithmetic on NULL has to make the whole NULL."""
_COMPARING = frozenset(
    ("ARRAY_CONTAINS", "ARRAY_DISTINCT", "ARRAY_EXCEPT", "ARRAY_INTERSECT", "ARRAY_REMOVE", "ARRAY_UNION", "NULLIF")
)
"""Functions that compare values of any type."""
_ORDERS = {False: ("ASC", "ASCEN", "ASCENDING"), True: ("DESC", "DESCEN", "DESCENDING")}
"""The words for ARRAY_SORT's two orders, by whether it is descending."""
_OF_NOTHING = {"CONCAT": (1, "''"), "CONCAT_WS": (2, "NULL"), "JSON_CONCAT": (1, "NULL")}
"""Calls with fewer arguments than these, and their values."""
_UNITS = {"DAYS": 86_400_000, "HOURS": 3_600_000, "MINUTES": 60_000, "SECONDS": 1000, "MILLISECONDS": 1}
_DAY = 86_400_000
_SORTED = frozenset(
    ("BOOLEAN", "INTEGER", "BIGINT", "DOUBLE", "DECIMAL", "STRING", "DATE", "TIME", "TIMESTAMP")
)
"""Types whose values Java compares as the engines do."""
_MOST_WHOLE = 36
"""The most digits before the point of a DECIMAL that is rounded, so that one more fits."""


def runs(name: str, variation: str) -> bool:
    """Whether the engines run a variation (as :mod:`sql.language.functions.builtin` writes it)."""
    if variation in table.FORMS.get(name, {}):
        return True
    is_written = not {name, f"{name}()"}.isdisjoint(scalars.TEMPLATES) or name in OWN_WAY or name in AGGREGATES
    return is_written and variation in PARTLY.get(name, (variation,))


class Calls(Lambdas):
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
                return self.json_text(self.type_of(arguments[0]), self.value(arguments[0]))
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
        """A MAP of keys and values. A text that is NULL is the key 'null'; the last value of a key counts."""
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

    def _taken(self, call: exp.Anonymous, chosen: variations.Call) -> list[str]:
        """The arguments as the function's parameters take them: ksqlDB makes times and BYTES of texts."""
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
        """A call that both engines make in Python."""
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
            listed = self.array([f"CAST({value} AS {element})" for value in values[form.listed :]])
            values = [*values[: form.listed], listed]
        called = self.in_python(form, values)
        kind = chosen.type
        return self.from_number(call, kind, called) if kind in (DATE, TIME, TIMESTAMP) else called

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
        written = {down: self.sorted(values, is_descending=down) for down in (False, True)}
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

    def _json_contains(self, call: exp.Anonymous, arguments: list[exp.Expression]) -> str:
        kind = self.type_of(arguments[1])
        if kind not in (STRING, BOOLEAN, INTEGER, BIGINT, DOUBLE):
            raise self.refused(arguments[1], f"JSON_ARRAY_CONTAINS of {kind}")
        text = self.cast(arguments[1], kind, STRING, self.value(arguments[1]))
        return self.in_python(table.JSON_ARRAY_CONTAINS, [self.value(arguments[0]), text, self.text(kind.name)])

    def _moved(self, call: exp.Anonymous, chosen: variations.Call) -> str:
        """A time plus or minus some units. A TIME begins again after midnight; a DATE is cut to its day."""
        unit = _UNITS.get(str(call.expressions[0].this).upper())
        if unit is None:
            raise self.refused(call, f"the unit {call.expressions[0].this} of {call.this}")
        kind = chosen.type
        count, value = self.value(call.expressions[1]), self._taken_time(call, chosen)
        sign = "-" if str(call.this).upper().endswith("SUB") else "+"
        shift = f"CAST({count} AS BIGINT) * {unit}"
        number = self.as_number(call, kind, value)
        if kind == DATE:
            moved = f"CAST(floor((CAST({number} AS BIGINT) * {_DAY} {sign} {shift}) / {float(_DAY)}E0) AS BIGINT)"
        elif kind == TIME:
            moved = f"((({number} {sign} {shift}) % {_DAY} + {_DAY}) % {_DAY})"
        else:
            moved = f"({number} {sign} {shift})"
        return self.from_number(call, kind, moved)

    def _taken_time(self, call: exp.Anonymous, chosen: variations.Call) -> str:
        argument, kind = call.expressions[2], chosen.parameters[2].type
        value = self.value(argument)
        return self.cast(argument, STRING, kind, value) if self.type_of(argument) == STRING else value

    def _to_digits(self, call: exp.Anonymous, name: str, arguments: list[exp.Expression]) -> str:
        """ROUND and TRUNC of all but DOUBLEs to digits."""
        kind, value = self.type_of(arguments[0]), self.value(arguments[0])
        if kind in INTEGERS:
            return f"CAST({value} AS BIGINT)"
        if kind == DOUBLE:
            return self.once([value], lambda once: self.truncated(BIGINT, _nearest(once[0]))) if name == "ROUND" else (
                self.truncated(BIGINT, value)
            )
        result = self.type_of(call)
        self.checked_type(call, kind)
        self.checked_type(call, result)
        written = self.wider(result)
        assert isinstance(kind, DecimalType)
        digits = 0
        if len(arguments) > 1:
            literal = arguments[1].this if isinstance(arguments[1], exp.Neg) else arguments[1]
            if not isinstance(literal, exp.Literal):
                form = table.ROUND_DECIMAL if name == "ROUND" else table.TRUNC_DECIMAL
                text = self.in_python(form, [self.cast(call, kind, STRING, value), self.value(arguments[1])])
                return f"TRY_CAST({text} AS {self.wider(result)})"
            digits = int(literal.this) * (-1 if literal is not arguments[1] else 1)
        if digits >= kind.scale:
            return f"CAST({value} AS {self.type_name(result)})"
        if kind.precision - kind.scale + max(digits, 0) > _MOST_WHOLE:
            raise self.refused(call, f"{name} of {kind}")
        unit = "1" + "0" * -digits if digits <= 0 else f"0.{'0' * (digits - 1)}1"
        least = f"0.{'0' * (kind.scale - 1)}1"

        def write(once: Sequence[str]) -> str:
            (number,) = once
            if name == "TRUNC":
                return f"TRY_CAST({number} - {number} % CAST({unit} AS {self.type_name(kind)}) AS {written})"
            # Halves are rounded up: of negative numbers, towards 0.
            nudged = f"CASE WHEN {number} < 0 THEN {number} + {least} ELSE {number} END"
            return f"TRY_CAST(round({nudged}, {digits}) AS {written})"  # 99.99 becomes 100.0

        return self.once([value], write)

    def _extracted(self, call: exp.Anonymous, arguments: list[exp.Expression]) -> str:
        """The engine's own function where it gives what Java gives, else Python."""
        pattern = arguments[0]
        group = self.value(arguments[2]) if len(arguments) == 3 else None
        if isinstance(pattern, exp.Literal):
            # In ksqlDB, an unused group is NULL, and an empty one is ''. The engines return '' for both.
            text, own = str(pattern.this), None
            if group is None or not re.search(r"[?*|]|\{0", text):
                with contextlib.suppress(Unsupported):
                    own = self.regexp_extract(call, text, self.value(arguments[1]), group)
            try:
                is_pattern = table.is_pattern(text)
            except ValueError as error:
                if own is None:
                    raise self.refused(pattern, f"REGEXP_EXTRACT with {error} in its pattern") from None
                return own
            if own is not None and is_pattern:
                return own
        return self.in_python(table.REGEXP_EXTRACT, [self.value(pattern), self.value(arguments[1]), group or "0"])

    def _json_field(self, call: exp.Anonymous, arguments: list[exp.Expression]) -> str:
        path = arguments[1]
        text = self.value(arguments[0])
        if not isinstance(path, exp.Literal):
            return self.in_python(table.JSON_FIELD, [text, self.value(path)])
        names = names_in(str(path.this))
        if names is None:
            return f"CAST(NULL AS {self.type_name(STRING)})"
        return self.json_field(text, names, lambda once: self.in_python(table.JSON_FIELD, [once, self.value(path)]))

    def _filled(self, name: str, arguments: Sequence[str]) -> str:
        template = self.templates[name]
        parts = PART_OF_TEMPLATE.findall(template)
        if len(parts) > len(set(parts)) or template.startswith(REPEATING):
            return self.once(arguments, lambda once: fill(template, once))
        return fill(template, arguments)

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

    def _rounded(self, name: str, argument: exp.Expression) -> str:
        """ABS, CEIL or FLOOR. The result has the argument's type."""
        kind, value = self.type_of(argument), self.value(argument)
        if kind in INTEGERS:
            return self.absolute(kind, value) if name == "ABS" else value
        self.checked_type(argument, kind)
        return self.rounded(name, kind, value)

    def _absorbing(self, name: str, arguments: list[exp.Expression], written: list[str]) -> str:
        """Functions that accept NULL. Arithmetic on NULL still fails in ksqlDB, and makes the whole NULL."""
        if is_arithmetic(arguments[0]) and not any(map(self.may_fail, arguments[1:])):
            kinds = set(map(self.type_of, arguments))
            if name == "NULLIF" or (name in ("COALESCE", "IFNULL") and len(kinds) == 1):
                # The result is NULL if the first argument is NULL, so no check is needed before it. DuckDB's time
                # grows with the cube of the depth for a deep expression.
                return self._filled(name, written) if name == "NULLIF" else written[0]
        if name in ("GREATEST", "LEAST") and self.type_of(arguments[0]) == STRING:
            return self.unless_failed(
                name, arguments, written,
                lambda once: self.of_java_ordered(self._filled(name, list(map(self.java_ordered, once)))),
            )  # fmt: skip
        return self.unless_failed(name, arguments, written, lambda once: self._filled(name, once))


def _nearest(value: str) -> str:
    """A DOUBLE rounded as by Java's ``Math.round``: half of the way goes up."""
    whole = f"floor({value})"
    return (
        f"CASE WHEN abs({value}) < 4503599627370496E0 THEN {whole} +"
        f" CASE WHEN {value} - {whole} >= 0.5E0 THEN 1 ELSE 0 END ELSE {value} END"
    )
