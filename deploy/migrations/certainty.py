"""Statements sent until it is known whether they were carried out.

A statement whose outcome is unknown (no answer, or a server that was too busy to say) is looked
for on the server: found done, the run goes on; found undone, it is sent again. Only INSERT INTO …
VALUES leaves no trace to look for: it is sent again, so its row may be there twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import structlog
import tenacity

from opensea_metrics.deploy.client import (
    ClientError,
    GuardFailed,
    KsqlClient,
    KsqlError,
    OutcomeUnknown,
    ServerUnreachable,
)
from opensea_metrics.deploy.migrations.server import Effect
from opensea_metrics.sql.language.dialect.lexical import summary

log = structlog.get_logger()

# What a server says with status 500 that has not carried out a statement, and later may.
BUSY = ("Could not write the statement", "Another command with the same id")
LONGEST_WAIT = 5.0  # seconds between two attempts
# Looks for the effect of a statement without an answer, before it is sent again. ksqlDB may still be
# at it: it waits for others for up to 5 seconds (ksql.server.command.response.timeout.ms, twice).
# Two CREATE of one topic at once may leave the source without its topic (see Store.create).
LOOKS = 20


class Refusal(ClientError):
    """The server has refused a statement, which is known to be without effect."""

    def __init__(self, error: KsqlError) -> None:
        super().__init__(str(error))


def certainly(
    client: KsqlClient,
    text: str,
    properties: Mapping[str, str],
    seen: Callable[[], Effect | None],
) -> Effect:
    """Send a statement until it is known to be done or refused; ``seen`` looks for its effect.

    A server that is busy stopping a query refuses others for up to a minute (observed), so this
    goes on for the client's patience. Raises Refusal if the statement is refused and was not
    carried out, GuardFailed, another ClientError if that cannot be known now.
    """
    deadline = time.monotonic() + client.patience
    wait, first = client.wait, True
    while True:
        try:
            results = client.execute(text, properties)
            last = results[-1] if results else None
            return Effect(last.query_id, last.statement, not first) if last else Effect()
        except GuardFailed:
            raise
        except ClientError as error:
            # After an attempt without an answer, "already exists" may be its late success.
            if isinstance(error, KsqlError) and error.status < 500 and first:
                raise Refusal(error) from error
            effect = once_back(client, seen)
            if isinstance(error, OutcomeUnknown):
                effect = effect or _late(client, seen)
            if effect is not None:
                return effect
            if isinstance(error, KsqlError) and not may_pass(error):
                raise Refusal(error) from error
            if time.monotonic() > deadline:
                raise
            log.warning("sending again", statement=summary(text), reason=str(error))
        time.sleep(wait)
        wait, first = min(2 * wait, LONGEST_WAIT), False


def may_pass(error: BaseException) -> bool:
    """True for an error after which the same statement may well be taken."""
    # Other errors 500 are refusals, such as of a window's retention that is shorter than its grace.
    if isinstance(error, KsqlError):
        return error.status == 503 or any(each in error.message for each in BUSY)
    return isinstance(error, ClientError) and not isinstance(error, GuardFailed)


def _late(client: KsqlClient, seen: Callable[[], Effect | None]) -> Effect | None:
    """What is seen before long."""
    for _ in range(LOOKS):
        time.sleep(client.wait)
        if (effect := once_back(client, seen)) is not None:
            return effect
    return None


def once_back(client: KsqlClient, seen: Callable[[], Effect | None]) -> Effect | None:
    """What is seen, waiting for a server that is being started again."""
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(ServerUnreachable),
        wait=tenacity.wait_fixed(2 * client.wait),
        stop=tenacity.stop_after_delay(client.patience),
        reraise=True,
    )
    return retrying(seen)
