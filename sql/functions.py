"""The functions that the reader knows: their parameters and results.

A signature is written as text, such as ``"STRING INTEGER [INTEGER] -> STRING"``: parameters from
left to right, optional ones in brackets, a last one with ``...`` may repeat. Words that are not a
type stand for: NUM any number, ANY anything, T the same type throughout (ksqlDB widens nothing
here), ARRAY / MAP / STRUCT any of that shape, E the element of the ARRAY, K and V key and value of the
MAP. Which functions ksqlDB has and what they give: its manual, and the observations in
shared/ksqldb-facts.md. A function that is not here is refused by name before anything is sent.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from sql.types import (
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
    KsqlType,
    MapType,
    array,
    as_decimal,
    common,
    is_numeric,
    same,
    struct,
)

_TYPES = {
    kind.name: kind
    for kind in (BIGINT, BOOLEAN, BYTES, DATE, DOUBLE, INTEGER, STRING, TIME, TIMESTAMP)
}


@dataclass(frozen=True)
class Function:
    """A function's name, signature and nature.

    ``changelog_safe``: an aggregate that gives the same result when a key's older values are seen
    before its newest, or are never seen; only such may read a stream over a table's topic.
    """

    name: str
    signature: str
    kind: str = "scalar"
    changelog_safe: bool = False

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(self.signature.split("->")[0].split())

    @property
    def result(self) -> str:
        return self.signature.split("->")[1].strip()


_SCALAR = """
ABS: NUM -> T0
AS_VALUE: ANY -> T0
ARRAY_CONCAT: T T -> T
ARRAY_CONTAINS: ARRAY E -> BOOLEAN
ARRAY_DISTINCT: ARRAY -> T0
ARRAY_JOIN: ARRAY [STRING] -> STRING
ARRAY_LENGTH: ARRAY -> INTEGER
CEIL: NUM -> T0
CHR: INTEGER -> STRING
COALESCE: T T... -> T
CONCAT: STRING STRING... -> STRING
ENTRIES: MAP BOOLEAN -> ARRAY<STRUCT<K,V>>
EXP: NUM -> DOUBLE
EXTRACTJSONFIELD: STRING STRING -> STRING
FLOOR: NUM -> T0
GREATEST: T T... -> T
IFNULL: T T -> T
INSTR: STRING STRING -> INTEGER
LCASE: STRING -> STRING
LEAST: T T... -> T
LEN: STRING -> INTEGER
LN: NUM -> DOUBLE
LPAD: STRING INTEGER STRING -> STRING
NULLIF: T T -> T
POWER: NUM NUM -> DOUBLE
REGEXP_EXTRACT: STRING STRING [INTEGER] -> STRING
REGEXP_REPLACE: STRING STRING STRING -> STRING
REPLACE: STRING STRING STRING -> STRING
RPAD: STRING INTEGER STRING -> STRING
SIGN: NUM -> INTEGER
SLICE: ARRAY INTEGER INTEGER -> T0
SPLIT: STRING STRING -> ARRAY<STRING>
SQRT: NUM -> DOUBLE
SUBSTRING: STRING INTEGER [INTEGER] -> STRING
TO_JSON_STRING: ANY -> STRING
TRIM: STRING -> STRING
UCASE: STRING -> STRING
FROM_UNIXTIME: BIGINT -> TIMESTAMP
UNIX_TIMESTAMP: [TIMESTAMP] -> BIGINT
FORMAT_TIMESTAMP: TIMESTAMP STRING -> STRING
"""

_AGGREGATE = """
COUNT: [ANY] -> BIGINT
SUM: NUM -> T0
MIN: ANY -> T0
MAX: ANY -> T0
AVG: NUM -> DOUBLE
COUNT_DISTINCT: ANY -> BIGINT
COLLECT_LIST: ANY -> ARRAY<T0>
COLLECT_SET: ANY -> ARRAY<T0>
EARLIEST_BY_OFFSET: ANY -> T0
TOPK: T0 INTEGER -> ARRAY<T0>
TOPKDISTINCT: T0 INTEGER -> ARRAY<T0>
HISTOGRAM: STRING -> MAP<STRING,BIGINT>
"""

_CHANGELOG_SAFE = """
LATEST_BY_OFFSET: ANY -> T0
COUNT_DISTINCT_EXACT: STRING -> BIGINT
TOP_BY_KEY: STRING DOUBLE STRING INTEGER -> ARRAY<TOP_ENTRY>
"""

_TABLE = """
EXPLODE: ARRAY -> E
"""

TOP_ENTRY = struct(("KEY", STRING), ("VALUE", DOUBLE), ("DETAIL", STRING))
"""What TOP_BY_KEY returns for each of the N greatest keys."""


def _read(text: str, kind: str, changelog_safe: bool = False) -> dict[str, Function]:
    functions = {}
    for line in text.strip().splitlines():
        name, signature = line.split(":", 1)
        functions[name] = Function(name, signature.strip(), kind, changelog_safe)
    return functions


FUNCTIONS: dict[str, Function] = {
    **_read(_SCALAR, "scalar"),
    **_read(_AGGREGATE, "aggregate"),
    **_read(_CHANGELOG_SAFE, "aggregate", changelog_safe=True),
    **_read(_TABLE, "table"),
}


def find(name: str) -> Function | None:
    """The function of that name (any case), or None."""
    return FUNCTIONS.get(name.upper())


def suggestion(name: str) -> str | None:
    """The known function whose name is nearest, for an error's hint."""
    near = difflib.get_close_matches(name.upper(), FUNCTIONS, n=1)
    return near[0] if near else None


def result_type(function: Function, arguments: Sequence[KsqlType]) -> KsqlType:
    """The type of a call.

    Raises TypeError with what does not fit (count or type of an argument).
    """
    parameters = list(function.parameters)
    repeats = bool(parameters) and parameters[-1].endswith("...")
    needed = sum(not p.startswith("[") and not p.endswith("...") for p in parameters)
    if len(arguments) < needed or (len(arguments) > len(parameters) and not repeats):
        raise TypeError(
            f"{function.name} takes {function.signature.split('->')[0].strip() or 'no arguments'}"
            f" and got {len(arguments)} argument{'s' * (len(arguments) != 1)}"
        )
    bound: dict[str, KsqlType] = {}
    for position, argument in enumerate(arguments):
        parameter = parameters[min(position, len(parameters) - 1)].strip("[].")
        if not _fits(parameter, argument, bound):
            raise TypeError(
                f"{function.name} takes {parameter} as argument {position + 1} and got {argument}"
            )
        bound[f"T{position}"] = argument
    return _result(function.result, bound)


def _fits(parameter: str, argument: KsqlType, bound: dict[str, KsqlType]) -> bool:
    if parameter == "T" and parameter in bound:
        if not same(bound["T"], argument):
            return False
        bound["T"] = argument if bound["T"] == NULL else bound["T"]
        return True
    if parameter in ("E", "K", "V") and parameter in bound:
        wider = common(bound[parameter], argument)
        if wider is None:
            return False
        bound[parameter] = wider
        return True
    if parameter == "T":
        bound["T"] = argument
        return True
    if argument == NULL or parameter == "ANY" or (parameter.startswith("T") and parameter[1:] == "0"):
        return True
    match parameter:
        case "NUM":
            return is_numeric(argument)
        case "DOUBLE":
            return is_numeric(argument)
        case "BIGINT":
            return argument in (INTEGER, BIGINT)
        case "ARRAY":
            if isinstance(argument, ArrayType):
                bound["E"] = argument.element
                return True
            return False
        case "MAP":
            if isinstance(argument, MapType):
                bound["K"], bound["V"] = argument.key, argument.value
                return True
            return False
        case _:
            return argument == _TYPES[parameter]


def _result(text: str, bound: dict[str, KsqlType]) -> KsqlType:
    if text.startswith("ARRAY<STRUCT<K,V>>"):
        return array(struct(("K", bound["K"]), ("V", bound["V"])))
    if text.startswith("ARRAY<"):
        return array(_result(text[len("ARRAY<") : -1], bound))
    if text.startswith("MAP<"):
        key, value = text[len("MAP<") : -1].split(",")
        return MapType("MAP", _TYPES[key], _TYPES[value])
    if text == "TOP_ENTRY":
        return TOP_ENTRY
    if text in bound:
        return bound[text]
    return _TYPES.get(text, DOUBLE if text == "NUM" else NULL)


def arithmetic(operator: str, left: KsqlType, right: KsqlType) -> KsqlType | None:
    """The type of ``left operator right`` for + - * / %, or None if ksqlDB refuses it.

    DECIMALs: shared/ksqldb-facts.md, section 2 (INTEGER counts as DECIMAL(10,0), BIGINT as (19,0)).
    """
    if operator == "+" and left == right == STRING:
        return STRING
    if not (is_numeric(left) and is_numeric(right)):
        return None
    if DOUBLE in (left, right):
        return DOUBLE
    if "DECIMAL" not in (left.name, right.name):
        return common(left, right)
    a, b = as_decimal(left), as_decimal(right)
    if operator in "+-":
        scale = max(a.scale, b.scale)
        whole = max(a.precision - a.scale, b.precision - b.scale)
        return DecimalType("DECIMAL", whole + scale + 1, scale)
    if operator == "*":
        return DecimalType("DECIMAL", a.precision + b.precision + 1, a.scale + b.scale)
    if operator == "%":
        scale = max(a.scale, b.scale)
        whole = min(a.precision - a.scale, b.precision - b.scale)
        return DecimalType("DECIMAL", whole + scale, scale)
    scale = max(6, a.scale + b.precision + 1)
    return DecimalType("DECIMAL", a.precision - a.scale + b.scale + scale, scale)

