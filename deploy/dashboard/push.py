"""Push queries for asyncio: cancelling the task that reads one closes its connection, which ends the query."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import httpx

from opensea_metrics.deploy.client import QueryEnded, ServerUnreachable
from opensea_metrics.deploy.client.errors import BadReply, error_in, error_of
from opensea_metrics.deploy.client.http import MEDIA_TYPE
from opensea_metrics.deploy.client.rows import Objects
from opensea_metrics.deploy.shapes import WrongShape, listed, member

Values = Sequence[Any]
"""The values of a row, in the order of a query's columns."""

_ANSWER = 10.0
"""Seconds for the connection and for the head of the reply. Rows may take any time."""


async def push(
    http: httpx.AsyncClient, url: str, text: str, reset: str = "latest"
) -> AsyncGenerator[Values | None, None]:
    """The rows of a push query. The first item is None: the server has started the query.

    ``reset`` is ``latest`` for future rows only, or ``earliest``. ``http`` uses HTTP/1.1, so that each query has its
    own connection: queries that share a connection block one another. The iteration ends only with a ClientError.
    """
    timeout = httpx.Timeout(_ANSWER, read=None)
    body = {"ksql": text, "streamsProperties": {"auto.offset.reset": reset}}
    request = "POST /query (push)"
    try:
        headers = {"Accept": MEDIA_TYPE}
        async with http.stream("POST", f"{url}/query", json=body, headers=headers, timeout=timeout) as reply:
            if reply.status_code != 200:
                page = (await reply.aread()).decode(errors="replace")
                refused = error_of(reply.status_code, page, text)
                raise refused or BadReply(url, request, f"it has HTTP status {reply.status_code}")
            objects = Objects()
            async for piece in reply.aiter_bytes():
                for message in objects.feed(piece):
                    if message.get("header") is not None:
                        yield None
                    elif message.get("row") is not None:
                        yield listed(member(message, "row"), "columns")
                    elif message.get("errorMessage") is not None:
                        raise error_in(message["errorMessage"], text)
                    else:
                        raise QueryEnded(url, text, "the server ended it")
        raise QueryEnded(url, text, "its reply stops")
    except httpx.ConnectError as error:
        raise ServerUnreachable(url, str(error) or type(error).__name__) from error
    except httpx.TransportError as error:
        raise QueryEnded(url, text, str(error) or type(error).__name__) from error
    except WrongShape as error:
        raise BadReply(url, request, str(error)) from None
