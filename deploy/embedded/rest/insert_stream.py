"""/inserts-stream: a client sends many rows in one request, and the server acknowledges each row once it is stored.

As on ksqlDB this works only over HTTP/2, because requests and replies of HTTP/1.1 do not overlap.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.types import Message, Receive, Scope, Send

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.embedded import failures, wire
from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.rest import bodies, endpoints
from opensea_metrics.deploy.embedded.rest.denials import Refusal, refuse
from opensea_metrics.deploy.embedded.rest.open_requests import Full, OpenRequests
from opensea_metrics.deploy.embedded.rest.policy import Limits
from opensea_metrics.deploy.embedded.topics import inserts
from opensea_metrics.deploy.embedded.topics.inserts import RowReader
from opensea_metrics.deploy.embedded.topics.record_topic import TopicRecord
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.values.coercion import Mismatch

_ROOM = 1024 * 1024
"""The most bytes of rows that wait to be stored. Beyond this limit, the client has to wait."""


class InsertStream:
    """The ASGI application that answers /inserts-stream."""

    def __init__(self, engine: Engine, open_requests: OpenRequests, limits: Limits) -> None:
        self._engine = engine
        self._open_requests = open_requests
        self._most = limits.body
        self._patience = limits.body_time

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        lines = _Lines(receive, self._most)
        try:
            with self._open_requests.one(lines.stop):
                await self._answer(scope, lines, send)
        except Full as error:
            await refuse(scope, receive, send, error.refusal)

    async def _answer(self, scope: Scope, lines: _Lines, send: Send) -> None:
        if not scope["http_version"].startswith(("2", "3")):
            message = "This endpoint is only available when using HTTP2"
            await refuse(scope, lines.receive, send, Refusal(400, 40004, message))
            return
        try:
            async with asyncio.timeout(self._patience):
                first = await lines.first()
            source = self._target(first)
        except TimeoutError:
            await refuse(scope, lines.receive, send, bodies.too_slow(self._patience))
        except wire.BadRequest as error:
            message = f"Invalid JSON in request: {error}"
            await refuse(scope, lines.receive, send, Refusal(400, 40000, message))
        except SqlError as error:
            await refuse(scope, lines.receive, send, Refusal(400, error.code, error.message))
        else:
            replies = _Replies(send, is_list=endpoints.accepted(scope) == endpoints.JSON)
            await replies.begin()
            await self._insert(source, lines, replies)

    def _target(self, line: bytes) -> Source:
        args = wire.loaded(line)
        written = wire.text(args, "target", required=True)
        wire.texts(args, "properties")
        return inserts.target(self._engine.catalog, written)

    async def _insert(self, source: Source, lines: _Lines, replies: _Replies) -> None:
        reader = RowReader(source, await run_in_threadpool(self._engine.partitions, source.topic))
        number = 0
        pumping = asyncio.create_task(lines.pump())
        try:
            while (batch := await lines.take()) is not None:
                stored, failure = await run_in_threadpool(self._store, source, reader, batch)
                await replies.acknowledge(range(number, number + stored))
                number += stored
                if failure is not None:
                    await replies.fail(number, *failure)
                    break
            await replies.end()
        finally:
            pumping.cancel()

    def _store(
        self, source: Source, reader: RowReader, batch: list[bytes]
    ) -> tuple[int, tuple[int, str] | None]:
        """Store the rows before the first wrong row. Returns their number, and the code and message of its error."""
        records: list[TopicRecord] = []
        failure = None
        now = time.time_ns() // 1_000_000
        try:
            for line in batch:
                if len(line) > self._most:
                    failure = (41300, f"A row may have at most {self._most:,} bytes")
                    break
                records.append(reader.record(line, now))
        except Mismatch as error:
            failure = (40000, str(error))
        if not records:
            return 0, failure
        try:
            self._engine.insert(source, records)
        except SqlError as error:
            return 0, (error.code, error.message)
        except Exception as error:
            return 0, (50000, failures.logged(error, f"inserting into {source.name}"))
        return len(records), failure


class _Replies:
    """Sends an object for each row to the client: one per line, or all in one list."""

    def __init__(self, send: Send, is_list: bool) -> None:
        self._send = send
        self._before, self._after = (b",", b"") if is_list else (b"", b"\n")
        self._is_list = is_list
        self._is_first = True

    async def begin(self) -> None:
        await self._send({"type": "http.response.start", "status": 200, "headers": []})
        await self._write(b"[" if self._is_list else b"")

    async def acknowledge(self, numbers: range) -> None:
        await self._objects([{"status": "ok", "seq": number} for number in numbers])

    async def fail(self, number: int, code: int, message: str) -> None:
        error = {"@type": "InsertError", "status": "error", "seq": number}
        await self._objects([{**error, "error_code": code, "message": message}])

    async def end(self) -> None:
        await self._write(b"]" if self._is_list else b"")
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _objects(self, objects: list[dict[str, Any]]) -> None:
        body = b"".join(self._before + wire.dump(item) + self._after for item in objects)
        if self._is_first and body:
            body, self._is_first = body.removeprefix(self._before), False
        await self._write(body)

    async def _write(self, body: bytes) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": True})


class _Lines:
    """The lines of a request's body, as they arrive. The next lines are read while earlier ones are stored."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._most = most
        self._buffer = bytearray()
        self._has_line = False
        self._is_over = False
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()

    def stop(self) -> None:
        """Accept no more lines, as if the client had ended its request."""
        self._is_over = True
        self._arrived.set()

    async def receive(self) -> Message:
        """The next part of the body, or an empty part after the last one."""
        if self._is_over:
            return {"type": "http.request", "body": b"", "more_body": False}
        message = await self._receive()
        self._is_over = not message.get("more_body")
        return message

    async def first(self) -> bytes:
        """The first line. Raises BadRequest if it is too long."""
        while not (self._has_line or self._is_over):
            await self._read()
            if len(self._buffer) > self._most:
                raise wire.BadRequest(f"the first line is longer than {self._most:,} bytes")
        line, _, rest = self._buffer.partition(b"\n")
        self._buffer = rest
        self._has_line = b"\n" in rest
        return bytes(line)

    async def pump(self) -> None:
        """Read the body to its end. Wait while too many lines have not been taken."""
        while not self._is_over:
            await self._read()
            self._arrived.set()
            while self._has_line and len(self._buffer) > _ROOM:
                self._taken.clear()
                await self._taken.wait()

    async def take(self) -> list[bytes] | None:
        """All lines that have arrived, at least one, or None at the end.

        If a line is too long, the part that has arrived counts as a line.
        """
        while not (self._has_line or self._is_over or len(self._buffer) > self._most):
            self._arrived.clear()
            await self._arrived.wait()
        lines = bytes(self._buffer).split(b"\n")
        rest = lines.pop()
        if rest and (self._is_over or len(rest) > self._most):
            lines.append(rest)
            rest = b""
        self._buffer = bytearray(rest)
        self._has_line = False
        self._taken.set()
        return lines or None

    async def _read(self) -> None:
        message = await self.receive()
        if message["type"] != "http.request":  # the client has left, so its last row may be incomplete
            self._buffer.clear()
            self._has_line = False
            return
        part = message.get("body", b"")
        self._has_line = self._has_line or b"\n" in part
        self._buffer += part
