"""Servers in processes of their own for the soak test: ``opensea-metrics serve``, whose clock can be set.

The processes are forked from one that has imported everything, so that a start takes a tenth of a second.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import httpx

_CONTEXT = get_context("forkserver")
_PRELOADED = ("opensea_metrics.deploy.cli.server", "opensea_metrics.deploy.embedded.server", "pyarrow.compute")
_CONTEXT.set_forkserver_preload(["opensea_metrics.deploy.cli", *_PRELOADED])


def _serve(data: str, port: int, clock: str, log: str) -> None:
    """Run the command. The clock is off by the seconds that the file ``clock`` holds."""
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(written, 1)
    os.dup2(written, 2)
    real, real_ns = time.time, time.time_ns

    def offset() -> float:
        return float(Path(clock).read_text() or 0)

    time.time = lambda: real() + offset()
    time.time_ns = lambda: real_ns() + int(offset() * 1e9)
    from opensea_metrics.deploy.cli import main
    from opensea_metrics.deploy.embedded import rounds
    from opensea_metrics.deploy.embedded.files import segments
    from opensea_metrics.deploy.embedded.topics import chunks

    # So small that chunks are dropped and segments merged all the time.
    chunks.CHUNK_ROWS, chunks.KEPT, segments._FEW, rounds.SWEEP = 2_000, 1, 3, 0.5
    sys.argv = ["opensea-metrics", "serve", "--data-dir", data, "--port", str(port)]
    main()


class Server:
    """A server on a data directory, which can be started, stopped and killed again and again."""

    def __init__(self, data: Path, aside: Path) -> None:
        self.data = data
        self.log = aside / "server.log"
        self.clock = aside / "clock"
        self.set_clock(0)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: BaseProcess | None = None

    def set_clock(self, seconds: float) -> None:
        """Set the server's clock to a time before or after the true one."""
        new = self.clock.with_suffix(".new")
        new.write_text(str(seconds))
        new.rename(self.clock)

    @property
    def is_up(self) -> bool:
        return self._process is not None and self._process.is_alive()

    def start(self, wait: bool = True) -> None:
        """Start the server if it is down; with ``wait``, until it answers."""
        if not self.is_up:
            arguments = (str(self.data), self.port, str(self.clock), str(self.log))
            self._process = _CONTEXT.Process(target=_serve, args=arguments)
            self._process.start()
        deadline = time.monotonic() + 60
        while wait and not self.answers():
            assert self.is_up, f"the server has ended: {self.log.read_text()[-2_000:]}"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.05)

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/info", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def stop(self, number: signal.Signals) -> None:
        """Send a signal, and wait for the end. A server that answers ends well on SIGTERM."""
        if self._process is not None and self._process.pid:
            ends_well = number is signal.SIGTERM and self.answers()
            if self._process.is_alive():
                os.kill(self._process.pid, number)
            self._process.join(60)
            assert not self._process.is_alive(), f"the server does not end on {number.name}"
            code = self._process.exitcode
            assert code == 0 or not ends_well, f"exit code {code}: {self.log.read_text()[-2_000:]}"
            self._process = None

    def start_second(self, aside: Path) -> tuple[int | None, str]:
        """Start another server on the same directory; its exit code and what it says."""
        log = aside / "second.log"
        log.write_text("")
        second = _CONTEXT.Process(
            target=_serve, args=(str(self.data), free_port(), str(self.clock), str(log))
        )
        second.start()
        second.join(60)
        if second.is_alive():
            second.kill()
            second.join()
        return second.exitcode, log.read_text()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
