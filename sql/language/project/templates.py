"""Renders SQL files with Jinja2, and keeps track of the source of each piece of text.

Templates run in their own process (:mod:`sql.language.project.rendering` says why). Before a template is
compiled, each line of its literal text gets an invisible mark with file, line and column. The marks survive
loops, includes and macros. After rendering, the marks are removed. Together they map positions in the
rendered text to places in the sources.
"""

from __future__ import annotations

import bisect
import json
import pickle
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opensea_metrics.core.errors import Place, SqlError, os_reason
from opensea_metrics.core.places import Lines, Located
from opensea_metrics.sql.language.project.files import read_text

if TYPE_CHECKING:  # Jinja2 takes long to import, and only the other process needs it
    from opensea_metrics.sql.language.project.rendering import RenderJob

SECONDS = 10.0
"""The CPU time that one file may take."""
MEMORY = 512 << 20
"""The bytes that the process may use, including about 50 MB for Python. macOS does not enforce the limit."""
CHARACTERS = 16 << 20
"""The largest length of one file's rendered text."""

_PROCESS = Path(__file__).with_name("rendering.py")
_TAGS = ("{{", "{%", "{#")
_begun: list[subprocess.Popen[bytes]] = []
"""Processes that wait for a job."""
_FRAME = re.compile(r'^  File "(.*)", line (\d+) in ', re.MULTILINE)


def begin() -> None:
    """Start a process for the next templates. It imports Jinja2 while this process does other work.

    If one waits already, it is used.
    """
    if _begun:
        return
    with suppress(OSError):  # raised again for the templates
        _begun.append(_process())


def _process() -> subprocess.Popen[bytes]:
    # -I prevents imports from the environment and from this folder, which has a types.py.
    command = [sys.executable, "-I", "-X", "utf8", str(_PROCESS)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env={})


class Templates:
    """The templates of a project. Macros under ``root/macros`` are imported by their file name."""

    def __init__(self, root: Path, variables: Mapping[str, Any]) -> None:
        self._root = root
        self._variables = variables

    def render(self, files: Sequence[tuple[Path, Mapping[str, str]]]) -> list[Located]:
        """Render files. Each file has the names that replace ``ref('name')``; other names stay as they are.

        Raises SqlError at the place of an undefined variable, a syntax error in the template, or an expression that
        fails or is not allowed. Also raises SqlError where a file exceeds a limit.
        """
        texts = []
        for outcome in self.render_each(files):
            if isinstance(outcome, SqlError):
                raise outcome
            texts.append(outcome)
        return texts

    def render_each(self, files: Sequence[tuple[Path, Mapping[str, str]]]) -> list[Located | SqlError]:
        """Like :meth:`render`, but a file with an error gives the error instead of a text."""
        sources = [(path, read_text(path), names) for path, names in files]
        jobs = [entry for entry in sources if any(tag in entry[1] for tag in _TAGS)]
        rendered = iter(self._run([(str(path), text, names) for path, text, names in jobs]))
        return [
            next(rendered) if any(tag in text for tag in _TAGS) else plain(path, text)
            for path, text, _ in sources
        ]

    def _run(self, files: list[tuple[str, str, Mapping[str, str]]]) -> list[Located | SqlError]:
        if not files:
            return []
        sources, unreadable = self._importable()
        # Texts cannot forge marks, because no file or setting has the random number.
        mark, number = f"\ue000{secrets.token_hex(8)}\ue001{{file}}\ue001{{line}}\ue001{{column}}\ue002", "([0-9]{1,9})"
        marks = re.compile(mark.format(file=number, line=number, column=number))
        job: RenderJob = {
            "variables": self._variables,
            "sources": sources,
            "unreadable": unreadable,
            "files": files,
            "seconds": SECONDS,
            "memory": MEMORY,
            "characters": CHARACTERS,
            "mark": mark,
            "marks": marks.pattern,
        }
        try:
            with _begun.pop() if _begun else _process() as process:
                written, dumped = process.communicate(pickle.dumps(job))
        except OSError as error:
            message = f"cannot start {sys.executable} to render templates: {os_reason(error)}"
            raise SqlError(message, Place(files[0][0], 1, 1)) from error
        texts: list[Located | SqlError] = []
        compiled: dict[str, list[tuple[int, int]]] = {}
        begun = files[0][0]
        for line in written.decode(errors="replace").splitlines():
            match json.loads(line):
                case {"begin": str(path)}:
                    begun = path
                case {"compiled": str(path), "lines": lines}:
                    compiled[path] = lines
                case {"text": str(marked), "files": names}:
                    texts.append(_unmark(marks, marked, names, begun))
                case {"error": str(message), "file": file, "line": number}:
                    undefined = message.endswith("is undefined")
                    hint = "define it in settings.yml, or pass --var NAME=VALUE" if undefined else None
                    texts.append(SqlError(f"template: {message}", Place(file, number, 1), hint))
        if len(texts) < len(files):
            dump = dumped.decode("ascii", errors="backslashreplace")
            if process.returncode == -signal.SIGPROF:
                message = f"template: rendering takes more than {SECONDS:g} seconds"
            else:
                message = f"template: rendering ended with status {process.returncode}: {dump[-500:].strip()}"
            # The process has ended, so the files after this one are not rendered.
            texts += [SqlError(message, _interrupted_at(dump, compiled, begun))] * (len(files) - len(texts))
        return texts

    def _importable(self) -> tuple[dict[str, tuple[str, str]], dict[str, tuple[str, int, str]]]:
        """The files that templates may import, by name, and the files among them that cannot be read."""
        sources: dict[str, tuple[str, str]] = {}
        unreadable: dict[str, tuple[str, int, str]] = {}
        for folder in (self._root / "migrations", self._root / "macros"):
            for path in sorted(folder.rglob("*")):
                name = path.relative_to(folder).as_posix()
                try:
                    if path.is_file():
                        sources[name] = (str(path), read_text(path))
                except SqlError as error:  # the error counts only if a template imports the file
                    line = error.place.line if error.place else 1
                    unreadable[name] = (str(path), line, error.message)
        return sources, unreadable


def plain(path: Path, text: str) -> Located:
    """The text of a file that is not a template."""
    return Located(text, Lines(text, str(path)).place)


def _interrupted_at(dump: str, compiled: Mapping[str, list[tuple[int, int]]], path: str) -> Place:
    """The line of a template in a dump of Python's frames. The innermost frame comes first."""
    from opensea_metrics.sql.language.project.rendering import line_of

    written = {name.encode("ascii", "backslashreplace").decode(): name for name in compiled}
    for frame in _FRAME.finditer(dump):
        if (name := written.get(frame[1])) is not None:
            return Place(name, line_of(int(frame[2]), compiled[name]), 1)
    return Place(path, 1, 1)


def _unmark(pattern: re.Pattern[str], marked: str, files: list[str], path: str) -> Located:
    pieces: list[str] = []
    offsets = [0]
    marks = [Place(path, 1, 1)]
    length = end = 0
    for match in pattern.finditer(marked):
        piece = marked[end : match.start()]
        pieces.append(piece)
        length += len(piece)
        offsets.append(length)
        marks.append(Place(files[int(match[1])], int(match[2]), int(match[3])))
        end = match.end()
    pieces.append(marked[end:])
    text = "".join(pieces)
    lines = Lines(text, path)

    def place(offset: int) -> Place:
        """The place of the last mark before a character, plus the distance to the character."""
        index = bisect.bisect_right(offsets, offset) - 1
        mark, begins = marks[index], offsets[index]
        here, there = lines.place(offset), lines.place(begins)
        if here.line > there.line:
            return Place(mark.file, mark.line + here.line - there.line, here.column)
        return Place(mark.file, mark.line, mark.column + offset - begins)

    return Located(text, place)
