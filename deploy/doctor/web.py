"""JSON over HTTP from a part, with time-outs and a few repeats: all that is asked for only reads."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import httpx
import tenacity

from deploy.doctor.checks import Unreachable

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
            raise NotFound(f"{plain(url)} does not know /{path}")
        reply.raise_for_status()
        return reply.json()
    except httpx.HTTPStatusError as error:
        raise Unreachable(f"{plain(url)} answers {error.response.status_code} to /{path}") from None
    except httpx.HTTPError as error:
        raise Unreachable(
            f"{plain(url)} does not answer: {str(error) or type(error).__name__}"
        ) from None
    except ValueError:
        raise Unreachable(f"{plain(url)} does not answer /{path} with JSON") from None


def plain(url: str) -> str:
    """A URL without the user and password that it may hold."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
