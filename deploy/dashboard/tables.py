"""Where the pages' rows come from: the tables of a server, or the results of a recompute."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

import httpx
from starlette.concurrency import run_in_threadpool

from opensea_metrics.core.quoting import ksqldb_text
from opensea_metrics.deploy.client import KsqlClient, KsqlError, QueryEnded, ServerUnreachable
from opensea_metrics.deploy.client.errors import BadReply, error_in, error_of
from opensea_metrics.deploy.client.http import MEDIA_TYPE
from opensea_metrics.deploy.client.rows import Objects
from opensea_metrics.deploy.serving_names import serving_names
from opensea_metrics.deploy.shapes import WrongShape, listed, member

Values = Sequence[Any]
"""The values of a row, in the order of a query's columns."""

_ASKED_AGAIN = 30.0
"""Seconds after which the record of migrations is read again if no table has come or gone."""
_ANSWER = 10.0
"""Seconds for the connection and for the head of the reply. Rows may take any time."""


@dataclass(frozen=True)
class RowSelection:
    """Columns of the rows of a windowed table whose windows start in ``[start, end)``, in epoch ms.

    The rows also have the key of the first entry of each top list in ``first_keys``, or None.
    ``equal`` are pairs of a column and the text that it must equal. Names of tables and columns are constants of this
    package, not input.
    """

    table: str
    columns: tuple[str, ...]
    equal: tuple[tuple[str, str], ...] = ()
    start: int | None = None
    end: int | None = None
    first_keys: tuple[str, ...] = ()

    def pull(self) -> str:
        """The SQL of the pull query for the selection."""
        bounds = ((">=", self.start), ("<", self.end))
        return f"{self._select(*(f'WINDOWSTART {sign} {bound}' for sign, bound in bounds if bound is not None))};"

    def push(self) -> str:
        """The SQL of the push query for future changes of any window."""
        return f"{self._select()} EMIT CHANGES;"

    def _select(self, *bounds: str) -> str:
        conditions = [*(f"{name} = {ksqldb_text(value)}" for name, value in self.equal), *bounds]
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        keys = (f"{name}[1]->KEY AS FIRST_{name}" for name in self.first_keys)
        return f"SELECT {', '.join((*self.columns, *keys))} FROM {self.table}{where}"


class Tables(Protocol):
    """The tables of one server or folder. The methods raise OpenSeaMetricsError if it cannot be read."""

    is_live: bool

    async def names(self) -> frozenset[str]:
        """The names of all tables, in upper case."""
        ...

    async def rows(self, selection: RowSelection) -> list[Values]:
        """The rows of a selection."""
        ...


class ServerTables:
    """The tables of a ksqlDB or an embedded server.

    Callers use the names in the files, also for tables that were built side by side under another name. See
    :mod:`deploy.serving_names`.
    """

    is_live = True

    def __init__(self, client: KsqlClient) -> None:
        self.client = client
        self._http: httpx.AsyncClient | None = None
        self._present: frozenset[str] = frozenset()
        self._serving: Mapping[str, str] = {}
        self._asked = -math.inf

    def push(self, text: str, reset: str = "latest") -> AsyncGenerator[Values | None, None]:
        """The rows of a push query: see :func:`push`."""
        if self._http is None:  # one client for all queries, because each loads 1 MB of certificates
            self._http = self.client.access.async_http(self.client.url)
        return push(self._http, self.client.url, text, reset)

    async def names(self) -> frozenset[str]:
        """The names of all tables. For a table that serves under another name, also its name in the files."""
        return await run_in_threadpool(self._names)

    def _names(self) -> frozenset[str]:
        present = frozenset(table.name for table in self.client.tables())
        if present != self._present or time.monotonic() - self._asked > _ASKED_AGAIN:
            with suppress(KsqlError):  # a server on which nothing was applied has no record
                self._serving = serving_names(self.client)
            self._present, self._asked = present, time.monotonic()
        return present | self._serving.keys()

    def serving(self, selection: RowSelection) -> RowSelection:
        """The same selection from the version that serves.

        The last call of :meth:`names` found out which version that is.
        """
        return replace(selection, table=self._serving.get(selection.table, selection.table))

    async def rows(self, selection: RowSelection) -> list[Values]:
        """The rows of a pull query."""
        pulled = await run_in_threadpool(self.client.pull_rows, self.serving(selection).pull())
        return list(pulled.values)


async def push(
    http: httpx.AsyncClient, url: str, text: str, reset: str = "latest"
) -> AsyncGenerator[Values | None, None]:
    """The rows of a push query. The first item is None: the server has started the query.

    ``reset`` is ``latest`` for future rows only, or ``earliest``. ``http`` uses HTTP/1.1, so that each query has its
    own connection: queries that share a connection block one another. The iteration ends only with a ClientError.
    Cancelling the task that reads the rows closes the connection, which ends the query.
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
