"""The calls of ksqlDB's functions that the engines compute in Python."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from opensea_metrics.core.definition import Definition
from opensea_metrics.sql.language.values.timestamp_formats import timestamp_format
from opensea_metrics.udfs.api import ATTRIBUTE


@dataclass(frozen=True)
class PythonForm:
    """How a variation of a function is called: ``call`` is its module here and its name.

    The modules are imported when they are needed, because most runs need none of them.
    ``appended`` are further arguments, as SQL. The arguments from number ``listed`` on become one ARRAY. ``checks``
    test arguments that must be literals. A check raises ValueError with the part that Python does not support.
    """

    call: str
    appended: tuple[str, ...] = ()
    listed: int | None = None
    checks: Mapping[int, Callable[[str], object]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The function's name in the engines' SQL. It is that of its definition, which this does not import."""
        return f"KSQL_{self.call.partition('.')[2].upper()}"

    @property
    def definition(self) -> Definition:
        """The function as ``udfs`` knows it."""
        module, _, name = self.call.partition(".")
        definition: Definition = getattr(getattr(_module(module), name), ATTRIBUTE)
        return definition


def _module(name: str) -> Any:
    return importlib.import_module(f"{__package__}.{name}")


def translated(pattern: str) -> None:
    """Check a Java pattern. Raises ValueError with the part that Python reads differently."""
    _module("patterns").translated(pattern)


def is_pattern(pattern: str) -> bool:
    """Whether a pattern is valid in Java. Raises ValueError with the part that Python reads differently."""
    return _module("patterns").translated(pattern) is not None


def _simple_date(pattern: str) -> None:
    _module("simple_dates").check(pattern)


def _format(pattern: str) -> None:
    _module("java_patterns").check(pattern)


_MASKS = ("'X'", "'x'", "'n'", "'-'")
_FORMAT = {1: _format}
_PARSE = {1: timestamp_format}
_PARSE_WITH_ZONE = {1: partial(timestamp_format, zones=True)}


def _mask(call: str, first: str) -> dict[str, PythonForm]:
    return {first: PythonForm(call, _MASKS), f"{first} VARCHAR VARCHAR VARCHAR VARCHAR": PythonForm(call)}


FORMS: dict[str, dict[str, PythonForm]] = {
    "BIGINT_FROM_BYTES": {
        "BYTES": PythonForm("binary.bigint_from_bytes", ("'BIG_ENDIAN'",)),
        "BYTES VARCHAR": PythonForm("binary.bigint_from_bytes"),
    },
    "CHR": {"VARCHAR": PythonForm("letters.chr_of_text")},
    "CONCAT": {"BYTES...": PythonForm("binary.concat_bytes", listed=0)},
    "CONCAT_WS": {"BYTES...": PythonForm("binary.concat_ws_bytes", listed=1)},
    "CONVERT_TZ": {"TIMESTAMP VARCHAR VARCHAR": PythonForm("times.convert_tz")},
    "DATETOSTRING": {"INT VARCHAR": PythonForm("times.format_date", checks=_FORMAT)},
    "DOUBLE_FROM_BYTES": {
        "BYTES": PythonForm("binary.double_from_bytes", ("'BIG_ENDIAN'",)),
        "BYTES VARCHAR": PythonForm("binary.double_from_bytes"),
    },
    "ENCODE": {"VARCHAR VARCHAR VARCHAR": PythonForm("binary.encode")},
    "FORMAT_DATE": {"DATE VARCHAR": PythonForm("times.format_date", checks=_FORMAT)},
    "FORMAT_TIME": {"TIME VARCHAR": PythonForm("times.format_time", checks=_FORMAT)},
    "FORMAT_TIMESTAMP": {
        "TIMESTAMP VARCHAR": PythonForm("times.format_timestamp", ("'UTC'",), checks=_FORMAT),
        "TIMESTAMP VARCHAR VARCHAR": PythonForm("times.format_timestamp", checks=_FORMAT),
    },
    "FROM_BYTES": {"BYTES VARCHAR": PythonForm("binary.from_bytes")},
    "GEO_DISTANCE": {
        "DOUBLE DOUBLE DOUBLE DOUBLE": PythonForm("numbers.geo_distance", ("'KM'",)),
        "DOUBLE DOUBLE DOUBLE DOUBLE VARCHAR": PythonForm("numbers.geo_distance"),
    },
    "INITCAP": {"VARCHAR": PythonForm("letters.initcap")},
    "INSTR": {
        "VARCHAR VARCHAR INT": PythonForm("letters.instr", ("1",)),
        "VARCHAR VARCHAR INT INT": PythonForm("letters.instr"),
    },
    "INT_FROM_BYTES": {
        "BYTES": PythonForm("binary.int_from_bytes", ("'BIG_ENDIAN'",)),
        "BYTES VARCHAR": PythonForm("binary.int_from_bytes"),
    },
    "IS_JSON_STRING": {"VARCHAR": PythonForm("json_texts.is_json_string")},
    "JSON_ARRAY_LENGTH": {"VARCHAR": PythonForm("json_texts.json_array_length")},
    "JSON_CONCAT": {"VARCHAR...": PythonForm("json_texts.json_concat", listed=0)},
    "JSON_ITEMS": {"VARCHAR": PythonForm("json_texts.json_items")},
    "JSON_KEYS": {"VARCHAR": PythonForm("json_texts.json_keys")},
    "JSON_RECORDS": {"VARCHAR": PythonForm("json_texts.json_records")},
    "LPAD": {"BYTES INT BYTES": PythonForm("binary.lpad_bytes")},
    "MASK": _mask("letters.mask", "VARCHAR"),
    "MASK_KEEP_LEFT": _mask("letters.mask_keep_left", "VARCHAR INT"),
    "MASK_KEEP_RIGHT": _mask("letters.mask_keep_right", "VARCHAR INT"),
    "MASK_LEFT": _mask("letters.mask_left", "VARCHAR INT"),
    "MASK_RIGHT": _mask("letters.mask_right", "VARCHAR INT"),
    "PARSE_DATE": {"VARCHAR VARCHAR": PythonForm("simple_dates.parse_date", checks={1: _simple_date})},
    "PARSE_TIME": {"VARCHAR VARCHAR": PythonForm("times.parse_time", checks=_PARSE)},
    "PARSE_TIMESTAMP": {
        "VARCHAR VARCHAR": PythonForm("times.parse_timestamp", ("'UTC'",), checks=_PARSE_WITH_ZONE),
        "VARCHAR VARCHAR VARCHAR": PythonForm("times.parse_timestamp", checks=_PARSE_WITH_ZONE),
    },
    "REGEXP_EXTRACT_ALL": {
        "VARCHAR VARCHAR": PythonForm("patterns.regexp_extract_all", ("0",), checks={0: translated}),
        "VARCHAR VARCHAR INT": PythonForm("patterns.regexp_extract_all", checks={0: translated}),
    },
    "REGEXP_REPLACE": {
        "VARCHAR VARCHAR VARCHAR": PythonForm("patterns.regexp_replace", checks={1: translated})
    },
    "REGEXP_SPLIT_TO_ARRAY": {
        "VARCHAR VARCHAR": PythonForm("patterns.regexp_split_to_array", checks={1: translated})
    },
    "ROUND": {"DOUBLE INT": PythonForm("numbers.round_double")},
    "RPAD": {"BYTES INT BYTES": PythonForm("binary.rpad_bytes")},
    "SPLIT": {"BYTES BYTES": PythonForm("binary.split_bytes")},
    "SPLIT_TO_MAP": {"VARCHAR VARCHAR VARCHAR": PythonForm("letters.split_to_map")},
    "STRINGTODATE": {"VARCHAR VARCHAR": PythonForm("times.string_to_date", checks=_PARSE)},
    "STRINGTOTIMESTAMP": {
        "VARCHAR VARCHAR": PythonForm("times.parse_timestamp", ("'UTC'",), checks=_PARSE_WITH_ZONE),
        "VARCHAR VARCHAR VARCHAR": PythonForm("times.parse_timestamp", checks=_PARSE_WITH_ZONE),
    },
    "SUBSTRING": {
        "BYTES INT": PythonForm("binary.sub_bytes", ("2147483647",)),
        "BYTES INT INT": PythonForm("binary.sub_bytes"),
    },
    "TIMESTAMPTOSTRING": {
        "BIGINT VARCHAR": PythonForm("times.format_timestamp", ("'UTC'",), checks=_FORMAT),
        "BIGINT VARCHAR VARCHAR": PythonForm("times.format_timestamp", checks=_FORMAT),
    },
    "TO_BYTES": {"VARCHAR VARCHAR": PythonForm("binary.to_bytes")},
    "TRUNC": {"DOUBLE INT": PythonForm("numbers.trunc_double")},
    "URL_DECODE_PARAM": {"VARCHAR": PythonForm("urls.url_decode_param")},
    "URL_ENCODE_PARAM": {"VARCHAR": PythonForm("urls.url_encode_param")},
    "URL_EXTRACT_FRAGMENT": {"VARCHAR": PythonForm("urls.url_extract_fragment")},
    "URL_EXTRACT_HOST": {"VARCHAR": PythonForm("urls.url_extract_host")},
    "URL_EXTRACT_PARAMETER": {"VARCHAR VARCHAR": PythonForm("urls.url_extract_parameter")},
    "URL_EXTRACT_PATH": {"VARCHAR": PythonForm("urls.url_extract_path")},
    "URL_EXTRACT_PORT": {"VARCHAR": PythonForm("urls.url_extract_port")},
    "URL_EXTRACT_PROTOCOL": {"VARCHAR": PythonForm("urls.url_extract_protocol")},
    "URL_EXTRACT_QUERY": {"VARCHAR": PythonForm("urls.url_extract_query")},
    "UUID": {"BYTES": PythonForm("binary.uuid_of_bytes")},
}
"""The forms of a function by the variation's text in :mod:`sql.language.functions.builtin`."""


@dataclass(frozen=True)
class Unusual:
    """A function for which DuckDB gives Java's results except for some texts. For those texts Python computes it.

    ``condition`` is a template (see :mod:`sql.language.lowering.template`) that is true for these texts.
    """

    condition: str
    form: PythonForm


_NOT_ASCII = "strlen({0}) > length({0})"
UNUSUAL: dict[str, Unusual] = {
    "INSTR": Unusual("has_pairs({0})", PythonForm("letters.instr", ("1", "1"))),
    "LCASE": Unusual(_NOT_ASCII, PythonForm("letters.lower")),
    "LPAD": Unusual("has_pairs({0}) OR has_pairs({2})", PythonForm("letters.lpad")),
    "REPLACE": Unusual("{1} = '' AND has_pairs({0})", PythonForm("letters.replace")),
    "RPAD": Unusual("has_pairs({0}) OR has_pairs({2})", PythonForm("letters.rpad")),
    "SPLIT": Unusual("{1} = '' AND has_pairs({0})", PythonForm("letters.split")),
    "SUBSTRING": Unusual("has_pairs({0})", PythonForm("letters.substring", ("2147483647",))),
    "SUBSTRING OF LENGTH": Unusual("has_pairs({0})", PythonForm("letters.substring")),
    "UCASE": Unusual(_NOT_ASCII, PythonForm("letters.upper")),
}
"""By the name of the function's template in :mod:`sql.language.lowering.scalars`."""
CASTS: dict[str, PythonForm] = {
    "DOUBLE AS STRING": PythonForm("double_text.double_text"),
    "STRING AS DATE": PythonForm("times.date_of_text"),
    "STRING AS TIME": PythonForm("times.time_of_text"),
    "STRING AS TIMESTAMP": PythonForm("times.timestamp_of_text"),
}

DIVISION = PythonForm("numbers.quotient")
HASH_ORDER = PythonForm("maps.hash_order")
ROUND_DECIMAL = PythonForm("numbers.round_decimal")
TRUNC_DECIMAL = PythonForm("numbers.trunc_decimal")
JSON_FIELD = PythonForm("json_texts.json_field")
REGEXP_EXTRACT = PythonForm("patterns.regexp_extract")
JSON_ARRAY_CONTAINS = PythonForm("json_texts.json_array_contains")
PLAIN = PythonForm("numbers.plain_decimal")
CUT = PythonForm("numbers.cut_decimal")
DECIMAL_OF_DOUBLE = PythonForm("numbers.decimal_of_double")
CBRT = PythonForm("roots.cbrt")
COSH = PythonForm("roots.cosh")


_NAME = re.compile(r"\bKSQL_\w+")


@cache
def definitions() -> Mapping[str, Definition]:
    """All functions in Python by their names in the engines' SQL."""
    return {name: form.definition for name, form in _by_name().items()}


def called(statement: str) -> list[Definition]:
    """The functions that a statement calls. Other functions are not imported."""
    forms = _by_name()
    return [forms[name].definition for name in set(_NAME.findall(statement)) & forms.keys()]


@cache
def _by_name() -> Mapping[str, PythonForm]:
    return {form.name: form for form in _forms()}


def _forms() -> Iterator[PythonForm]:
    yield from (DIVISION, HASH_ORDER, JSON_FIELD, REGEXP_EXTRACT, ROUND_DECIMAL, TRUNC_DECIMAL, CUT, PLAIN)
    yield from (JSON_ARRAY_CONTAINS, CBRT, COSH, DECIMAL_OF_DOUBLE, *CASTS.values())
    yield from (unusual.form for unusual in UNUSUAL.values())
    yield from (form for variations in FORMS.values() for form in variations.values())
