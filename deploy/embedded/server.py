"""Running the embedded server: in the foreground, or beside the caller."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hypercorn.asyncio
from hypercorn.config import Config

from deploy.embedded import app, http2
from deploy.embedded.engine import Engine
from deploy.embedded.policy import Policy
from deploy.embedded.storage import Storage
from sql.errors import OpenSeaMetricsError

LOOPBACK = "127.0.0.1"


class PortInUse(OpenSeaMetricsError):
    """The address is taken; the message says what to do."""


def serve(
    data_dir: Path, host: str = LOOPBACK, port: int = 8088, policy: Policy | None = None
) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises PortInUse, or StorageError if the data directory cannot be used.
    """

    async def until_signalled() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await _serve(engine, bound, stop, policy or Policy(), host)

    with _listening(host, port) as bound:
        engine = Engine(Storage(data_dir))
        engine.start()
        try:
            asyncio.run(until_signalled())
        finally:
            engine.stop()


@contextmanager
def running(data_dir: Path, port: int = 0, policy: Policy | None = None) -> Iterator[str]:
    """A server in a thread of this process, on loopback; gives its URL.

    Port 0 takes a free one. Raises PortInUse or StorageError.
    """
    with _listening(LOOPBACK, port) as bound:
        engine = Engine(Storage(data_dir))
        engine.start()
        loop = asyncio.new_event_loop()
        stop = asyncio.Event()
        served = _serve(engine, bound, stop, policy or Policy(), LOOPBACK)
        thread = threading.Thread(target=lambda: loop.run_until_complete(served), name="server")
        url = f"http://{LOOPBACK}:{bound.getsockname()[1]}"
        thread.start()
        try:
            yield url
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()
            engine.stop()


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen()
    except OSError as error:
        bound.close()
        raise PortInUse(
            f"cannot listen on {host}:{port}: {error.strerror}; "
            "stop what uses the port, or give another one with --port"
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
    config.bind = [f"fd://{bound.detach()}"]  # it is the web server's to close
    config.accesslog = None
    config.errorlog = None
    config.graceful_timeout = 1.0
    config.keep_alive_timeout = policy.limits.idle
    await hypercorn.asyncio.serve(
        app.create(engine, policy, host),  # type: ignore[arg-type]
        config,
        shutdown_trigger=stop.wait,
    )
