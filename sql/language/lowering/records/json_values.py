"""JSON values as ksqlDB's parser, Jackson, reads and writes them. Numbers keep the text that the JSON has."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

_MOST_EXPONENT = (1 << 31) - 1
_SPACE = " \t\n\r"


class Number(str):
    """A number as the JSON text writes it."""


def parsed(line: str) -> Any:
    """A text's first JSON value. Text after the value is ignored. Raises ValueError."""
    text = line.removeprefix("\ufeff").lstrip(_SPACE)
    value, end = _DECODER.raw_decode(text)
    if not isinstance(value, dict | list) and end < len(text) and text[end] not in _SPACE:
        raise ValueError
    return value


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


_DECODER = json.JSONDecoder(parse_float=Number, parse_int=Number, parse_constant=_refuse)


def finite(value: float) -> float | str:
    """A number. If JSON does not have it, the result is text, which DuckDB accepts as a number."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def text_of(value: Any) -> str:
    """A value as ksqlDB reads it into a STRING."""
    match value:
        case bool():
            return str(value).lower()
        case Number():
            return _number_text(value)
        case str():
            return value
        case list():
            return f"[{', '.join('null' if member is None else text_of(member) for member in value)}]"
    return json_text(value)


def json_text(value: Any) -> str:
    """A value as Jackson writes it, without blanks."""
    match value:
        case None:
            return "null"
        case bool() | Number():
            return text_of(value)
        case str():
            return json.dumps(value, ensure_ascii=False)
        case list():
            return f"[{','.join(map(json_text, value))}]"
    return "{" + ",".join(f"{json.dumps(k, ensure_ascii=False)}:{json_text(v)}" for k, v in value.items()) + "}"


def _number_text(number: Number) -> str:
    """A number as Java's BigDecimal writes it, which has no negative zero. A number is a double if its exponent is too
    large for a BigDecimal."""
    value = Decimal(number)
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    if abs(exponent) > _MOST_EXPONENT:
        return str(finite(float(number)))
    return str(abs(value) if value == 0 else value)
