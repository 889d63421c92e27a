"""The JSON functions. They read JSON as Jackson does: text after the first value is ignored."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from functools import lru_cache
from typing import Any

from opensea_metrics.sql.language.lowering.json_paths import names_in
from opensea_metrics.sql.language.lowering.records.json_values import (
    Number,
    json_text,
    parsed,
    text_of,
)
from opensea_metrics.udfs.api import udf

_NO_JSON = object()
_WHOLE = re.compile(r"-?[0-9]+")


def _read(text: str) -> Any:
    try:
        return parsed(text)
    except (ValueError, RecursionError):
        return _NO_JSON


@udf(name="ksql_is_json_string")
def is_json_string(text: str | None) -> bool:
    """Whether a text is JSON."""
    return text is not None and _read(text) is not _NO_JSON


@udf(name="ksql_json_array_length")
def json_array_length(text: str) -> int | None:
    """The length of an array; NULL for other JSON."""
    value = _read(text)
    return len(value) if isinstance(value, list) else None


@udf(name="ksql_json_array_contains")
def json_array_contains(text: str, value: str | None, kind: str) -> bool:
    """Whether an array contains a value, which is given as text, of a type. The spelling of a JSON number
    decides whether it is an INTEGER, BIGINT or DOUBLE, so 7 is not a BIGINT (observed on 7.9.1).
    """
    members = _read(text)
    return isinstance(members, list) and any(_is(member, value, kind) for member in members)


def _is(member: Any, value: str | None, kind: str) -> bool:
    if value is None or member is None:
        return value is member
    match member:
        case bool():
            return kind == "BOOLEAN" and value == str(member).lower()
        case Number():
            if not _WHOLE.fullmatch(member):
                return kind == "DOUBLE" and float(value) == float(member)
            is_integer = -(2**31) <= int(member) < 2**31
            return kind == ("INTEGER" if is_integer else "BIGINT") and int(value) == int(member)
        case str():
            return kind == "STRING" and value == member
    return False


@udf(name="ksql_json_field")
def json_field(text: str, path: str) -> str | None:
    """EXTRACTJSONFIELD. Returns a string without quotes, or another value as JSON. NULL for an invalid path."""
    names = _names(path)
    value = _read(text)
    if names is None or value is _NO_JSON:
        return None
    for name in names:
        if isinstance(value, dict):
            value = value.get(name, _NO_JSON)
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
        if value is _NO_JSON:
            return None
    return text_of(value) if isinstance(value, str) else json_text(value)


_names = lru_cache(maxsize=200)(names_in)


@udf(name="ksql_json_items")
def json_items(text: str) -> list[str] | None:
    """The elements of an array, as JSON."""
    value = _read(text)
    return [json_text(member) for member in value] if isinstance(value, list) else None


@udf(name="ksql_json_keys")
def json_keys(text: str) -> list[str] | None:
    """The names of an object's fields, in order."""
    value = _read(text)
    return list(value) if isinstance(value, dict) else None


@udf(name="ksql_json_records")
def json_records(text: str) -> dict[str, str] | None:
    """The fields of an object: strings without quotes, and other values as JSON."""
    value = _read(text)
    if not isinstance(value, dict):
        return None
    return {
        name: text_of(member) if isinstance(member, str) else json_text(member) for name, member in value.items()
    }


@udf(name="ksql_json_concat")
def json_concat(texts: list[str | None]) -> str | None:
    """All objects merged into one. An array of all values if one of them is not an object."""
    values: list[Any] = [_NO_JSON if text is None else _read(text) for text in texts]
    if any(value is _NO_JSON for value in values):
        return None
    if all(isinstance(value, dict) for value in values):
        return _plain({name: member for value in values for name, member in value.items()})
    return _plain([member for value in values for member in (value if isinstance(value, list) else [value])])


def _plain(value: Any) -> str:
    """A value as JSON without blanks, its numbers without exponents."""
    match value:
        case Number():
            return format(Decimal(value), "f")
        case list():
            return f"[{','.join(map(_plain, value))}]"
        case dict():
            fields = (f"{json.dumps(name, ensure_ascii=False)}:{_plain(member)}" for name, member in value.items())
            return "{" + ",".join(fields) + "}"
    return json_text(value)
