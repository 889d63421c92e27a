"""/ws/query: the rows of a query, or the records of a PRINT, as messages of a websocket.

The request is in the query string, as ``request={"ksql": …, "streamsProperties": …}``. The first message has the
columns, and each further one a row. The last one is an object with the field ``error``, which is ``done`` at the
regular end. All this was observed on ksqlDB 7.9.1.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.embedded import wire
from opensea_metrics.deploy.embedded.queries.client_queries import TransientQuery, keys_of
from opensea_metrics.deploy.embedded.queries.printed_topic import NoSuchTopic, PrintedTopic
from opensea_metrics.deploy.embedded.rest.open_queries import Ended, OpenQueries, OpenQuery
from opensea_metrics.deploy.embedded.rest.open_requests import Full, OpenRequests
from opensea_metrics.deploy.embedded.statements import replies
from opensea_metrics.deploy.embedded.statements.replies import schema

_NORMAL, _REFUSED, _FAILED = 1000, 1003, 1011
_LONGEST_REASON = 123
"""Bytes of the reason in the frame that closes a websocket, by RFC 6455."""


class _CannotAnswer(Exception):
    """The request cannot be answered. The message is for the client."""


class WebsocketQueries:
    """The handler of /ws/query."""

    def __init__(self, queries: OpenQueries, open_requests: OpenRequests) -> None:
        self._queries = queries
        self._open_requests = open_requests

    async def answer(self, websocket: WebSocket) -> None:
        """Answer one websocket."""
        await websocket.accept()
        state = OpenQuery()
        with suppress(WebSocketDisconnect):
            try:
                with self._open_requests.one(state.stop):
                    await self._answer(websocket, state)
            except _CannotAnswer as error:
                await _end(websocket, _REFUSED, str(error))
            except Full as error:
                await _end(websocket, _FAILED, error.refusal.message)
            except Ended as error:
                await _end(websocket, _FAILED, str(error))
            else:
                await _end(websocket, _NORMAL, "done")

    async def _answer(self, websocket: WebSocket, state: OpenQuery) -> None:
        query = await self._opened(websocket)
        leaving = asyncio.create_task(_until_left(websocket, state))
        try:
            if isinstance(query, TransientQuery):
                await _send(websocket, _columns(query))
            async for batch in self._queries.batches(query, state, "a query over a websocket"):
                for row in batch:
                    await _send(websocket, {"row": {"columns": row}} if isinstance(query, TransientQuery) else row)
        finally:
            leaving.cancel()
            query.close()

    async def _opened(self, websocket: WebSocket) -> TransientQuery | PrintedTopic:
        given = websocket.query_params
        if (version := given.get("version", "1")) != "1":
            raise _CannotAnswer(f"Received invalid api version: {version}")
        if "request" not in given:
            raise _CannotAnswer("Error parsing request: missing request parameter")
        try:
            body = wire.loaded(given["request"].encode())
            text, properties = wire.sql(body, "ksql"), wire.texts(body, "streamsProperties")
        except wire.BadRequest as error:
            raise _CannotAnswer(f"Error parsing request: {error}") from error
        if not text:
            raise _CannotAnswer('Error parsing request: "ksql" field of "request" must be populated')
        try:
            return await self._queries.opened(text, properties, is_old=True)
        except NoSuchTopic as error:
            raise _CannotAnswer(error.message) from error
        except SqlError as error:
            reply, _ = replies.error(text, error)
            part = "query" if error.code == 40001 else "request"
            raise _CannotAnswer(f"Error parsing {part}: {reply['message']}") from error


def _columns(query: TransientQuery) -> list[dict[str, Any]]:
    keys = keys_of(query)
    return [
        {"name": column.name, "schema": schema(column.type), **({"type": "KEY"} if column.name in keys else {})}
        for column in query.columns
    ]


async def _send(websocket: WebSocket, message: Any) -> None:
    await websocket.send_text(wire.dump(message).decode())


async def _end(websocket: WebSocket, code: int, reason: str) -> None:
    await _send(websocket, {"error": reason})
    encoded = reason.encode()
    if len(encoded) > _LONGEST_REASON:
        encoded = encoded[: _LONGEST_REASON - 3] + b"..."
    await websocket.close(code, encoded.decode(errors="ignore"))


async def _until_left(websocket: WebSocket, state: OpenQuery) -> None:
    """End the query when its client leaves."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass
    state.close()
