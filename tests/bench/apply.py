"""CPU time of ``apply`` of all migrations to an embedded server, client and server in processes of their own.

Run: python -m tests.bench.apply
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import goals

RUNS = 3
SECONDS = 2.0
COMMAND = [sys.executable, "-c", "from opensea_metrics.deploy.cli import main; main()"]


def cpu_of(process: int) -> float:
    """User and system time of a process that runs, in seconds."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run() -> tuple[float, float, float]:
    """CPU time of the client, CPU time of the server meanwhile, and time, in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        serve = [*COMMAND, "serve", "--data-dir", folder, "--port", "0", "--no-dashboard"]
        with subprocess.Popen(serve, stderr=subprocess.PIPE, text=True) as server:
            assert server.stderr is not None
            url = next(word for line in server.stderr for word in line.replace(",", " ").split() if word.startswith("http://"))
            own, others = cpu_of(server.pid), resource.getrusage(resource.RUSAGE_CHILDREN)
            begun = time.perf_counter()
            subprocess.run([*COMMAND, "apply", "--server", url], check=True, capture_output=True)
            seconds, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
            client = after.ru_utime + after.ru_stime - others.ru_utime - others.ru_stime
            served = cpu_of(server.pid) - own
            server.terminate()
    return client, served, seconds


def main() -> None:
    """Print one line."""
    runs = [run() for _ in range(RUNS)]
    client, server, seconds = (statistics.median(figures) for figures in zip(*runs, strict=True))
    more = f"client {client:.2f} s, server {server:.2f} s; {seconds:.2f} s of time"
    goals.show("apply of all migrations, CPU", client + server, SECONDS, "s", more=more)


if __name__ == "__main__":
    main()
