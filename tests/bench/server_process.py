"""An embedded server in a process of its own, and the CPU time that it uses."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.deploy.client import KsqlClient
from tests.parts.ports import free_port


@contextmanager
def served(folder: Path, *options: str) -> Iterator[tuple[str, int]]:
    """The URL and the process id of an embedded server with some options of ``serve``."""
    port = free_port()
    program = "from opensea_metrics.deploy.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", "--data-dir", str(folder), "--port", str(port), *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            while not answers(url):
                time.sleep(0.1)
            yield url, process.pid
        finally:
            process.terminate()


def answers(url: str) -> bool:
    try:
        return bool(KsqlClient(url).healthcheck())
    except OpenSeaMetricsError:
        return False


def cpu_of(process: int) -> float:
    """The seconds of CPU that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
