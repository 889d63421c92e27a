"""CPU time of a command's start with the garbage collector's settings of ``deploy.cli``, and without them.

Ten pairs, one after the other. Prints the ratio: above 1, the settings pay. Run: python -m tests.bench.start
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys

PAIRS = 10
COMMANDS = (("--version",), ("validate", "--offline"), ("serve", "--help"))
START = "import sys; from opensea_metrics.deploy.cli import main; sys.exit(main())"
WITHOUT = f"import gc; gc.set_threshold = gc.freeze = lambda *_: None; {START}"


def cpu_seconds(program: str, arguments: tuple[str, ...]) -> float:
    """User and system time of one run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program, *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print a line for each command."""
    for arguments in COMMANDS:
        cpu_seconds(START, arguments)  # fills the file cache
        pairs = [(cpu_seconds(START, arguments), cpu_seconds(WITHOUT, arguments)) for _ in range(PAIRS)]
        median = statistics.median(seconds for seconds, _ in pairs)
        ratio = statistics.median(without / seconds for seconds, without in pairs)
        print(f"{' '.join(arguments)}: {median:.2f} s of CPU; without the settings {ratio:.2f} times as much")


if __name__ == "__main__":
    main()
