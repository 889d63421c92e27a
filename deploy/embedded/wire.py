"""JSON of requests and replies."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from deploy.embedded import replies
from deploy.embedded.denials import Refusal
from sql.topic_json import plain
from sql.types import DATE, TIME, TIMESTAMP, ArrayType, KsqlType, MapType, StructType

Convert = Callable[[Any], Any]


class BadRequest(Exception):
    """The body of a request cannot be used; the message says why."""


def text(sent: Mapping[str, Any], name: str, *, required: bool = False) -> str:
    """A field of a request that is text. Raises BadRequest.

    If it is not ``required``, it may be missing or null, and then is empty.
    """
    if required and name not in sent:
        raise BadRequest(f"Missing required creator property '{name}' (index 0)")
    value = sent.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str):
        raise _wrong(name, "text", value)
    return value


def texts(sent: Mapping[str, Any], name: str) -> dict[str, str]:
    """A field of a request that maps names to texts, numbers or flags, all as text. Raises BadRequest."""
    value = sent.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _wrong(name, "an object", value)
    for key, item in value.items():
        if not isinstance(item, str | int | float):
            raise _wrong(f"{name}.{key}", "text, a number or a flag", item)
    return {
        key: str(item).lower() if isinstance(item, bool) else str(item) for key, item in value.items()
    }


def whole_number(sent: Mapping[str, Any], name: str) -> int | None:
    """A field of a request that is a whole number; None without the field, or for null. Raises BadRequest."""
    value = sent.get(name)
    if value is not None and type(value) is not int:
        raise _wrong(name, "a whole number", value)
    return value


def _wrong(name: str, wanted: str, value: Any) -> BadRequest:
    kinds = {bool: "a flag", str: "text", list: "a list", dict: "an object", type(None): "null"}
    return BadRequest(f"the field '{name}' must be {wanted}, not {kinds.get(type(value), 'a number')}")


async def body(request: Request) -> dict[str, Any]:
    """The object that a request sends. Raises BadRequest."""
    return loaded(await request.body() or b"{}")


def loaded(text: bytes) -> dict[str, Any]:
    """A JSON object. Raises BadRequest."""
    try:
        sent = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRequest(str(error)) from error
    if not isinstance(sent, dict):
        raise BadRequest("an object is expected")
    return sent


def bad(error: BadRequest) -> Response:
    """The reply to a request that cannot be used."""
    return untyped(replies.generic_error(40000, f"Invalid JSON in request: {error}"), 400)


def refused(refusal: Refusal) -> Response:
    """The reply to a request that the server does not carry out."""
    return json(replies.generic_error(refusal.code, refusal.message), refusal.status)


def untyped(body: Any, status: int) -> Response:
    """JSON without a Content-Type: so are ksqlDB's errors of queries."""
    return Response(dump(body), status)


def json(body: Any, status: int = 200) -> Response:
    """A reply of JSON."""
    return Response(dump(body), status, media_type="application/json")


def dump(value: Any) -> bytes:
    """JSON text."""
    return orjson.dumps(
        value, default=plain, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATETIME
    )


def shown(kind: KsqlType, in_struct: bool = False) -> Convert | None:
    """What makes of a value of DuckDB one that :func:`dump` writes as ksqlDB does; None if it is one.

    ksqlDB writes times in a STRUCT as numbers, as in topics, and elsewhere as text (observed on 7.9.1).
    """
    match kind:
        case StructType():
            fields = [shown(inner, in_struct=True) for _, inner in kind.fields]
            if any(fields):
                return _of_given(lambda row: {
                    name: field(value) if field else value
                    for field, (name, value) in zip(fields, row.items(), strict=True)
                })  # fmt: skip
        case ArrayType():
            if element := shown(kind.element, in_struct):
                return _of_given(lambda row: [*map(element, row)])
        case MapType():
            if value := shown(kind.value, in_struct):
                return _of_given(lambda row: {key: value(item) for key, item in row.items()})
        case _ if kind in (DATE, TIME, TIMESTAMP):
            return _of_given(_as_number if in_struct else _as_text)
    return None


def shown_row(kinds: Sequence[KsqlType]) -> Callable[[Sequence[Any]], list[Any]]:
    """:func:`shown` of the values of a row."""
    columns = [*map(shown, kinds)]
    if not any(columns):
        return list
    return lambda row: [show(each) if show else each for show, each in zip(columns, row, strict=True)]


def _of_given(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)


def _as_number(value: Any) -> Any:
    return value if isinstance(value, str) else plain(value)


def _as_text(value: Any) -> str:
    """A time as text. DuckDB gives text of those that Python has no form for, of years beyond 9999."""
    match value:
        case datetime():
            return value.isoformat(timespec="milliseconds")
        case date():
            return value.isoformat()
        case time():
            return value.isoformat("seconds" if value.second else "minutes")
    day, _, clock = str(value).removesuffix(" (BC)").partition(" ")
    if str(value).endswith(" (BC)"):
        year, rest = day.split("-", 1)
        day = f"{1 - int(year):05}-{rest}" if year != "0001" else f"0000-{rest}"
    elif not clock:
        day = f"+{day}"
    return f"{day}T{clock.partition('.')[0]}.{clock.partition('.')[2]:0<3}" if clock else day


def finite(value: Any) -> Any:
    """A value with text for the numbers that JSON cannot write: orjson would write null."""
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list):
        return [finite(item) for item in value]
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return value
