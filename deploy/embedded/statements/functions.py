"""DESCRIBE FUNCTION: the description of a built-in or Python function. SHOW FUNCTIONS: the categories of functions."""

from __future__ import annotations

import re
from typing import Any

from opensea_metrics.core.definition import Definition
from opensea_metrics.core.errors import SqlError
from opensea_metrics.sql.language.functions import library as functions
from opensea_metrics.sql.language.lowering.refusals import EMBEDDED, Unsupported
from opensea_metrics.sql.language.lowering.runnable import runnable, runnable_variations
from opensea_metrics.sql.language.statements.statements import Statement
from opensea_metrics.udfs.types import declaration


def function_description(statement: Statement, name: str) -> dict[str, Any]:
    """The answer to DESCRIBE FUNCTION, with the variations that the embedded server runs.

    Raises SqlError for an unknown name, Unsupported for a function that only ksqlDB runs.
    """
    function = functions.find(name)
    if function is None:
        written = str(statement.ast.this.this)
        raise SqlError(f"Can't find any functions with the name '{written}'", code=40000)
    if function.name not in runnable():
        raise Unsupported(function.name, EMBEDDED, statement.place)
    if function.definition is not None:
        return _python_function(statement, function.definition)
    variations = runnable_variations(function)
    described = [
        ([_argument(p, n) for n, p in enumerate(v.text.split(), 1)], _spaced(v.result_text))
        for v in variations
    ]
    return _function_description(statement, function.name, function.kind, "", described)


def _argument(parameter: str, number: int) -> dict[str, Any]:
    written = parameter.removeprefix("#").removesuffix("...")
    return {
        "name": f"val{number}",
        "type": _spaced(written),
        "description": "",
        "isVariadic": parameter.endswith("..."),
    }


def _python_function(statement: Statement, definition: Definition) -> dict[str, Any]:
    arguments = [
        {
            "name": parameter.name,
            "type": declaration(parameter.type, quote=""),
            "description": parameter.description,
            "isVariadic": False,
        }
        for parameter in (*definition.parameters, *definition.constants)
    ]
    text = "\n".join(filter(None, (definition.description, definition.examples)))
    result = declaration(definition.result, quote="")
    described = [(arguments, result)]
    return _function_description(statement, definition.name, definition.kind, text, described)


def _function_description(
    statement: Statement,
    name: str,
    kind: str,
    description: str,
    variations: list[tuple[list[dict[str, Any]], str]],
) -> dict[str, Any]:
    return {
        "@type": "describe_function",
        "statementText": statement.text,
        "name": name,
        "description": description,
        "author": "",
        "version": "",
        "path": "internal",
        "functions": [
            {
                "arguments": arguments,
                "returnType": result,
                "description": "",
                "argumentTypes": [argument["type"] for argument in arguments],
            }
            for arguments, result in variations
        ],
        "type": kind.upper(),
        "warnings": [],
    }


def _spaced(kind: str) -> str:
    """A type of :mod:`sql.language.functions.builtin` as DESCRIBE FUNCTION writes it."""
    if kind.startswith("("):
        parameters, _, result = kind.partition("=>")
        return f"LAMBDA {parameters.replace(',', ', ')} => {result}"
    return kind.replace(",", ", ").replace(":", " ").replace("<TOP>", "<S>")


_OTHER = "OTHER"
_CATEGORIES = """
AGGREGATE: ATTR AVG COLLECT_LIST COLLECT_SET CORRELATION COUNT COUNT_DISTINCT EARLIEST_BY_OFFSET
  HISTOGRAM LATEST_BY_OFFSET MAX MIN STDDEV_SAMP STDDEV_SAMPLE SUM SUM_LIST TOPK TOPKDISTINCT
ARRAY: ARRAY_CONCAT ARRAY_CONTAINS ARRAY_DISTINCT ARRAY_EXCEPT ARRAY_INTERSECT ARRAY_JOIN
  ARRAY_LENGTH ARRAY_MAX ARRAY_MIN ARRAY_REMOVE ARRAY_SORT ARRAY_UNION GENERATE_SERIES SLICE
CONDITIONAL: COALESCE IFNULL NULLIF
CONVERSIONS: BIGINT_FROM_BYTES DOUBLE_FROM_BYTES INT_FROM_BYTES
DATE / TIME: CONVERT_TZ DATEADD DATESUB DATETOSTRING FORMAT_DATE FORMAT_TIME FORMAT_TIMESTAMP
  FROM_DAYS FROM_UNIXTIME PARSE_DATE PARSE_TIME PARSE_TIMESTAMP STRINGTODATE STRINGTOTIMESTAMP
  TIMEADD TIMESTAMPADD TIMESTAMPSUB TIMESTAMPTOSTRING TIMESUB UNIX_DATE UNIX_TIMESTAMP
JSON: EXTRACTJSONFIELD IS_JSON_STRING JSON_ARRAY_CONTAINS JSON_ARRAY_LENGTH JSON_CONCAT JSON_ITEMS
  JSON_KEYS JSON_RECORDS TO_JSON_STRING
LAMBDA: FILTER REDUCE TRANSFORM
MAP: AS_MAP ENTRIES MAP_KEYS MAP_UNION MAP_VALUES
MATHEMATICAL: ABS ACOS ASIN ATAN ATAN2 CBRT CEIL COS COSH COT DEGREES EXP FLOOR GREATEST LEAST LN
  LOG PI POWER RADIANS RANDOM ROUND SIGN SIN SINH SQRT TAN TANH TRUNC
REGULAR EXPRESSION: REGEXP_EXTRACT REGEXP_EXTRACT_ALL REGEXP_REPLACE REGEXP_SPLIT_TO_ARRAY
STRING: CHR CONCAT CONCAT_WS ELT ENCODE FIELD FROM_BYTES INITCAP INSTR LCASE LEN LPAD MASK
  MASK_KEEP_LEFT MASK_KEEP_RIGHT MASK_LEFT MASK_RIGHT MD5 REPLACE RPAD SPLIT SPLIT_TO_MAP SUBSTRING
  TO_BYTES TRIM UCASE UUID
TABLE: CUBE_EXPLODE EXPLODE
URL: URL_DECODE_PARAM URL_ENCODE_PARAM URL_EXTRACT_FRAGMENT URL_EXTRACT_HOST URL_EXTRACT_PARAMETER
  URL_EXTRACT_PATH URL_EXTRACT_PORT URL_EXTRACT_PROTOCOL URL_EXTRACT_QUERY
"""


def category(function: str, kind: str) -> str:
    """The category of a function. One that is not ksqlDB's is an aggregate, a table function, or of no category."""
    default = _OTHER if kind == "scalar" else kind.upper()
    return _BY_NAME.get(function, default)


_BY_NAME = {
    name: line.partition(":")[0]
    for line in re.sub(r"\n  +", " ", _CATEGORIES.strip()).splitlines()
    for name in line.partition(":")[2].split()
}
