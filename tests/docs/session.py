"""Runs the blocks of one page as a reader would: in one folder, on a terminal, with one server."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyte

from tests.docs.forks import PYTHON
from tests.docs.markdown import Block

COLUMNS, ROWS = 120, 600
PATIENCE = 120.0  # seconds for one command
_STAYS = re.compile(r"opensea-metrics (serve|dashboard|demo --keep)\b(?!.*--help)")
_URL = re.compile(r"(?:serving on|server at|dashboard(?: is| of \S+)? at) http://127\.0\.0\.1:(\d+)")
_SECONDS = re.compile(r"\b\d+(\.\d+)? s\b")
_BAR = re.compile(r" \d+ % .*\d:\d\d:\d\d$")
_EXIT_CODE = re.compile(r"#.*\bexit code (\d+)")
_REMEMBER = """cd "$(cat {home}/folder)" && . {home}/variables
set -a
{command}
code=$?; set +a; pwd > {home}/folder; declare -px > {home}/variables; exit $code
"""


class PageError(AssertionError):
    """A block does not do what its page says. The message has the page's line."""


@dataclass
class Session:
    """A shell that stays in its folder and keeps its variables.

    ``folder`` is where the page begins. ``ports`` maps a port in the page to the one that is used here.
    """

    folder: Path
    home: Path
    scripts: Path
    variables: dict[str, str] = field(default_factory=dict)
    ports: dict[str, str] = field(default_factory=dict)
    output: str = ""
    """The last block's output that no block of the page has shown yet."""
    _staying: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unwanted = re.compile(r"(OPENSEA|KSQLDB|KAFKA|AWS|CASSANDRA|FORCE_COLOR|COLUMNS|LINES|TERM)")
        known = {name: value for name, value in os.environ.items() if not unwanted.match(name)}
        path = os.pathsep.join((str(self.scripts), str(Path(sys.executable).parent), os.environ["PATH"]))
        known |= {"PATH": path, "TERM": "xterm-256color", "NO_COLOR": "1", "HOME": str(self.home), **self.variables}
        names = filter(str.isidentifier, known)
        exports = "".join(f"export {name}={shlex.quote(known[name])}\n" for name in names)
        self.home.mkdir(exist_ok=True)
        (self.home / "variables").write_text(exports)
        (self.home / "folder").write_text(f"{self.folder}\n")

    def close(self) -> None:
        """End the servers."""
        for process in self._staying.values():
            process.send_signal(signal.SIGTERM)
        for process in self._staying.values():
            process.wait()

    def run(self, block: Block) -> None:
        """Run a block, or compare it with the output of the one before. Raises PageError."""
        if block.path:
            file = Path((self.home / "folder").read_text().strip(), block.path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text)
        elif block.language == "sh":
            self.output = "".join(self._command(command, block) for command in commands(block.text))
        elif block.language in ("sql", "python"):
            file = self.home / f"block.{block.language}"
            file.write_text(self._here(block.text))
            program = PYTHON if block.language == "python" else "opensea-metrics query --yes -f"
            self.output = self._command(f"{program} {file}", block)
        else:
            self._compare(block)

    def _command(self, command: str, block: Block) -> str:
        stated = _EXIT_CODE.search(command)
        expected = int(stated[1]) if stated else 0
        if _STAYS.match(command):
            return self._stay(command)
        code, output = self._on_terminal(_REMEMBER.format(home=self.home, command=self._here(command)))
        if code != expected:
            raise PageError(f"line {block.line}: exit code {code} instead of {expected}: {command}\n{output}")
        return output

    def _stay(self, command: str) -> str:
        """Start a server, with free ports, and return when it runs."""
        dashboard = command.startswith("opensea-metrics dashboard")
        given = re.search(r" --port (\d+)", command)
        port = given[1] if given else "8089" if dashboard else "8088"
        if port in self._staying:  # a reader stops the first one with Ctrl-C
            self._staying[port].send_signal(signal.SIGTERM)
            self._staying[port].wait()
        command = re.sub(r" --(dashboard-)?port \d+", "", command.partition(" #")[0])
        command += " --port 0" + (" --dashboard-port 0" if "metrics serve" in command else "")
        file = self.home / f"{port}.log"
        script = _REMEMBER.partition("\n")[0].format(home=self.home) + f"\nexec {self._here(command)}"
        with file.open("wb") as log:
            process = subprocess.Popen(["bash", "-c", script], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self._staying[port] = process
        wanted = 1 if dashboard or "--no-dashboard" in command else 2
        end = time.monotonic() + PATIENCE
        while len(urls := _URL.findall(text := file.read_text())) < wanted:
            if time.monotonic() > end or process.poll() is not None:
                raise PageError(f"{command} did not start\n{text}")
            time.sleep(0.05)
        self.ports |= dict(zip((port, "8089"), urls, strict=False))
        if not dashboard and not given:
            with (self.home / "variables").open("a") as variables:
                variables.write(f"export KSQLDB_URL=http://127.0.0.1:{urls[0]}\n")
        return self._there(re.sub(r"^disk: .*\n", "", text, flags=re.MULTILINE))

    def _on_terminal(self, script: str) -> tuple[int, str]:
        """Run a script of bash on a terminal. Returns its exit code and the lines that a reader sees."""
        reading, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
        process = subprocess.Popen(
            ["bash", "-c", script], stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal
        )
        os.close(terminal)
        screen = pyte.Screen(COLUMNS, ROWS)
        stream = pyte.ByteStream(screen)
        try:
            for data in _output(reading, process):
                stream.feed(data)
        finally:
            os.close(reading)
        lines = [line.rstrip() for line in screen.display if not _BAR.search(line.rstrip())]
        return process.wait(), self._there("\n".join(lines).rstrip() + "\n") if any(lines) else ""

    def _here(self, text: str) -> str:
        for port, used in self.ports.items():
            text = re.sub(rf"\b(127\.0\.0\.1|localhost):{port}\b", rf"127.0.0.1:{used}", text)
        return text

    def _there(self, text: str) -> str:
        for port, used in self.ports.items():
            text = text.replace(f"127.0.0.1:{used}", f"127.0.0.1:{port}")
        return text.replace(str(self.home), "~")

    def _compare(self, block: Block) -> None:
        lines = [_SECONDS.sub("0 s", line.rstrip()) for line in block.text.splitlines()]
        pattern = "".join(map(_pattern, lines))
        self.output = _SECONDS.sub("0 s", self.output)
        match = re.match(pattern, self.output)
        if match is None:
            raise PageError(f"line {block.line}: the output is another:\n{self.output}")
        self.output = self.output[match.end() :]
        if self.output.strip() and lines[-1].strip() != "…":
            raise PageError(f"line {block.line}: the output has more lines:\n{self.output}")


def _pattern(line: str) -> str:
    """The pattern of a line. ``…`` stands for any text, and alone for any lines."""
    return r"(?:.*\n)*?" if line.strip() == "…" else r".*?".join(map(re.escape, line.split("…"))) + r"\n"


def commands(text: str) -> Iterator[str]:
    """The commands of a block: lines, joined if a backslash, a quote or a here-document continues them."""
    command = ""
    for line in text.splitlines(keepends=True):
        command += line
        if _is_whole(command):
            if command.strip() and not command.lstrip().startswith("#"):
                yield command.strip()
            command = ""
    assert not command.strip(), f"an unfinished command: {command}"


def _is_whole(command: str) -> bool:
    if command.rstrip("\n").endswith("\\"):
        return False
    if document := re.search(r"<<-?\s*'?(\w+)'?", command):
        return command.rstrip("\n").endswith(f"\n{document[1]}")
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return False
    return not re.match(r"\s*(for|while|if)\b", command) or bool(re.search(r"\b(done|fi)\b[^\n]*\n?$", command))


def _output(terminal: int, process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """What a process writes, until it ends."""
    end = time.monotonic() + PATIENCE
    while True:
        ended = process.poll() is not None
        ready, _, _ = select.select([terminal], [], [], 0 if ended else 0.05)
        if ready:
            try:
                data = os.read(terminal, 1 << 16)
            except OSError:  # Linux: nobody has the terminal open any more
                data = b""
            if data:
                yield data
                continue
            process.wait()
            return
        if ended:
            return
        if time.monotonic() > end:
            process.kill()
            raise PageError(f"a command has not ended after {PATIENCE:.0f} s")
