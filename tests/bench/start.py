"""CPU time of the start of commands, beside the imports that they need.

``--help`` and ``--version`` have a goal in seconds. ``status`` is measured against a process that imports the modules
that ``status`` has imported at its end. It also starts a process with the imports of the one that renders templates.
All migrations are applied to the server, which is a process of its own. There are five pairs, one after the other, in
CPU time, because that varies less. The last figure is ``status`` without the settings of the garbage collector of
``deploy.cli``. If it is above 1, they pay.

Run: python -m tests.bench.start
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench import apply, goals
from tests.bench.server_process import served

PAIRS = 5
START = "import sys; from opensea_metrics.deploy.cli import main; "
RUN = START + "main()"
MODULES = START + (
    "\ntry: main()\nexcept SystemExit: print(*(name for name in sys.modules if not name.startswith('__')))"
)
IMPORTS = (
    "import importlib, subprocess, sys, opensea_metrics.deploy.cli\n"
    "for name in {names!r}: importlib.import_module(name)\n"
    "subprocess.run([sys.executable, '-I', '-c', 'import json, pickle, resource, jinja2.sandbox'], env={{}})"
)
WITHOUT = f"import gc; gc.set_threshold = gc.freeze = lambda *_: None; {RUN}"
SECONDS = 0.3


def run(program: str, arguments: tuple[str, ...] = ()) -> tuple[float, str]:
    """User and system time of one run, and its output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", program, *arguments], check=False, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def importable(names: list[str]) -> list[str]:
    """The modules among some names. Others are made by a package while it is imported."""
    tried = (
        "import importlib\nfor name in {names!r}:\n"
        "  try: importlib.import_module(name); print(name)\n  except Exception: 0"
    )
    return run("import opensea_metrics.deploy.cli\n" + tried.format(names=names))[1].split()


def main() -> None:
    """Print a line for each command."""
    for arguments in (("--help",), ("--version",)):
        run(RUN, arguments)  # fills the file cache
        seconds = statistics.median(run(RUN, arguments)[0] for _ in range(PAIRS))
        goals.show(f"start of {arguments[0]}, CPU", seconds, SECONDS, "s")
    with tempfile.TemporaryDirectory() as folder, served(Path(folder), "--no-dashboard") as (url, _):
        apply.apply(url)
        status = ("status", "--server", url, "--json")
        *_, names = run(MODULES, status)[1].splitlines()
        imports = IMPORTS.format(names=importable(names.split()))
        pairs = [(run(RUN, status)[0], run(imports)[0], run(WITHOUT, status)[0]) for _ in range(PAIRS)]
    ratio = statistics.median(command / alone for command, alone, _ in pairs)
    command, alone, without = (statistics.median(figures) for figures in zip(*pairs, strict=True))
    ungoverned = f"without the collector's settings {without / command:.2f} times as much"
    more = f"{command:.2f} s against {alone:.2f} s; {ungoverned}"
    goals.show("status, CPU beside the imports that it needs", ratio, 1.2, more=more)


if __name__ == "__main__":
    main()
