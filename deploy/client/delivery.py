"""Delivers one statement: sends it until the server has executed or refused it. The only retry policy.

Sometimes the outcome of a statement is unknown, because no answer came or the server was too busy. Then the
server is searched for the statement's effect. If the effect is there, the statement counts as executed. If
not, the statement is sent again.

``INSERT INTO … VALUES`` leaves no effect to search for. It is sent again, so its row may be there twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from opensea_metrics.deploy.client import (
    ClientError,
    GuardFailed,
    KsqlClient,
    KsqlError,
    OutcomeUnknown,
    ServerUnreachable,
)
from opensea_metrics.sql.language.dialect.lexical import summary

# The server says this with status 500. It has not executed the statement, and may execute it later.
# Two statements of two clients at the same time fence one another's producer (observed on a 7.9.1).
BUSY = (
    "Could not write the statement", "Another command with the same id", "has been fenced by another producer",
    "a newer producer with the same transactionalId",
)  # fmt: skip
# The cause that a BUSY message has if the server refuses every ALTER SYSTEM. It does so by default
# (ksql.runtime.feature.shared.enabled, observed on a 7.9.1).
NO_ALTER_SYSTEM = "Cannot alter system configs"
LONGEST_WAIT = 5.0  # seconds between two attempts
# Searches for the effect of a statement without an answer, before it is sent again. ksqlDB may still be
# executing it: it waits for other statements for up to 5 seconds, twice
# (ksql.server.command.response.timeout.ms). Two CREATE of one topic at the same time may leave the
# stream or table without its topic (see RecordStore.create).
SEARCHES = 20


@dataclass(frozen=True)
class Delivered:
    """The server has executed a statement.

    ``query_id``: the query that the statement started. ``defined``: the statement as the server wrote it.
    ``again``: the statement was sent more than once, so it may also have been executed more than once.
    """

    query_id: str | None = None
    defined: str | None = None
    again: bool = False


Search = Callable[[], Delivered | None]
"""Searches the server for the effect of a statement; None if there is none."""


def effect_if(condition: Callable[[], bool]) -> Search:
    """A search that finds the effect if the condition holds."""
    return lambda: Delivered() if condition() else None


class StatementRefused(ClientError):
    """The server has refused a statement, which is known to have no effect."""

    def __init__(self, error: KsqlError) -> None:
        super().__init__(str(error))


def deliver(
    client: KsqlClient, text: str, properties: Mapping[str, str] | None = None, search: Search | None = None
) -> Delivered:
    """Send statements until the server has executed or refused them.

    Without ``search``, repeating the statements does no harm. A server that is stopping a query refuses
    other statements for up to a minute (observed), so this repeats for the client's ``patience``.

    Raises StatementRefused if the statements were refused and not executed. Raises GuardFailed, and another
    ClientError if the outcome stays unknown.
    """
    deadline = time.monotonic() + client.patience
    wait, is_first = client.wait, True
    while True:
        try:
            results = client.execute(text, properties)
        except GuardFailed:
            raise
        except ClientError as error:
            delivered = _after(error, client, search, is_first)
            if delivered is not None:
                return delivered
            if time.monotonic() > deadline:
                raise
            warn("sending again", statement=summary(text), reason=str(error))
        else:
            last = results[-1] if results else None
            return Delivered(last.query_id, last.statement, not is_first) if last else Delivered()
        time.sleep(wait)
        wait, is_first = min(2 * wait, LONGEST_WAIT), False


def warn(event: str, **values: object) -> None:
    """Log a warning."""
    # Imported here, because it takes as long to import as DuckDB, and most runs log nothing.
    import structlog

    structlog.get_logger().warning(event, **values)


def _after(error: ClientError, client: KsqlClient, search: Search | None, is_first: bool) -> Delivered | None:
    """The effect of an attempt that failed; None if the statement is to be sent again."""
    status = error.status if isinstance(error, KsqlError) else None
    if isinstance(error, KsqlError) and error.status < 500 and (is_first or search is None):
        raise StatementRefused(error) from error
    if search is None:
        return None
    # After an attempt without an answer, "already exists" may be the late success of that attempt.
    delivered = _searched(client, search, SEARCHES if isinstance(error, OutcomeUnknown) else 1)
    # Any other error 500 is a refusal, for example of a window whose retention is shorter than its grace.
    is_busy = any(words in str(error) for words in BUSY) and NO_ALTER_SYSTEM not in str(error)
    may_pass = status in (None, 503) or is_busy
    if delivered is None and isinstance(error, KsqlError) and not may_pass:
        raise StatementRefused(error) from error
    return delivered


def _searched(client: KsqlClient, search: Search, times: int) -> Delivered | None:
    """The effect, searched for several times. Waits while the server is restarting."""
    deadline = time.monotonic() + client.patience
    while True:
        try:
            delivered = search()
            times -= 1
            if delivered is not None or times == 0:
                return delivered
        except ServerUnreachable:
            if time.monotonic() > deadline:
                raise
        time.sleep(client.wait)
