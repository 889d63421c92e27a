"""Repeats requests that change nothing, while they may still succeed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import tenacity

from opensea_metrics.deploy.client.errors import BadReply, KsqlError, ServerUnreachable

T = TypeVar("T")

# Pull queries fail with these while the query behind a table is being started or moved.
NOT_READY = (
    "Cannot determine which host contains",
    "State store currently unavailable",
    "is not available yet. Please try again later",
    "Exhausted standby hosts",
    "All nodes are dead or exceed max allowed lag",
)
ATTEMPTS = 3  # if the server does not say that it is not ready; so a wrong URL is reported soon


def patiently(request: Callable[[], T], patience: float, wait: float) -> T:
    """Send a request that changes nothing, and repeat it while it may still succeed.

    Repeats for ``patience`` seconds while the server says that it is not ready. Other failures are repeated until
    three requests have failed. ``wait``: seconds before the first repeat; each further wait is about twice as long.
    """

    def is_hopeless(state: tenacity.RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, KsqlError) and _is_not_ready(error):
            return (state.seconds_since_start or 0) > patience
        return state.attempt_number >= ATTEMPTS

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_may_pass),
        wait=tenacity.wait_random_exponential(multiplier=wait / 5, max=4 * wait),
        stop=is_hopeless,
        reraise=True,
    )
    return retrying(request)


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, KsqlError):
        return error.status >= 500 or _is_not_ready(error)
    # A repeated request would get the same wrong reply, or take as long again.
    return error.is_passing if isinstance(error, BadReply) else isinstance(error, ServerUnreachable)


def _is_not_ready(error: KsqlError) -> bool:
    return error.status == 503 or any(sign in error.message for sign in NOT_READY)
