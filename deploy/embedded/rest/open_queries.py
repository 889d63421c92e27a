"""Opens the queries of requests, and reads their rows until the query, its client or the server ends."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

import anyio
from starlette.concurrency import run_in_threadpool

from opensea_metrics.core.errors import SqlError
from opensea_metrics.core.places import Lines
from opensea_metrics.deploy.embedded import failures
from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.queries.client_queries import TransientQuery
from opensea_metrics.deploy.embedded.queries.printed_topic import (
    PrintedTopic,
    check_topic,
    print_statement,
)
from opensea_metrics.deploy.embedded.statements import properties
from opensea_metrics.sql.language.project.variables import Variables, filled
from opensea_metrics.sql.language.statements.parser import parse_script
from opensea_metrics.sql.language.statements.statements import Kind
from opensea_metrics.sql.language.values.topic_json import finite

_AGAIN = 10.0
"""Seconds after which a push query looks for rows even if nothing has announced new ones."""
_BATCH = 1_000
_STOPS = "the server is stopping; ask again when it is up"
_THREADS = 8
"""The number of threads that look for rows of push queries.

So other requests do not queue behind hundreds of queries.
"""


class Ended(Exception):
    """A query ended before it had all its rows. The message is for the client."""


class OpenQuery:
    """A running query. ``wakeup`` is set when the query should look for rows or check the two flags.

    ``is_closed``: its client has closed it. ``is_stopped``: the server is stopping.
    """

    def __init__(self) -> None:
        self.wakeup = asyncio.Event()
        self.is_closed = False
        self.is_stopped = False

    def close(self) -> None:
        """Make the query end after the rows that exist now."""
        self.is_closed = True
        self.wakeup.set()

    def stop(self) -> None:
        """Make the query end with an error, so that its client knows that more rows could have come."""
        self.is_stopped = True
        self.close()


class OpenQueries:
    """The queries of clients, over an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._threads = anyio.CapacityLimiter(_THREADS)

    async def batches(
        self, query: TransientQuery | PrintedTopic, state: OpenQuery, name: str
    ) -> AsyncIterator[list[Any]]:
        """The rows of a query until it ends, in batches. Raises Ended if the query fails or the server stops."""
        loop = asyncio.get_running_loop()
        wake = partial(loop.call_soon_threadsafe, state.wakeup.set)
        try:
            with ExitStack() as stack:
                for topic in query.topics:
                    stack.enter_context(self._engine.listeners.listening(topic, wake))
                while True:
                    state.wakeup.clear()
                    async for batch in self._arrived(query):
                        yield batch
                    if not query.is_push or query.is_complete or state.is_closed:
                        break
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_AGAIN):
                            await state.wakeup.wait()
        except Exception as error:
            raise Ended(failures.logged(error, name)) from error
        if query.is_push and state.is_stopped and not query.is_complete:
            raise Ended(_STOPS)

    async def _arrived(self, query: TransientQuery | PrintedTopic) -> AsyncIterator[list[Any]]:
        """The rows that have arrived since the last call."""
        has_doubles = isinstance(query, TransientQuery) and any(
            "DOUBLE" in str(column.type) for column in query.columns
        )
        rows = query.rows()
        take = partial(_take, rows)
        limiter = self._threads if query.is_push else None
        while batch := await anyio.to_thread.run_sync(take, limiter=limiter):
            yield [finite(row) for row in batch] if has_doubles else batch

    async def opened(
        self, text: str, given: dict[str, str], is_old: bool, variables: Mapping[str, str] | None = None
    ) -> TransientQuery | PrintedTopic:
        """The query or PRINT of a request. Raises SqlError, and NoSuchTopic if the topic of a PRINT does not exist."""
        return await run_in_threadpool(self._query, text, given, is_old, variables or {})

    def _query(
        self, text: str, given: dict[str, str], is_old: bool, variables: Mapping[str, str]
    ) -> TransientQuery | PrintedTopic:
        properties.check(given, any_name=not is_old)
        if variables:
            text = filled(text, Variables(variables), Lines(text, "statement").place).text
        statements = parse_script(text, "statement")
        if len(statements) != 1:
            raise SqlError(
                f"Expected exactly one KSQL statement; found {len(statements)} instead"
                + ("" if is_old else f"\nStatement: {text}")
            )
        if statements[0].kind is Kind.PRINT:
            printed = print_statement(statements[0])
            check_topic(self._engine, printed.topic)
            return PrintedTopic(self._engine, printed, given)
        if statements[0].kind is not Kind.SELECT:
            if is_old:
                raise SqlError(
                    "Statement type `io.confluent.ksql.parser.KsqlParser$PreparedStatement' not "
                    "supported for this resource",
                    code=40000,
                )
            raise SqlError(f"Neither a query nor a print statement\nStatement: {text}")
        return TransientQuery(self._engine, statements[0], given)


def _take(rows: Any) -> list[Any]:
    return list(itertools.islice(rows, _BATCH))
