"""A program of another language for the time of a block."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running(
    command: Sequence[str],
    log: Path,
    ready: Callable[[], bool],
    seconds: float = 180,
    env: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start it, wait until ``ready`` (an OSError counts as not yet), and kill it at the end.

    What it says goes to the file ``log``. Raises RuntimeError with its end if it does not start.
    """
    with open(log, "wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=log.parent, env=env)
        try:
            deadline = time.monotonic() + seconds
            while not _is(ready):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(
                        f"{command[0]} does not start: {log.read_text(errors='replace')[-2000:]}"
                    )
                time.sleep(0.2)
            yield process
        finally:
            process.kill()  # what it stored is thrown away
            process.wait()


def _is(ready: Callable[[], bool]) -> bool:
    try:
        return ready()
    except OSError:
        return False
