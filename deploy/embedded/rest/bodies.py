"""Bodies of requests: which kinds and sizes the server accepts."""

from __future__ import annotations

import asyncio

from starlette.types import Receive, Scope

from opensea_metrics.deploy.embedded.rest.denials import Refusal
from opensea_metrics.deploy.embedded.rest.policy import Limits


class Refused(Exception):
    """The server does not accept this body."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Disconnected(Exception):
    """The client left before its request was complete."""


def check_kind(scope: Scope) -> Refusal | None:
    """Refuse, with 415, the kinds of bodies that a web page can send without a preflight request.

    The server accepts JSON, forms (the type that ``curl -d`` sends), and bodies without a Content-Type.
    """
    if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
        return None
    for name, value in scope["headers"]:
        text = value.decode("latin-1").strip().lower()
        if name == b"content-type" and text.startswith(("text/plain", "multipart/")):
            return Refusal(
                415, 41500, f"Content-Type {text!r} is not supported. Send application/json"
            )
        if name == b"content-encoding" and text not in ("", "identity"):
            return Refusal(
                415, 41500, f"Content-Encoding {text!r} is not supported. Send the body as it is"
            )
    return None


def check_length(scope: Scope, limits: Limits) -> Refusal | None:
    """Refuse a body with 413 if its announced length exceeds the limit."""
    for name, value in scope.get("headers", ()):
        digits = value.lstrip(b"0")
        if name == b"content-length" and value.isdigit() and (
            len(digits) > 18 or int(digits or b"0") > limits.body
        ):
            return too_large(limits)
    return None


def too_large(limits: Limits) -> Refusal:
    """The reply to a body over the limit."""
    return Refusal(
        413, 41300, f"The body is too large: this server takes at most {limits.body:,} bytes"
    )


def too_slow(seconds: float) -> Refusal:
    """The reply to a body that did not arrive completely within ``seconds``."""
    return Refusal(408, 40800, f"The body was not complete within {seconds:g} s; send it again")


async def read(receive: Receive, limits: Limits) -> bytes:
    """The whole body of a request. Raises Refused (413, 408) or Disconnected."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.body_time):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise Disconnected
                part = message.get("body", b"")
                size += len(part)
                if size > limits.body:
                    raise Refused(too_large(limits))
                parts.append(part)
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        raise Refused(too_slow(limits.body_time)) from None
