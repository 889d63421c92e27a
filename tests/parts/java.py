"""Archives of the classes that a Java program loads. With an archive, it starts with half of the CPU time.

The archive of a program is made once, into the tests' cache. A JVM that cannot use an archive runs without it.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.parts.cache import once

_FILE = "classes.jsa"


def with_archive(name: str, command: Sequence[str], run: Callable[[list[str]], None]) -> list[str]:
    """The command of a program with its archive, which needs ``java`` as its first word.

    To make the archive, ``run`` gets the command with an option more. It runs the program until it has started, and
    then ends it with SIGTERM.
    """
    java, *arguments = command
    # A JVM uses only archives that it has made itself.
    jvm = hashlib.sha256(str(Path(shutil.which(java) or java).resolve()).encode()).hexdigest()[:8]

    def make(folder: Path) -> None:
        run([java, f"-XX:ArchiveClassesAtExit={folder / _FILE}", "-Xlog:cds=off", "-Xlog:cds+dynamic=off", *arguments])

    archive = once(f"{name}-classes-{jvm}", make) / _FILE
    return [java, f"-XX:SharedArchiveFile={archive}", *arguments]


def ended(process: subprocess.Popen[bytes]) -> None:
    """End a program with SIGTERM, after which it writes its archive."""
    process.terminate()
    process.wait(120)
