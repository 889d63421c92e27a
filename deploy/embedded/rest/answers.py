"""/query-stream, /query and /close-query: stream the rows of queries to clients."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from opensea_metrics.core.errors import SqlError, Stage
from opensea_metrics.deploy.embedded import wire
from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.queries.client_queries import ShownQuery, TransientQuery
from opensea_metrics.deploy.embedded.queries.key_lookups import KeyLookups
from opensea_metrics.deploy.embedded.queries.printed_topic import (
    NoSuchTopic,
    PrintedTopic,
)
from opensea_metrics.deploy.embedded.rest import endpoints
from opensea_metrics.deploy.embedded.rest.frames import Frame
from opensea_metrics.deploy.embedded.rest.frames import frame as frame_for
from opensea_metrics.deploy.embedded.rest.open_queries import Ended, OpenQueries, OpenQuery
from opensea_metrics.deploy.embedded.rest.open_requests import Full, OpenRequests
from opensea_metrics.deploy.embedded.statements import replies

_FEW = 100
"""A batch of at most this many rows of a push query is sent with one row in each frame.

Some clients treat a frame as a row.
"""
class _Answer(StreamingResponse):
    """A stream of rows. It always releases its query, even if the stream never began."""

    def __init__(
        self, rows: AsyncIterator[bytes], media_type: str | None, release: Callable[[], None]
    ) -> None:
        super().__init__(rows, media_type=media_type)
        self._release = release

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._release()


class Answers:
    """The handlers of queries."""

    def __init__(self, engine: Engine, queries: OpenQueries, open_requests: OpenRequests) -> None:
        self._queries = queries
        self._open_requests = open_requests
        self._open: dict[str, OpenQuery] = {}
        self._numbers = itertools.count(time.time_ns() // 1_000_000)
        self._lookups = KeyLookups(engine)

    async def query_stream(self, request: Request) -> Response:
        """POST /query-stream."""
        return await self._answer(request, "sql", "properties")

    async def old_query(self, request: Request) -> Response:
        """POST /query."""
        return await self._answer(request, "ksql", "streamsProperties")

    async def close_query(self, request: Request) -> Response:
        """POST /close-query."""
        try:
            name = wire.text(await wire.body(request), "queryId", required=True)
        except wire.BadRequest as error:
            return wire.bad(error)
        query = self._open.get(name)
        if query is None:
            message = f"No query with id {name}"
            return wire.untyped(replies.generic_error(40000, message), 400)
        query.close()
        return Response(status_code=200)

    async def _answer(self, request: Request, sql: str, properties_name: str) -> Response:
        is_old = sql == "ksql"
        send = wire.json if is_old else wire.untyped
        text = ""
        state = OpenQuery()
        try:
            body = await wire.body(request)
            text = wire.sql(body, sql, required=not is_old)
            given = wire.texts(body, properties_name)
            # Clients of /query fill in their variables themselves.
            variables = {} if is_old else wire.texts(body, "sessionVariables")
            if is_old and not text:
                return wire.json(replies.generic_error(40000, '"ksql" field must be populated'), 400)
            self._open_requests.take(state.stop)
        except wire.BadRequest as error:
            return wire.bad(error)
        except Full as error:
            return wire.refused(error.refusal)
        accepted = endpoints.accepted(request.scope) or ""
        try:
            if not (given or variables) and (looked_up := await self._lookups.answer(text)):
                self._open_requests.leave(state.stop)
                return self._whole(*looked_up, frame_for(accepted, is_old, is_transient=False))
            query = await self._queries.opened(text, given, is_old, variables)
        except NoSuchTopic as error:
            self._open_requests.leave(state.stop)
            message = error.did_you_mean if is_old else f"Topic does not exist: {error.topic}"
            return send(replies.generic_error(40000 if is_old else 40001, message), 400)
        except SqlError as error:
            self._open_requests.leave(state.stop)
            reply, status = replies.error(text, error)
            if error.stage is Stage.SYNTAX:
                reply["message"] += f"\nStatement: {text}"
            return send(reply, status)
        except BaseException:
            self._open_requests.leave(state.stop)
            raise
        if isinstance(query, PrintedTopic):
            return self._print(query, state, is_old)
        is_transient = query.is_push or not query.source.is_table
        prefix = f"transient_{query.source.name}" if is_transient else "query"
        query_id = f"{prefix}_{next(self._numbers)}"
        self._open[query_id] = state

        def release() -> None:
            del self._open[query_id]
            self._open_requests.leave(state.stop)
            query.close()

        frame = frame_for(accepted, is_old, is_transient)
        return _Answer(self._rows(query, query_id, state, frame), frame.media_type, release)

    def _whole(self, query: ShownQuery, rows: list[list[Any]], frame: Frame) -> Response:
        """The reply to a query whose rows are all available."""
        parts = [frame.opening(query, f"query_{next(self._numbers)}"), frame.rows(rows) if rows else b""]
        return Response(b"".join([*parts, frame.ending("Query Completed")]), media_type=frame.media_type)

    def _print(self, printed: PrintedTopic, state: OpenQuery, is_old: bool) -> Response:
        def release() -> None:
            self._open_requests.leave(state.stop)
            printed.close()

        media_type = "application/json" if is_old else None
        return _Answer(self._lines(printed, state, is_old), media_type, release)

    async def _lines(
        self, printed: PrintedTopic, state: OpenQuery, has_formats: bool
    ) -> AsyncIterator[bytes]:
        """The lines of PRINT. Over /query, lines with the formats come first, and again whenever a format changes."""
        shown: dict[str, str] = {}
        try:
            async for batch in self._queries.batches(printed, state, "PRINT"):
                lines = list(batch)
                if has_formats:
                    formats = dict(zip(("Key format: ", "Value format: "), printed.formats, strict=True))
                    lines = [name + text for name, text in formats.items() if shown.get(name) != text] + lines
                    shown = formats
                yield "".join(f"{line}\n" for line in lines).encode()
        except Ended:
            if not state.is_stopped:
                raise  # an error has no line of its own: the web server closes the connection

    async def _rows(
        self, query: TransientQuery, query_id: str, state: OpenQuery, frame: Frame
    ) -> AsyncIterator[bytes]:
        try:
            yield frame.opening(query, query_id)
            async for batch in self._queries.batches(query, state, f"query {query_id}"):
                if query.is_push and len(batch) <= _FEW:
                    for row in batch:
                        yield frame.rows([row])
                        await asyncio.sleep(0)  # gives the web server a chance to send the rows
                else:
                    yield frame.rows(batch)
            yield frame.ending("Limit Reached" if query.is_complete else "Query Completed")
        except Ended as error:
            yield frame.failing(replies.generic_error(50000, str(error)))
