"""The time of ``opensea-metrics demo`` after installation, as a process of its own: the best of some runs.

Run: [RUNS=3] python -m tests.bench.demo
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time

from tests.bench import goals

SECONDS = 8.0
COMMAND = (sys.executable, "-c", "from opensea_metrics.deploy.cli import main; main()", "demo")


def main() -> None:
    figures = []
    for _ in range(int(os.environ.get("RUNS", "3"))):
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(COMMAND, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        figures.append((time.perf_counter() - begun, cpu))
    seconds, cpu = min(figures)
    goals.show("demo after installation", seconds, SECONDS, "s", more=f"{cpu:.1f} s of CPU")


if __name__ == "__main__":
    main()
