"""Expressions and SELECTs, from ksqlDB to DuckDB.

In ksqlDB a comparison with NULL is false, in DuckDB it is NULL. Where a condition only decides
whether a row or branch is taken the two are the same; elsewhere NULL is turned into false. AND, OR, NOT
and LIKE know three values in both (tests/embedded/semantics).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sqlglot import exp

from sql import functions
from sql.errors import SqlError
from sql.inference import Scope, infer, is_time_bound
from sql.lowering.duckdb_functions import TEMPLATES, fill
from sql.parser import where
from sql.types import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    INTEGER,
    NULL,
    STRING,
    KsqlType,
    duckdb,
    name_of,
)
from udfs.definition import Definition

_OPERATORS: dict[type[exp.Expression], str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%",
}  # fmt: skip
_JAVA_ONLY = re.compile(r"\(\?[=!<]|[*+?}]\+|\\[1-9]")
"""In regular expressions: what DuckDB's engine has not."""
_WRAP = {BIGINT: "wrap64", INTEGER: "wrap32"}


def quoted(name: str) -> str:
    """A name as a DuckDB identifier."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A string as a DuckDB literal."""
    return "'" + value.replace("'", "''") + "'"


def wrapped(kind: KsqlType, value: str) -> str:
    """An integer expression of any size, wrapped around as Java does."""
    return f"{_WRAP[kind]}({value})"


@dataclass(frozen=True)
class Lowering:
    """Writes expressions of one statement in DuckDB's SQL.

    ``names`` are the types that columns have; ``substitutes`` maps expressions (by their text) to
    SQL that stands for them, as for the keys and aggregates of a grouped SELECT.
    """

    scope: Scope
    substitutes: Mapping[exp.Expression, str] = field(default_factory=dict)

    def value(self, expression: exp.Expression) -> str:
        """The expression as a value. Raises SqlError for what DuckDB cannot give exactly."""
        if expression in self.substitutes:
            return self.substitutes[expression]
        match expression:
            case exp.Column() if name_of(expression.this) in ("ROWPARTITION", "ROWOFFSET"):
                raise self.refused(expression, name_of(expression.this))
            case exp.Column() | exp.Identifier():
                return quoted(name_of(expression.this) if expression.key == "column"
                              else name_of(expression))  # fmt: skip
            case exp.Literal():
                return text(str(expression.this)) if expression.is_string else str(expression.this)
            case exp.Boolean() | exp.Null():
                return expression.sql(dialect="duckdb")
            case exp.Paren():
                return f"({self.value(expression.this)})"
            case exp.Neg():
                return f"(-{self.value(expression.this)})"
            case exp.Dot():
                return f"struct_extract({self.value(expression.this)}, " + text(
                    name_of(expression.expression)
                ) + ")"
            case exp.Bracket():
                return self._element(expression)
            case exp.Array():
                return "[" + ", ".join(self.value(e) for e in expression.expressions) + "]"
            case exp.Cast():
                return self._cast(expression)
            case exp.Case():
                return self._case(expression)
            case exp.Anonymous():
                return self._call(expression)
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
        if type(expression) in _OPERATORS and not isinstance(expression, exp.Predicate):
            return self._arithmetic(expression)
        if self.may_fail(expression):
            return self.condition(expression)
        return f"coalesce({self.condition(expression)}, false)"

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
                return f"({self.value(expression.this)} IS {expression.expression.sql()})"
            case exp.In():
                choices = ", ".join(self.value(e) for e in expression.expressions)
                return f"({self.value(expression.this)} IN ({choices}))"
            case exp.Between():
                low, high = expression.args["low"], expression.args["high"]
                written = [self._time(side, expression.this) for side in (low, high)]
                return f"({self.value(expression.this)} BETWEEN {written[0]} AND {written[1]})"
            case exp.Like():
                word = "NOT LIKE" if expression.args.get("negate") else "LIKE"
                return f"({self.value(expression.this)} {word} {self.value(expression.expression)})"
        if type(expression) in _OPERATORS and isinstance(expression, exp.Predicate):
            left, right = self._comparable(expression)
            return f"({left} {_OPERATORS[type(expression)]} {right})"
        return self.value(expression)

    def type_of(self, expression: exp.Expression) -> KsqlType:
        """The ksqlDB type of an expression."""
        return infer(expression, self.scope)

    def refused(self, expression: exp.Expression, what: str) -> SqlError:
        """The error for something that DuckDB cannot give as ksqlDB does."""
        return SqlError(
            f"{what} is not supported by the embedded server",
            where(self.scope.statement, expression),
            "ksqlDB itself takes it; see README, 'Limits'",
        )

    def _comparable(self, expression: exp.Expression) -> tuple[str, str]:
        """Both sides of a comparison."""
        left, right = expression.this, expression.expression
        return self._time(left, right), self._time(right, left)

    def _time(self, side: exp.Expression, other: exp.Expression) -> str:
        """A side of a comparison: a text beside WINDOWSTART or ROWTIME is an ISO time."""
        value = self.value(side)
        if is_time_bound(other) and isinstance(side, exp.Literal) and side.is_string:
            return f"epoch_ms({value}::TIMESTAMPTZ)"
        return value

    def _arithmetic(self, expression: exp.Expression) -> str:
        left, right = self.value(expression.this), self.value(expression.expression)
        operator = _OPERATORS[type(expression)]
        kind = self.type_of(expression)
        if kind == STRING:
            # Observed: 'x' + NULL is 'xnull'.
            return f"(coalesce({left}, 'null') || coalesce({right}, 'null'))"
        if kind in _WRAP:
            if operator == "/":
                # Towards zero as in Java; NULL for a division by zero (facts, section 2).
                return wrapped(kind, f"trunc_div({left}, {right})")
            if operator == "%":
                return f"({left} % nullif({right}, 0))"
            return wrapped(kind, f"{left}::HUGEINT {operator} {right}")
        if kind.name == "DECIMAL":
            if operator in "/%":
                raise self.refused(expression, f"'{operator}' of DECIMALs")
            self._duckdb_type(expression, kind)
            return f"CAST({left} {operator} {right} AS {duckdb(kind)})"
        return f"(CAST({left} AS DOUBLE) {operator} CAST({right} AS DOUBLE))"

    def _duckdb_type(self, expression: exp.Expression, kind: KsqlType) -> str:
        try:
            return duckdb(kind)
        except ValueError as error:
            raise self.refused(expression, str(error)) from None

    def _element(self, bracket: exp.Bracket) -> str:
        base, index = self.value(bracket.this), bracket.expressions[0]
        if self.type_of(bracket.this).name == "MAP":
            return f"map_extract_value({base}, {self.value(index)})"
        return f"list_extract({base}, {self.value(index)})"

    def _cast(self, cast: exp.Cast) -> str:
        source, target = self.type_of(cast.this), self.type_of(cast)
        value = self.value(cast.this)
        if source == target:
            return value
        if source == NULL:
            return f"CAST(NULL AS {self._duckdb_type(cast, target)})"
        if source == STRING and target in (INTEGER, BIGINT):
            return f"{'parse_bigint' if target == BIGINT else 'parse_integer'}({value})"
        if source == STRING and target == DOUBLE:
            return f"parse_double({value})"
        if source == STRING and target == BOOLEAN:
            # Observed: 't', 'tr', 'y', 'yes' … are true as well, and nothing else is.
            return f"parse_boolean({value})"
        if source == STRING and target.name == "DECIMAL":
            digits = f"ltrim({value}, '+-.0123456789eE ') = ''"
            return f"CASE WHEN {digits} THEN TRY_CAST(trim({value}) AS {self._duckdb_type(cast, target)}) END"
        if source in (INTEGER, BIGINT, BOOLEAN) and target == STRING:
            return f"CAST({value} AS VARCHAR)"
        if source == INTEGER and target == BIGINT:
            return f"CAST({value} AS BIGINT)"
        if source == BIGINT and target == INTEGER:
            return wrapped(INTEGER, value)
        if source.name in ("INTEGER", "BIGINT", "DECIMAL") and target == DOUBLE:
            return f"CAST({value} AS DOUBLE)"
        if source == DOUBLE and target in (INTEGER, BIGINT):
            return self._truncated(value, target)
        if source.name in ("INTEGER", "BIGINT") and target.name == "DECIMAL":
            return f"TRY_CAST({value} AS {self._duckdb_type(cast, target)})"
        raise self.refused(cast, f"CAST of {source} AS {target}")

    def _truncated(self, value: str, kind: KsqlType) -> str:
        """DOUBLE → integer as in Java: towards zero, NaN is 0, the bounds are kept."""
        low, high = {
            BIGINT: ("-9223372036854775808", "9223372036854775807"),
            INTEGER: ("-2147483648", "2147483647"),
        }[kind]
        return (
            f"CASE WHEN isnan({value}) THEN 0 WHEN {value} >= {high} THEN {high} "
            f"WHEN {value} <= {low} THEN {low} ELSE CAST(trunc({value}) AS {kind.name}) END"
        )

    def _case(self, case: exp.Case) -> str:
        branches = ""
        for branch in case.args["ifs"]:
            if self.may_be_null(branch.this):  # then ksqlDB gives up: the result is NULL
                branches += f" WHEN {self.value(branch.this)} IS NULL THEN NULL"
            branches += f" WHEN {self.condition(branch.this)} THEN {self.value(branch.args['true'])}"
        default = case.args.get("default")
        return f"CASE{branches} ELSE {self.value(default) if default is not None else 'NULL'} END"

    def _call(self, call: exp.Anonymous) -> str:
        name = str(call.this).upper()
        arguments = list(call.expressions)
        match name:
            case "STRUCT":
                fields = (
                    f"{quoted(name_of(item.this))} := {self.value(item.expression)}"
                    for item in arguments
                )
                return f"struct_pack({', '.join(fields)})"
            case "MAP":
                pairs = (f"{self.value(i.this)}: {self.value(i.expression)}" for i in arguments)
                return f"MAP {{{', '.join(pairs)}}}"
            case "TRANSFORM" | "FILTER" | "REDUCE":
                return self._higher_order(name, arguments)
            case "EXPLODE":
                return f"unnest({self.value(arguments[0])})"
            case "ABS" | "CEIL" | "FLOOR":
                return self._rounded(name, arguments[0])
            case "COALESCE" | "IFNULL" | "NULLIF" | "GREATEST" | "LEAST" | "CONCAT":
                return self._absorbing(name, arguments)
            case "REGEXP_EXTRACT":
                return self._regexp_extract(call, arguments)
            case "FORMAT_TIMESTAMP":
                return self._format_timestamp(call, arguments)
            case "SUBSTRING" if len(arguments) == 3:
                return fill("substring_java({0}, {1}, {2})", [self.value(a) for a in arguments])
        function = functions.find(name)
        if function and function.definition:
            return self._python(function.definition, arguments)
        if name not in TEMPLATES:
            raise self.refused(call, name)
        return fill(TEMPLATES[name], [self.value(argument) for argument in arguments])

    def _python(self, definition: Definition, arguments: list[exp.Expression]) -> str:
        """A function of ``udfs``, registered with DuckDB under its name."""
        casts = ", ".join(
            f"CAST({self.value(argument)} AS {duckdb(parameter.type)})"
            for argument, parameter in zip(arguments, definition.parameters, strict=True)
        )
        called = f"{definition.name}({casts})"
        return f"unnest({called})" if definition.kind == "table" else called

    def _rounded(self, name: str, argument: exp.Expression) -> str:
        """ABS, CEIL and FLOOR keep the type. The least integer has no absolute value: it stays."""
        kind, value = self.type_of(argument), self.value(argument)
        if kind in _WRAP:
            return wrapped(kind, f"abs({value}::HUGEINT)") if name == "ABS" else value
        return f"CAST({name.lower()}({value}) AS {self._duckdb_type(argument, kind)})"

    def _absorbing(self, name: str, arguments: list[exp.Expression]) -> str:
        """Functions that make something of NULL, but not of arithmetic on NULL: that fails in ksqlDB,
        and the whole expression is NULL."""
        written = [self.value(argument) for argument in arguments]
        failing = []
        for argument, value in zip(arguments, written, strict=True):
            if _is_arithmetic(argument):
                failing.append(f"{value} IS NULL")
            elif self.may_fail(argument):
                raise self.refused(argument, f"arithmetic inside an argument of {name}")
        call = fill(TEMPLATES[name], written)
        return f"CASE WHEN NOT ({' OR '.join(failing)}) THEN {call} END" if failing else call

    def may_fail(self, expression: exp.Expression) -> bool:
        """Whether arithmetic on NULL could make an expression NULL, whatever stands around it."""
        if isinstance(expression, exp.Anonymous) and expression not in self.substitutes:
            name = str(expression.this).upper()
            if name in ("STRUCT", "MAP", "TRANSFORM", "FILTER", "REDUCE"):
                return False  # they take the NULL for themselves
        if isinstance(expression, exp.Array) or expression in self.substitutes:
            return False
        if _is_arithmetic(expression):
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
        if type(condition) in _OPERATORS and isinstance(condition, exp.Predicate):
            return self.may_fail(condition)
        return True

    def _higher_order(self, name: str, arguments: list[exp.Expression]) -> str:
        values, function = arguments[0], arguments[-1]
        kind = self.type_of(values)
        kinds = [getattr(kind, "element", NULL)]
        if name == "REDUCE":
            kinds.insert(0, self.type_of(arguments[1]))
        names = [name_of(parameter) for parameter in function.expressions]
        parameters = {**self.scope.parameters, **dict(zip(names, kinds, strict=False))}
        inner = replace(self, scope=replace(self.scope, parameters=parameters))
        body = f"lambda {', '.join(map(quoted, names))}: {inner.value(function.this)}"
        if name == "REDUCE":
            start = self.value(arguments[1])
            return f"coalesce(list_reduce({self.value(values)}, {body}, {start}), {start})"
        mapped = f"list_{name.lower()}({self.value(values)}, {body})"
        if name == "TRANSFORM" and inner.may_fail(function.this):
            return f"CASE WHEN len(list_filter({mapped}, lambda e: e IS NULL)) = 0 THEN {mapped} END"
        if inner.may_fail(function.this):
            raise self.refused(function, f"arithmetic inside the lambda of {name}")
        return mapped

    def _regexp_extract(self, call: exp.Anonymous, arguments: list[exp.Expression]) -> str:
        """NULL where nothing matches; DuckDB gives ''. A pattern of the whole text gives the text."""
        literal = arguments[0]
        if not isinstance(literal, exp.Literal):
            raise self.refused(call, "REGEXP_EXTRACT with a pattern that is no literal")
        if _JAVA_ONLY.search(str(literal.this)):
            raise self.refused(call, "a look-around, possessive or back reference of REGEXP_EXTRACT")
        if len(arguments) == 3 and re.search(r"[?*|]|\{0", str(literal.this)):
            # A group that takes no part is NULL in ksqlDB, one that is empty ''; DuckDB has '' for both.
            raise self.refused(call, "a group of REGEXP_EXTRACT beside something optional")
        pattern, value = self.value(arguments[0]), self.value(arguments[1])
        if len(arguments) == 3:
            extracted = f"nullif(regexp_extract({value}, {pattern}, {self.value(arguments[2])}), '')"
        elif _spans_all(arguments[0]):
            extracted = value
        else:
            extracted = f"regexp_extract({value}, {pattern})"
        return f"CASE WHEN regexp_matches({value}, {pattern}) THEN {extracted} END"

    def _format_timestamp(self, call: exp.Anonymous, arguments: list[exp.Expression]) -> str:
        pattern = arguments[1]
        codes = {
            "yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S", "SSS": "%g",
        }  # fmt: skip
        written = str(pattern.this) if isinstance(pattern, exp.Literal) else "?"
        for code, replacement in codes.items():
            written = written.replace(code, replacement)
        left = written.replace("''", "").replace("'T'", "T")
        for replacement in codes.values():
            left = left.replace(replacement, "")
        if any(character.isalpha() and character != "T" for character in left) or "?" in left:
            raise self.refused(call, "this pattern of FORMAT_TIMESTAMP")
        written = written.replace("'T'", "T").replace("''", "'")
        return f"strftime({self.value(arguments[0])}, {text(written)})"


def _is_arithmetic(expression: exp.Expression) -> bool:
    if isinstance(expression, exp.Paren):
        return _is_arithmetic(expression.this)
    if isinstance(expression, exp.Neg):
        return not isinstance(expression.this, exp.Literal)
    return isinstance(expression, exp.Add | exp.Sub | exp.Mul | exp.Div | exp.Mod)


def _spans_all(pattern: exp.Expression) -> bool:
    """True for a literal pattern from ^ to $, without alternatives that could end earlier."""
    if not isinstance(pattern, exp.Literal):
        return False
    written = str(pattern.this)
    return written.startswith("^") and written.endswith("$") and "|" not in written

