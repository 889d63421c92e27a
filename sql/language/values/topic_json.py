"""Writes Python values as JSON, as ksqlDB's serializer writes them into topics.

A DATE is days since 1970, a TIME milliseconds of the day, and a TIMESTAMP milliseconds since 1970. BYTES are base64.
A DECIMAL is a number with all its digits (observed on 7.9.1: tests/embedded/records.yml).
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import orjson

_EPOCH = datetime(1970, 1, 1)
_MILLISECOND = timedelta(milliseconds=1)


def dump(record: Mapping[str, Any]) -> bytes:
    """The JSON text of a record. A number that JSON cannot express is null."""
    return orjson.dumps(
        record, default=plain, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATETIME
    )


def plain(value: Any) -> Any:
    """Convert a value that JSON cannot express to the form that ksqlDB writes."""
    match value:
        case Decimal():
            return orjson.Fragment(format(value, "f"))
        case bytes():
            return base64.b64encode(value).decode()
        case datetime():
            naive = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
            return (naive - _EPOCH) // _MILLISECOND
        case date():
            return (value - _EPOCH.date()).days
        case time():
            return (datetime.combine(_EPOCH, value) - _EPOCH) // _MILLISECOND
    raise TypeError(f"JSON cannot express {type(value).__name__}")


def finite(value: Any) -> Any:
    """A value in which text replaces the numbers that JSON cannot express. orjson would write null for them."""
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list):
        return [finite(item) for item in value]
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return value
