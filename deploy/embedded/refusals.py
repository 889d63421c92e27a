"""Requests that the server does not carry out, and the JSON that says why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import orjson
from starlette.types import Scope, Send


@dataclass(frozen=True)
class Refusal:
    """An error reply: the HTTP ``status``, ksqlDB's error ``code``, the ``message`` for the client."""

    status: int
    code: int
    message: str
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def body(self) -> bytes:
        """The JSON that ksqlDB's clients read as an error."""
        return orjson.dumps(
            {"@type": "generic_error", "error_code": self.code, "message": self.message}
        )


Check = Callable[[Scope], Refusal | None]
"""Looks at the head of a request and gives the reason to refuse it, or None."""


async def send_refusal(scope: Scope, send: Send, refusal: Refusal, *, is_last: bool = True) -> None:
    """Send an error reply, to an HTTP request or instead of a websocket.

    Without ``is_last`` the caller ends the reply later, by an empty last part.
    """
    prefix = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
    body = refusal.body()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *refusal.headers,
    ]
    await send({"type": f"{prefix}.start", "status": refusal.status, "headers": headers})
    await send({"type": f"{prefix}.body", "body": body, "more_body": not is_last})
