"""Runs the embedded server, in the foreground or in a thread beside the caller."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import duckdb
import hypercorn.asyncio
from hypercorn.config import Config

from opensea_metrics.core.errors import OpenSeaMetricsError, SqlError, os_reason
from opensea_metrics.deploy.embedded import app, http2
from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.open_requests import OpenRequests
from opensea_metrics.deploy.embedded.policy import Policy
from opensea_metrics.deploy.embedded.storage import Storage

LOOPBACK = "127.0.0.1"


class CertificateError(OpenSeaMetricsError):
    """The certificate or its key cannot be used. The message says why."""


class PortInUse(OpenSeaMetricsError):
    """The address is in use, or is not an address of this machine. The message says what to do."""


def serve(
    data_dir: Path,
    host: str = LOOPBACK,
    port: int = 8088,
    policy: Policy | None = None,
    ready: Callable[[str], object] = lambda _: None,
    delete_read_files_after: int | None = None,
    show: Callable[[str], object] = lambda _: None,
    watch: Callable[[Engine], AbstractContextManager[object]] = nullcontext,
) -> None:
    """Serve until SIGINT or SIGTERM.

    ``ready`` is called with the server's URL when clients can connect, and ``show`` with a text about the server's
    disk use. The server runs within the context of ``watch``.
    ``delete_read_files_after``: see :class:`Engine`. Raises PortInUse, CertificateError, or StorageError if
    the data directory cannot be used.
    """
    _check_certificate(policy)

    async def until_signalled() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        ready(_url(host, bound, policy))
        with suppress(duckdb.Error, SqlError):  # the disk may be full, which /healthcheck reports
            show(engine.disk_use().text())
        await _serve(engine, bound, stop, policy or Policy(), host)

    with _listening(host, port) as bound:
        engine = Engine(Storage(data_dir), delete_read_files_after)
        engine.start()
        try:
            with watch(engine):
                asyncio.run(until_signalled())
        finally:
            engine.stop()


@contextmanager
def running(data_dir: Path, port: int = 0, policy: Policy | None = None) -> Iterator[str]:
    """Run a server in a thread of this process, on loopback, and yield its URL.

    Port 0 takes a free port. Raises PortInUse, CertificateError or StorageError.
    """
    _check_certificate(policy)
    with _listening(LOOPBACK, port) as bound:
        engine = Engine(Storage(data_dir))
        engine.start()
        loop = asyncio.new_event_loop()
        stop = asyncio.Event()
        served = _serve(engine, bound, stop, policy or Policy(), LOOPBACK)
        thread = threading.Thread(target=lambda: loop.run_until_complete(served), name="server")
        url = _url(LOOPBACK, bound, policy)
        thread.start()
        try:
            yield url
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()
            engine.stop()


def _url(host: str, bound: socket.socket, policy: Policy | None) -> str:
    scheme = "https" if policy and policy.certificate else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{bound.getsockname()[1]}"


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # A client whose machine has vanished keeps no query open: the system probes it after a minute of silence.
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


async def _serve(
    engine: Engine, bound: socket.socket, stop: asyncio.Event, policy: Policy, host: str
) -> None:
    http2.repair()
    config = Config()
    config.bind = [f"fd://{bound.detach()}"]  # the web server closes it
    config.accesslog = None
    config.errorlog = None
    config.graceful_timeout = 1.0
    config.keep_alive_timeout = config.ssl_handshake_timeout = policy.limits.idle
    if policy.certificate:
        config.certfile = str(policy.certificate.cert_file)
        config.keyfile = str(policy.certificate.key_file or policy.certificate.cert_file)
        # Always a text, because OpenSSL asks on the terminal if there is no password.
        config.keyfile_password = policy.certificate.key_password or ""
    open_requests = OpenRequests(policy.limits.open_queries)
    asyncio.get_running_loop().set_exception_handler(_quiet_about_cancelling)

    serving = asyncio.create_task(
        hypercorn.asyncio.serve(
            app.create(engine, open_requests, policy, host),  # type: ignore[arg-type]
            config,
            shutdown_trigger=stop.wait,
        )
    )
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    open_requests.end_all()
    await asyncio.wait((serving,), timeout=2 * config.graceful_timeout)
    # Hypercorn has cancelled the requests that were still open. Over HTTP/2 this does not end a request with an
    # incomplete body: it waits for a task to send its reply, and this task is gone.
    for task in asyncio.all_tasks() - {serving, asyncio.current_task()}:
        task.cancel()
    await serving


def _check_certificate(policy: Policy | None) -> None:
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
