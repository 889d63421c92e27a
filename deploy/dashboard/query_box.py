"""Answers the requests of the query box."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.deploy.dashboard.tables import ServerTables, Tables
from opensea_metrics.deploy.output.excerpts import error_text

_AT_ONCE = 2
"""The number of queries that run at a time."""


class QueryBox:
    """Runs the queries of users on a server. Only pages of this dashboard may ask."""

    def __init__(self, tables: Tables) -> None:
        assert isinstance(tables, ServerTables)  # results have no query box
        self._client = tables.client
        self._asking = asyncio.Semaphore(_AT_ONCE)

    async def answer(self, request: Request) -> Response:
        """POST /api/ask: the rows of a query."""
        if "origin" not in request.headers:  # an invalid one has already been refused
            return _json({"message": "A query must come from a page of this dashboard"}, 403)
        try:
            sql = orjson.loads(await request.body())["sql"]
        except (orjson.JSONDecodeError, TypeError, KeyError):
            return _json({"message": 'The body must be a JSON object with the text "sql"'}, 400)
        try:
            # Loads the language, which no other page needs.
            from opensea_metrics.deploy.dashboard import ask

            async with self._asking:
                reply = await run_in_threadpool(ask.ask, self._client, str(sql))
        except OpenSeaMetricsError as error:
            return _json({"error": error_text(error)})  # the request itself was right
        return _json(reply.as_json())


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value, default=_plain), status, media_type="application/json")


def _plain(value: Any) -> float | str:
    return float(value) if isinstance(value, Decimal) else str(value)  # a browser's numbers are DOUBLEs
