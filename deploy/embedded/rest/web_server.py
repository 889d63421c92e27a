"""Runs a web application on a socket. The embedded server and the dashboard use it."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import hypercorn.asyncio
from hypercorn.config import Config
from starlette.types import ASGIApp

from opensea_metrics.core.errors import OpenSeaMetricsError, os_reason
from opensea_metrics.deploy.embedded.rest.policy import Policy

LOOPBACK = "127.0.0.1"

_ALL_REQUESTS = 2**63
"""The number of requests on one connection, which ksqlDB does not limit."""

Serving = Callable[[asyncio.Event], Coroutine[Any, Any, None]]
"""Serves an application until the event is set."""


class CertificateError(OpenSeaMetricsError):
    """The certificate or its key cannot be used. The message says why."""


class PortInUse(OpenSeaMetricsError):
    """The address is in use, or is not an address of this machine. The message says what to do."""


def url_of(host: str, bound: socket.socket, policy: Policy | None) -> str:
    """The URL of a server that listens on a host."""
    scheme = "https" if policy and policy.certificate else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{bound.getsockname()[1]}"


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens. Port 0 takes a free port. Raises PortInUse."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # If a client's machine has vanished, its queries end: the system probes the connection after a minute of silence.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
    try:
        bound.bind((host, port))
        bound.listen()
    except (OSError, UnicodeError) as error:
        bound.close()
        if not isinstance(error, OSError) or isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise PortInUse(
                f"cannot listen on {host!r}, which is not an address of this machine; give one with --host"
            ) from error
        raise PortInUse(
            f"cannot listen on {host}:{port}: {os_reason(error)}; "
            "stop the program that uses the port, or give another one with --port"
        ) from error
    bound.setblocking(False)
    try:
        yield bound
    finally:
        bound.close()


def run_until_signalled(serving: Serving, ready: Callable[[], object]) -> None:
    """Serve until SIGINT or SIGTERM. ``ready`` is called when these signals are handled."""

    async def until_signalled() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        ready()
        await serving(stop)

    asyncio.run(until_signalled())


@contextmanager
def in_thread(serving: Serving, name: str) -> Iterator[None]:
    """Serve in a thread of this process, within the context."""
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    served = serving(stop)
    thread = threading.Thread(target=lambda: loop.run_until_complete(served), name=name)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


async def serve(
    app: ASGIApp,
    bound: socket.socket,
    policy: Policy,
    stop: asyncio.Event,
    end_requests: Callable[[], object],
) -> None:
    """Serve on a socket until ``stop``, and close the socket.

    After ``stop``, ``end_requests`` makes open requests end.
    """
    config = _config(bound, policy)
    asyncio.get_running_loop().set_exception_handler(_quiet_about_cancelling)

    serving = asyncio.create_task(
        hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait)  # type: ignore[arg-type]
    )
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    end_requests()
    await asyncio.wait((serving,), timeout=2 * config.graceful_timeout)
    # Hypercorn has cancelled the requests that were still open. Over HTTP/2, this does not end a request with an
    # incomplete body: it waits for a task to send its reply, and this task is gone.
    for task in asyncio.all_tasks() - {serving, asyncio.current_task()}:
        task.cancel()
    await serving


def _config(bound: socket.socket, policy: Policy) -> Config:
    config = Config()
    config.bind = [f"fd://{bound.detach()}"]  # the web server closes it
    config.accesslog = None
    config.errorlog = None
    config.graceful_timeout = 1.0
    config.h11_max_incomplete_size = policy.limits.head
    config.keep_alive_max_requests = _ALL_REQUESTS
    config.keep_alive_timeout = config.ssl_handshake_timeout = policy.limits.idle
    if policy.certificate:
        config.certfile = str(policy.certificate.cert_file)
        config.keyfile = str(policy.certificate.key_file or policy.certificate.cert_file)
        # Always pass a string: without a password OpenSSL asks for one on the terminal.
        config.keyfile_password = policy.certificate.key_password or ""
    return config


def check_certificate(policy: Policy | None) -> None:
    """Raises CertificateError if the certificate of a policy cannot be used."""
    if policy is None or policy.certificate is None:
        return
    certificate = policy.certificate
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            certificate.cert_file, certificate.key_file, certificate.key_password or ""
        )
    except OSError as error:
        key = certificate.key_file or "in the same file"
        raise CertificateError(
            f"cannot use the certificate {certificate.cert_file} with the key {key}:"
            f" {os_reason(error)}"
        ) from error


def _quiet_about_cancelling(
    loop: asyncio.AbstractEventLoop, context: dict[str, Any]
) -> None:
    """Hide a false failure: Python 3.11 reports connections that are cut because the server stops."""
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)
