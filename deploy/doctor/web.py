"""JSON over HTTP from a part, with time-outs and a few repeats: all that is asked for only reads."""

from __future__ import annotations

from typing import Any

import httpx
import tenacity

from deploy.doctor.checks import Unreachable
from producer.environment import without_secrets

TIMEOUT = httpx.Timeout(15, connect=5)


class NotFound(Unreachable):
    """The part answers, and does not know what was asked for."""


def get(url: str, path: str) -> Any:
    """The JSON at a path. Raises Unreachable, NotFound (404)."""
    address = f"{url.rstrip('/')}/{path}"
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(httpx.TransportError),
        stop=tenacity.stop_after_attempt(3),
        wait=tenacity.wait_exponential(0.5),
        reraise=True,
    )
    try:
        reply = retrying(httpx.get, address, timeout=TIMEOUT)
        if reply.status_code == 404:
            raise NotFound(f"{without_secrets(url)} does not know /{path}")
        reply.raise_for_status()
        return reply.json()
    except httpx.HTTPStatusError as error:
        raise Unreachable(f"{without_secrets(url)} answers {error.response.status_code} to /{path}") from None
    except httpx.HTTPError as error:
        raise Unreachable(
            f"{without_secrets(url)} does not answer: {str(error) or type(error).__name__}"
        ) from None
    except ValueError:
        raise Unreachable(f"{without_secrets(url)} does not answer /{path} with JSON") from None
