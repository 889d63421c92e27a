"""Runs an external program during a block."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.parts import java


@contextmanager
def running(
    command: Sequence[str],
    log: Path,
    ready: Callable[[], bool],
    seconds: float = 180,
    env: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program, wait until ``ready`` is true (an OSError counts as false), and kill it at the end.

    Its output goes to the file ``log``. Raises RuntimeError with the end of that file if it does not start.
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
            process.kill()  # its data is deleted, so it needs no clean shutdown
            process.wait()


@contextmanager
def running_java(
    name: str, command: Sequence[str], log: Path, ready: Callable[[], bool]
) -> Iterator[subprocess.Popen[bytes]]:
    """The same for a Java program, with an archive of its classes. ``name`` says which program and version it is.

    The first time, the program also runs once to make the archive. It must start again over the data of that run.
    """

    def run(archiving: list[str]) -> None:
        with running(archiving, log, ready) as process:
            java.ended(process)

    with running(java.with_archive(name, command, run), log, ready) as process:
        yield process


def _is(ready: Callable[[], bool]) -> bool:
    try:
        return ready()
    except OSError:
        return False
