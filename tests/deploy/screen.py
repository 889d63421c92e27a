"""A terminal with a screen: what a user sees after typing."""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from types import TracebackType

import pexpect
import pyte

COMMAND = [sys.executable, "-c", "from opensea_metrics.deploy.cli import main; main()"]
PATIENCE = 25.0  # seconds
TERMINAL = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"}
"""Variables that say what a terminal is like. Those of the machine's own terminal are wrong for this one."""


class Screen:
    """Runs the command in a terminal of some size. ``text`` is the last 400 lines and the screen."""

    def __init__(self, home: Path, *arguments: str, columns: int = 80, rows: int = 24, **environment: str) -> None:
        self._screen = pyte.HistoryScreen(columns, rows, history=400, ratio=0.5)
        self._stream = pyte.ByteStream(self._screen)
        known = {name: value for name, value in os.environ.items() if name not in TERMINAL}
        env = {**known, "PYTHONPATH": os.getcwd(), "TERM": "xterm-256color", "HOME": str(home), **environment}
        self.raw = b""
        """The bytes of the program, with its colours."""
        self.process = pexpect.spawn(
            COMMAND[0],
            [*COMMAND[1:], *arguments],
            dimensions=(rows, columns),
            env=env,
            cwd=str(home),  # away from a developer's .env
            timeout=PATIENCE,
            # A shell starts its background jobs with Ctrl-C ignored, which their children inherit.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
        self.process.delaybeforesend = None

    def __enter__(self) -> Screen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.close(force=True)

    @property
    def lines(self) -> list[str]:
        """The lines of the screen and some above it, without blanks at their ends."""
        above = ["".join(line[x].data for x in range(self._screen.columns)) for line in self._screen.history.top]
        return [line.rstrip() for line in (*above, *self._screen.display)]

    @property
    def text(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines).rstrip()

    def type(self, keys: str | bytes) -> None:
        """Send keys. The program reads them when it likes."""
        self.process.send(keys)

    def await_text(self, *expected: str, count: int = 1) -> str:
        """Read until each of some texts is shown ``count`` times. Returns all lines; fails after a minute."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if all(self.text.count(part) >= count for part in expected):
                return self.text
            if not self._read():
                break
        assert all(self.text.count(part) >= count for part in expected), self.text
        return self.text

    def interrupt(self, expected: str) -> None:
        """Press Ctrl-C until a text is shown.

        Python notices a signal that comes just before it waits for input or a reply only after the wait, or with the
        next signal.
        """
        end = time.monotonic() + PATIENCE
        while expected not in self.text:
            assert time.monotonic() < end, self.text
            self.type("\x03")
            pause = time.monotonic() + 1
            while expected not in self.text and time.monotonic() < pause:
                self._read()

    def await_end(self) -> int:
        """Read until the program ends. Returns its exit code."""
        end = time.monotonic() + PATIENCE
        while self._read():
            assert time.monotonic() < end, self.text
        self.process.wait()
        return int(self.process.exitstatus if self.process.exitstatus is not None else -1)

    def _read(self) -> bool:
        """Show the next output. Returns False at the end of the program."""
        try:
            data = self.process.read_nonblocking(1 << 16, timeout=0.05)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.raw += data
        self._stream.feed(data)
        if b"\x1b[6n" in data:  # the program asks where the cursor is
            self.process.send(f"\x1b[{self._screen.cursor.y + 1};{self._screen.cursor.x + 1}R")
        return True
