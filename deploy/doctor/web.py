"""Reads JSON over HTTP from a part, within limits. Failed requests are repeated, because they only read."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import tenacity

from opensea_metrics.deploy.client.access import default_tls
from opensea_metrics.deploy.client.limits import limit_time, unpacked, until
from opensea_metrics.deploy.doctor.checks import Unreachable
from opensea_metrics.deploy.shapes import WrongShape, not_too_deep
from opensea_metrics.producer.environment import without_secrets

CONNECTING = 5.0
"""Seconds for a connection."""
TIMEOUT = 15.0
"""Seconds for a whole reply."""
REPLY_BYTES = 16 << 20
"""The largest reply, unpacked."""


class NotFound(Unreachable):
    """The part answers with 404."""


def get(url: str, path: str) -> Any:
    """The JSON at a path. Raises Unreachable, NotFound (404)."""
    address, shown = f"{url.rstrip('/')}/{path}", without_secrets(url)
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_may_pass),
        stop=tenacity.stop_after_attempt(3),
        wait=tenacity.wait_exponential(0.5),
        reraise=True,
    )
    try:
        status, body = retrying(_body, address)
        if status == 404:
            raise NotFound(f"{shown} has no /{path}")
        if status != 200:
            raise Unreachable(f"{shown} answers /{path} with status {status}")
        reply = json.loads(body)
        not_too_deep(reply)
        return reply
    except httpx.TimeoutException:
        raise Unreachable(f"{shown} did not answer /{path} within {TIMEOUT:g} s") from None
    except httpx.HTTPError as error:
        raise Unreachable(f"{shown} does not answer: {str(error) or type(error).__name__}") from None
    except WrongShape as error:
        raise Unreachable(f"{shown} gave no usable reply to /{path}: {error}") from None
    except (ValueError, RecursionError):
        raise Unreachable(f"{shown} does not answer /{path} with JSON") from None


@contextmanager
def read_from(url: str) -> Iterator[None]:
    """Raise Unreachable instead of the errors that a reply of the wrong shape causes."""
    try:
        yield
    except (AttributeError, KeyError, TypeError):
        raise Unreachable(
            f"{without_secrets(url)} gave a reply of an unexpected shape: does the address name this part?"
        ) from None


def _body(address: str) -> tuple[int, bytes]:
    headers = {"Accept-Encoding": "gzip"}
    timeout = httpx.Timeout(TIMEOUT, connect=CONNECTING)
    with (
        until(time.monotonic() + TIMEOUT),
        limit_time(httpx.Client(headers=headers, timeout=timeout, verify=default_tls(address))) as client,
        client.stream("GET", address) as reply,
    ):
        return reply.status_code, b"".join(unpacked(reply, REPLY_BYTES))


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, httpx.TransportError) and not isinstance(error, httpx.TimeoutException)
