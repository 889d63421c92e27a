"""Runs the embedded server, in the foreground or in a thread beside the caller."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

import duckdb
import pyarrow as pa

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.rest import app, http2, web_server
from opensea_metrics.deploy.embedded.rest.open_requests import OpenRequests
from opensea_metrics.deploy.embedded.rest.policy import Policy
from opensea_metrics.deploy.embedded.rest.web_server import (
    LOOPBACK,
    check_certificate,
    in_thread,
    listening,
    run_until_signalled,
    url_of,
)
from opensea_metrics.deploy.embedded.storage import Storage


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
    check_certificate(policy)
    pa.set_memory_pool(pa.system_memory_pool())  # the default one keeps 35 MB of what the lines of files took

    def begun() -> None:
        ready(url_of(host, bound, policy))
        with suppress(duckdb.Error, SqlError):  # the disk may be full, which /healthcheck reports
            show(engine.disk_use().text())

    with listening(host, port) as bound:
        engine = Engine(Storage(data_dir), delete_read_files_after)
        engine.start()
        try:
            with watch(engine):
                run_until_signalled(lambda stop: _serve(engine, bound, stop, policy or Policy(), host), begun)
        finally:
            engine.stop()


@contextmanager
def running(data_dir: Path, port: int = 0, policy: Policy | None = None) -> Iterator[str]:
    """Run a server in a thread of this process, on loopback, and yield its URL.

    Port 0 takes a free port. Raises PortInUse, CertificateError or StorageError.
    """
    check_certificate(policy)
    with listening(LOOPBACK, port) as bound:
        engine = Engine(Storage(data_dir))
        engine.start()
        url = url_of(LOOPBACK, bound, policy)
        try:
            with in_thread(lambda stop: _serve(engine, bound, stop, policy or Policy(), LOOPBACK), "server"):
                yield url
        finally:
            engine.stop()


async def _serve(
    engine: Engine, bound: socket.socket, stop: asyncio.Event, policy: Policy, host: str
) -> None:
    http2.repair()
    open_requests = OpenRequests(policy.limits.open_queries)
    application = app.create(engine, open_requests, policy, host, bound.getsockname()[1])
    await web_server.serve(application, bound, policy, stop, open_requests.end_all)
