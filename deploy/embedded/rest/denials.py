"""Refused requests, and the JSON that gives the reason."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import orjson
from starlette.types import Receive, Scope, Send


@dataclass(frozen=True)
class Refusal:
    """An error reply: the HTTP ``status``, ksqlDB's error ``code``, the ``message`` for the client."""

    status: int
    code: int
    message: str
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def body(self) -> bytes:
        """The JSON that ksqlDB's clients read as an error. Empty if there is no message."""
        if not self.message:
            return b""
        return orjson.dumps(
            {"@type": "generic_error", "error_code": self.code, "message": self.message}
        )


Check = Callable[[Scope], Refusal | None]
"""Reads the head of a request and returns the reason to refuse it, or None."""


_LINGER = 5.0
"""How many seconds the server reads and discards the rest of a refused body."""


async def refuse(scope: Scope, receive: Receive, send: Send, refusal: Refusal) -> None:
    """Answer a request or a websocket with an error. The request's body need not have been read.

    A client that is still sending its body could not read the reply if the server closed the connection
    immediately. So the server reads and discards the rest of the body for a few seconds.
    """
    prefix = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
    body = refusal.body()
    headers = [
        *([(b"content-type", b"application/json")] if body else []),
        (b"content-length", str(len(body)).encode()),
        *refusal.headers,
    ]
    await send({"type": f"{prefix}.start", "status": refusal.status, "headers": headers})
    await send({"type": f"{prefix}.body", "body": body, "more_body": scope["type"] == "http"})
    if scope["type"] == "http":
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER):
                await _discard(receive)
        await send({"type": f"{prefix}.body", "body": b"", "more_body": False})


async def _discard(receive: Receive) -> None:
    while (message := await receive())["type"] == "http.request":
        if not message.get("more_body"):
            return
