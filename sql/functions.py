"""The functions that the reader knows: their parameters and results.

A signature is written as text, such as ``"STRING INTEGER [INTEGER] -> STRING"``: parameters from
left to right, optional ones in brackets, a last one with ``...`` may repeat. Words that are not a
type stand for: NUM any number, ANY anything, T the same type throughout (ksqlDB widens nothing
here), ARRAY / MAP / STRUCT any of that shape, E the element of the ARRAY, K and V key and value of the
MAP. Which functions ksqlDB has and what they give: its manual, and the observations in
shared/ksqldb-facts.md. The Python functions of ``udfs`` are known besides, with the types of their
hints. A function that is neither is refused by name before anything is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from sql.suggestions import nearest
from udfs import registry
from udfs.definition import Definition, UdfError


@dataclass(frozen=True)
class Function:
    """A function's name, signature and nature.

    ``changelog_safe``: an aggregate that gives the same result when a key's older values are seen
    before its newest, or are never seen; only such may read a stream over a table's topic.
    ``definition`` is that of a Python function.
    """

    name: str
    signature: str
    kind: str = "scalar"
    changelog_safe: bool = False
    definition: Definition | None = None

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
"""

_TABLE = """
EXPLODE: ARRAY -> E
"""

_UNREAD = """
ACOS ARRAY_EXCEPT ARRAY_INTERSECT ARRAY_MAX ARRAY_MIN ARRAY_REMOVE ARRAY_SORT ARRAY_UNION ASIN
AS_MAP ATAN ATAN2 ATTR BIGINT_FROM_BYTES CBRT CONCAT_WS CONVERT_TZ CORRELATION COS COSH COT
CUBE_EXPLODE DATEADD DATESUB DATETOSTRING DEGREES DOUBLE_FROM_BYTES ELT ENCODE FIELD FILTER
FORMAT_DATE FORMAT_TIME FROM_BYTES FROM_DAYS GENERATE_SERIES GEO_DISTANCE INITCAP INT_FROM_BYTES
IS_JSON_STRING JSON_ARRAY_CONTAINS JSON_ARRAY_LENGTH JSON_CONCAT JSON_ITEMS JSON_KEYS JSON_RECORDS
LOG MAP_KEYS MAP_UNION MAP_VALUES MASK MASK_KEEP_LEFT MASK_KEEP_RIGHT MASK_LEFT MASK_RIGHT MD5
PARSE_DATE PARSE_TIME PARSE_TIMESTAMP PI RADIANS RANDOM REDUCE REGEXP_EXTRACT_ALL
REGEXP_SPLIT_TO_ARRAY ROUND SIN SINH SPLIT_TO_MAP STDDEV_SAMP STDDEV_SAMPLE STRINGTODATE
STRINGTOTIMESTAMP SUM_LIST TAN TANH TIMEADD TIMESTAMPADD TIMESTAMPSUB TIMESTAMPTOSTRING TIMESUB
TO_BYTES TRANSFORM TRUNC UNIX_DATE URL_DECODE_PARAM URL_ENCODE_PARAM URL_EXTRACT_FRAGMENT
URL_EXTRACT_HOST URL_EXTRACT_PARAMETER URL_EXTRACT_PATH URL_EXTRACT_PORT URL_EXTRACT_PROTOCOL
URL_EXTRACT_QUERY UUID
"""
"""ksqlDB's other functions (SHOW FUNCTIONS of 7.9.1). Their signatures are not known here, so calls are
refused, but their names are taken: a server does not start with a second function of a name."""


def _read(text: str, kind: str, changelog_safe: bool = False) -> dict[str, Function]:
    functions = {}
    for line in text.strip().splitlines():
        name, signature = line.split(":", 1)
        functions[name] = Function(name, signature.strip(), kind, changelog_safe)
    return functions


BUILT_IN: dict[str, Function] = {
    **_read(_SCALAR, "scalar"),
    **_read(_AGGREGATE, "aggregate"),
    **_read(_CHANGELOG_SAFE, "aggregate", changelog_safe=True),
    **_read(_TABLE, "table"),
}


def known() -> dict[str, Function]:
    """All functions by name: ksqlDB's, and those of ``udfs``. Raises UdfError."""
    return BUILT_IN | _registered()


def find(name: str) -> Function | None:
    """The function of that name (any case), or None."""
    return BUILT_IN.get(name.upper()) or _registered().get(name.upper())


def suggestion(name: str) -> str | None:
    """The known function whose name is nearest, for an error's hint."""
    return nearest(name.upper(), known())


def _registered() -> dict[str, Function]:
    return _as_functions(tuple(registry.functions().values()))


@cache
def _as_functions(definitions: tuple[Definition, ...]) -> dict[str, Function]:
    made = {}
    for definition in definitions:
        if definition.name in BUILT_IN or definition.name in _UNREAD.split():
            raise UdfError(f"{definition.place}: ksqlDB has a function {definition.name} of its own")
        arguments = (*definition.parameters, *definition.constants)
        made[definition.name] = Function(
            definition.name,
            f"{' '.join(str(p.type) for p in arguments)} -> {definition.result}",
            definition.kind,
            definition.changelog_safe,
            definition,
        )
    return made
