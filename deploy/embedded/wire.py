"""Reads and writes the JSON of requests and replies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from opensea_metrics.deploy.embedded.rest.denials import Refusal
from opensea_metrics.deploy.embedded.statements import replies
from opensea_metrics.sql.language.values.topic_json import plain


class BadRequest(Exception):
    """The body of a request cannot be used. The message says why."""


def text(sent: Mapping[str, Any], name: str, *, required: bool = False) -> str:
    """A text field of a request. Raises BadRequest.

    A field that is not ``required`` may be missing or null; the result is then empty. Numbers and flags become text.
    """
    if required and name not in sent:
        raise BadRequest(f"Missing required creator property '{name}' (index 0)")
    value = sent.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str | int | float):
        raise _wrong(name, "text", value)
    return _as_text(value)


def sql(sent: Mapping[str, Any], name: str, *, required: bool = False) -> str:
    """A field of a request that holds SQL, without the byte order mark at the start of some files.

    Raises BadRequest as :func:`text` does.
    """
    return text(sent, name, required=required).removeprefix("\ufeff")


def texts(sent: Mapping[str, Any], name: str) -> dict[str, str]:
    """A field of a request that maps names to texts, numbers or flags. All values become text. Raises BadRequest."""
    value = sent.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _wrong(name, "an object", value)
    for key, item in value.items():
        if not isinstance(item, str | int | float):
            raise _wrong(f"{name}.{key}", "text, a number or a flag", item)
    return {key: _as_text(item) for key, item in value.items()}


def _as_text(value: str | int | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def whole_number(sent: Mapping[str, Any], name: str) -> int | None:
    """A whole-number field of a request, which may also be text. None if it is missing or null. Raises BadRequest.

    Decimal places are cut off, as in ksqlDB.
    """
    value = sent.get(name)
    if value is None:
        return None
    try:
        number = None if isinstance(value, bool | list | dict) else int(value)
    except (ValueError, OverflowError):
        number = None
    if number is None or not -(2**63) <= number < 2**63:
        raise _wrong(name, "a whole number", value)
    return number


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
    """The reply to an invalid request."""
    return untyped(replies.generic_error(40000, f"Invalid JSON in request: {error}"), 400)


def refused(refusal: Refusal) -> Response:
    """The reply to a refused request."""
    return json(replies.generic_error(refusal.code, refusal.message), refusal.status)


def untyped(body: Any, status: int) -> Response:
    """A JSON reply without a Content-Type. ksqlDB sends errors of queries in this way."""
    return Response(dump(body), status)


def json(body: Any, status: int = 200) -> Response:
    """A JSON reply."""
    return Response(dump(body), status, media_type="application/json")


def dump(value: Any) -> bytes:
    """The JSON text of a value, which may be nested to any depth."""
    try:
        return _dump(value)
    except TypeError as error:
        if "Recursion limit" not in str(error):
            raise
    return _dump(_in_fragments(value))


def _dump(value: Any) -> bytes:
    return orjson.dumps(
        value, default=plain, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATETIME
    )


def _in_fragments(value: Any, depth: int = 1) -> Any:
    """The value, with every hundredth level replaced by its JSON text, because orjson stops at 254 levels."""
    if isinstance(value, dict):
        value = {key: _in_fragments(item, depth + 1) for key, item in value.items()}
    elif isinstance(value, list | tuple):
        value = [_in_fragments(item, depth + 1) for item in value]
    else:
        return value
    return value if depth % 100 else orjson.Fragment(_dump(value))
