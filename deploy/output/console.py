"""The terminal: where things are printed, and how values are written.

Names and messages come from strangers, too: collections, topics, records, servers. Whatever is
printed goes through ``console``, ``say`` or ``say_json``, which show control characters and do not
send them, and take no text for markup.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NoReturn

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

PIPED_WIDTH = 240  # characters: a pipe has no width, and rich would fold at 80
READER_GONE = 141
"""The exit code when the reader of a pipe goes away (``| head``): a shell's for SIGPIPE."""

# C0 and C1 controls without tab and newline, marks that turn the direction of writing, line and
# paragraph separators, and half surrogates, which no encoding has.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def visible(text: str) -> str:
    r"""A text whose control characters are written as JSON writes them.

    >>> visible("a\x1b[31mb")
    'a\\u001b[31mb'
    """
    text = text.replace("\r\n", "\n")
    return _CONTROL.sub(lambda each: f"\\u{ord(each[0]):04x}", text)


def one_line(text: str) -> str:
    r"""The same for a value, where a newline could be taken for the end of a row.

    >>> one_line("a\nb")
    'a\\nb'
    """
    return visible(text.replace("\n", "\\n").replace("\t", "\\t"))


class _Console(Console):
    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control is None and _CONTROL.search(segment.text):
                yield Segment(visible(segment.text), segment.style)
            else:
                yield segment

    def on_broken_pipe(self) -> None:
        self.quiet = True
        _end_of_pipe()


def console(stderr: bool = False) -> Console:
    """A console on stdout or stderr, made when used: tests and pipes replace these.

    It takes texts as they are, not as markup; what is coloured is a ``Text``.
    """
    made = _Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = PIPED_WIDTH
    return made


def say(text: object = "", stderr: bool = False) -> None:
    """Print a line at once."""
    _write(visible(str(text)), sys.stderr if stderr else sys.stdout)


def say_json(value: Any, indent: int | None = None) -> None:
    """Print a value as JSON, exactly: control characters are escaped, as JSON allows."""
    written = json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    _write(_CONTROL.sub(_json_escape, written), sys.stdout)


def _json_escape(each: re.Match[str]) -> str:
    return f"\\u{ord(each[0]):04x}"


def _write(line: str, to: Any) -> None:
    try:
        print(line, file=to, flush=True)
    except BrokenPipeError:
        _end_of_pipe()


def _end_of_pipe() -> NoReturn:
    # What is still in the buffer would be written at exit, and fail again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(READER_GONE)


def time_text(moment: int | None) -> str:
    """Milliseconds since 1970 as UTC, '' for None."""
    if moment is None:
        return ""
    return datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
