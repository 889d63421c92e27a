"""Commands on a real terminal of 80 × 24 characters."""

from __future__ import annotations

import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fcntl import ioctl
from pathlib import Path

import pytest

from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.embedded import server
from tests.deploy.projects import THREE
from tests.deploy.stub import Write

PROGRAM = "from opensea_metrics.deploy.cli import main; main()"
COLOUR = re.compile(r"\x1b\[[\d;]*3[0-9;]*m")
CONTROL = re.compile(r"\x1b\[[\d;?]*[a-zA-Z]")


class Screen:
    """A command on a terminal. ``text`` is all that it has written."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self.process, self._terminal, self._written = process, terminal, b""

    @property
    def text(self) -> str:
        return self._written.decode(errors="replace")

    def read(self, until: Callable[[str], object], seconds: float = 60) -> str:
        """Read until a condition on the text holds, or the command has ended."""
        end = time.monotonic() + seconds
        while not until(self.text) and time.monotonic() < end:
            try:
                self._written += os.read(self._terminal, 65_536)
            except OSError:  # the command has ended
                break
        return self.text

    def lines(self) -> list[str]:
        """All lines and states of a line that were ever shown, without colours."""
        parts = re.split(r"[\r\n]+", CONTROL.sub("", self.text))
        return [line.rstrip() for line in parts if line.strip()]


@contextmanager
def on_terminal(folder: Path, *arguments: str, **environment: str) -> Iterator[Screen]:
    """Run the command on a terminal in a folder."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    known = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env=known | {"TERM": "xterm-256color", "PYTHONPATH": str(Path.cwd())} | environment,
    )  # fmt: skip
    os.close(theirs)
    try:
        yield Screen(process, ours)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()
        os.close(ours)


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}], ids=["colours", "NO_COLOR"])
def test_colours_can_be_switched_off(tmp_path: Path, environment: dict[str, str]) -> None:
    with on_terminal(tmp_path, "--help", **environment) as screen:
        text = screen.read(lambda _: False)
    assert "Streaming metrics" in text
    assert bool(COLOUR.search(text)) is not bool(environment)
    assert max(map(len, screen.lines())) <= 80


def test_the_progress_of_apply_is_one_line_that_disappears(tmp_path: Path, write_project: Write) -> None:
    root = write_project(THREE)
    with server.running(tmp_path / "data") as url:
        with on_terminal(tmp_path, "apply", "--sql", str(root), "--server", url) as screen:
            text = screen.read(lambda _: False)
        lines = screen.lines()
        assert lines[-1] == "applied V001, V002, V003"
        assert any(re.search(r"━ +\d/6 \d:\d\d:\d\d V00\d [a-z ]+ OMT_", line) for line in lines)
        assert not any(line.endswith(" s") for line in lines), "steps are listed with -v only"
        assert text.count("\n") < 8, "the bar is drawn in place"
        assert max(map(len, lines)) <= 80
        assert KsqlClient(url).pull("SELECT * FROM migration_schema_versions WHERE version_key = '3';")


def test_serve_has_a_status_line_until_ctrl_c(tmp_path: Path) -> None:
    with on_terminal(tmp_path, "serve", "--port", "0") as screen:
        screen.read(lambda text: "behind" in text)
        os.killpg(screen.process.pid, signal.SIGINT)
        screen.read(lambda _: False)
        assert screen.process.wait(30) == 0
    (line, *_) = [line for line in screen.lines() if "behind" in line]
    assert re.search(r"0 events/s · no event yet · 0 behind · disk \d+ MB, [\d,]+ GB free", line)
