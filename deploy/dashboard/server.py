"""Runs the dashboard, in the foreground or in a thread beside the caller."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import anyio.to_thread

from opensea_metrics.deploy.dashboard.app import create
from opensea_metrics.deploy.dashboard.options import DashboardOptions
from opensea_metrics.deploy.dashboard.stream import Streams
from opensea_metrics.deploy.embedded.rest import web_server
from opensea_metrics.deploy.embedded.rest.policy import Policy
from opensea_metrics.deploy.embedded.rest.web_server import (
    LOOPBACK,
    check_certificate,
    in_thread,
    listening,
    run_until_signalled,
    url_of,
)

PORT = 8089
_THREADS = 4
_HEAD = 256 * 1024
"""Bytes of a request's head. The address of a collection has its name, which may have 10,000 letters."""


def serve(
    options: DashboardOptions,
    host: str = LOOPBACK,
    port: int = PORT,
    policy: Policy | None = None,
    ready: Callable[[str], object] = lambda _: None,
) -> None:
    """Serve until SIGINT or SIGTERM. ``ready`` is called with the URL. Raises PortInUse and CertificateError."""
    check_certificate(policy)

    with listening(host, port) as bound:
        run_until_signalled(
            lambda stop: _serve(options, bound, stop, policy or Policy(), host),
            lambda: ready(url_of(host, bound, policy)),
        )


@contextmanager
def running(options: DashboardOptions, port: int = 0, policy: Policy | None = None) -> Iterator[str]:
    """Run the dashboard in a thread of this process, on loopback, and yield its URL. Port 0 takes a free port."""
    with listening(LOOPBACK, port) as bound:
        url = url_of(LOOPBACK, bound, policy)
        with in_thread(lambda stop: _serve(options, bound, stop, policy or Policy(), LOOPBACK), "dashboard"):
            yield url


async def _serve(
    options: DashboardOptions, bound: socket.socket, stop: asyncio.Event, policy: Policy, host: str
) -> None:
    # Each thread keeps its own memory, and more threads would only wait for the ksqlDB server.
    anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
    policy = replace(policy, limits=replace(policy.limits, head=_HEAD))
    streams = Streams()
    app = create(options, streams, policy, host)
    await web_server.serve(app, bound, policy, stop, streams.stop)
