"""CPU time of ``apply`` of all migrations to an embedded server, client and server in processes of their own.

Run: python -m tests.bench.apply
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import goals
from tests.bench.server_process import cpu_of, served

RUNS = 3
SECONDS = 2.0
COMMAND = [sys.executable, "-c", "from opensea_metrics.deploy.cli import main; main()"]


def apply(url: str) -> None:
    """Apply all migrations, in a process of its own."""
    subprocess.run([*COMMAND, "apply", "--server", url], check=True, capture_output=True)


def run() -> tuple[float, float, float]:
    """CPU time of the client, CPU time of the server meanwhile, and time, in seconds."""
    with tempfile.TemporaryDirectory() as folder, served(Path(folder), "--no-dashboard") as (url, process):
        own, others = cpu_of(process), resource.getrusage(resource.RUSAGE_CHILDREN)
        begun = time.perf_counter()
        apply(url)
        seconds, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        client = after.ru_utime + after.ru_stime - others.ru_utime - others.ru_stime
        return client, cpu_of(process) - own, seconds


def main() -> None:
    """Print one line."""
    runs = [run() for _ in range(RUNS)]
    client, server, seconds = (statistics.median(figures) for figures in zip(*runs, strict=True))
    more = f"client {client:.2f} s, server {server:.2f} s; {seconds:.2f} s of time"
    goals.show("apply of all migrations, CPU", client + server, SECONDS, "s", more=more)


if __name__ == "__main__":
    main()
