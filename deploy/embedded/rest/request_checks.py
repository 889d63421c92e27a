"""The checks that every request must pass before a handler sees it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from opensea_metrics.deploy.embedded import failures
from opensea_metrics.deploy.embedded.rest import bodies, endpoints
from opensea_metrics.deploy.embedded.rest.denials import Check, refuse
from opensea_metrics.deploy.embedded.rest.policy import Limits


class RequestChecks:
    """Middleware that refuses requests if a check objects, and reads bodies before handlers answer.

    HTTP/2 clients may send a body with any request, even with GET. If a reply ended before its request's body, the
    rest of the body would belong to a stream that has ended. The handlers of the paths in ``streaming`` read their
    bodies themselves.
    """

    def __init__(
        self, app: ASGIApp, checks: Sequence[Check], limits: Limits, streaming: Collection[str]
    ) -> None:
        self._app = app
        self._checks = checks
        self._limits = limits
        self._streaming = streaming

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return  # nothing to do when the application starts or stops
        scope = {**scope, "path": endpoints.normal_path(scope["path"])}
        for check in self._checks:
            if refusal := check(scope):
                await refuse(scope, receive, send, refusal)
                return
        if scope["type"] == "websocket" or scope["path"] in self._streaming:
            await self._answer(scope, receive, send)
            return
        try:
            if refusal := bodies.check_length(scope, self._limits):
                raise bodies.Refused(refusal)
            body = await bodies.read(receive, self._limits)
        except bodies.Refused as error:
            await refuse(scope, receive, send, error.refusal)
        except bodies.Disconnected:
            return
        else:
            await self._answer(scope, _replaying(body, receive), send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_over = False

        async def noting(message: Message) -> None:
            nonlocal is_over
            is_over = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:
            # Starlette raises an exception again after it has been answered.
            if not is_over:
                failures.logged(error, f"the reply to {scope['path']!r}")
                raise  # closes the connection, because half a reply must not look complete


def _replaying(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that returns a body that has been read already, and then the messages after the body."""
    is_given = False

    async def replay() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
