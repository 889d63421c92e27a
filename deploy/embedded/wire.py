"""JSON of requests and replies."""

from __future__ import annotations

import base64
import math
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from deploy.embedded import replies


class BadRequest(Exception):
    """The body of a request cannot be used; the message says why."""


def texts(value: Any) -> dict[str, str]:
    """A field of a request that maps names to values. Raises BadRequest."""
    if not isinstance(value or {}, dict):
        raise BadRequest("properties and variables are objects")
    return {str(key): str(item) for key, item in (value or {}).items()}


async def body(request: Request) -> dict[str, Any]:
    """The object that a request sends. Raises BadRequest."""
    try:
        sent = orjson.loads(await request.body() or b"{}")
    except orjson.JSONDecodeError as error:
        raise BadRequest(str(error)) from error
    if not isinstance(sent, dict):
        raise BadRequest("an object is expected")
    return sent


def bad(error: BadRequest) -> Response:
    """The reply to a request that cannot be used."""
    return untyped(replies.generic_error(40000, f"Invalid JSON in request: {error}"), 400)


def untyped(body: Any, status: int) -> Response:
    """JSON without a Content-Type: so are ksqlDB's errors of queries."""
    return Response(dump(body), status)


def json(body: Any, status: int = 200) -> Response:
    """A reply of JSON."""
    return Response(dump(body), status, media_type="application/json")


def dump(value: Any) -> bytes:
    """JSON text."""
    return orjson.dumps(
        value, default=_plain, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATETIME
    )


def _plain(value: Any) -> Any:
    """What JSON has no word for, as ksqlDB writes it (tests/embedded/semantics)."""
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    return str(value)


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
