"""Prints texts without control characters, which could control the user's terminal.

Collections, topics, records and servers supply names and messages, so these are untrusted. All output goes through
``say``, ``say_json`` or ``console.shown``, which escape control characters.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
import uuid
from decimal import Decimal
from typing import Any, NoReturn, TextIO

READER_GONE = 141
"""The exit code when the reader of a pipe goes away (``| head``). Shells use it for SIGPIPE."""

_NUMBER = uuid.uuid4().hex
"""Marks the text of a Decimal, which the module ``json`` cannot write as a number."""
_MARKED = re.compile(f'"{_NUMBER}([^"]*)"')
# C0 and C1 controls without tab and newline, marks that change the direction of writing, line and
# paragraph separators, and half surrogates, which no encoding has.
CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def is_pipe(stream: TextIO) -> bool:
    """True if a stream is no terminal. rich takes long to import, and decides the other cases."""
    return not (stream.isatty() or os.environ.get("FORCE_COLOR") or os.environ.get("TTY_COMPATIBLE"))


def visible(text: str) -> str:
    r"""A text with its control characters escaped as in JSON.

    >>> visible("a\x1b[31mb")
    'a\\u001b[31mb'
    """
    return CONTROL.sub(_in_letters, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    r"""The same for a value. Newlines are escaped too, because they would look like the end of a row.

    >>> one_line("a\nb")
    'a\\nb'
    """
    return visible(text.replace("\r", "\\r").replace("\n", "\\n").replace("\t", "\\t"))


def say(text: object = "", stderr: bool = False) -> None:
    """Print a line at once."""
    _write(visible(str(text)), sys.stderr if stderr else sys.stdout)


def say_json(value: Any, indent: int | None = None) -> None:
    """Print a value as JSON. The value stays exact, because JSON allows escaped control characters."""
    _write(json_text(value, indent), sys.stdout)


def json_text(value: Any, indent: int | None = None) -> str:
    """A value as JSON without control characters. Decimals are numbers with all their digits."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=_text_of)
    if _NUMBER in text:
        text = _MARKED.sub(r"\1", text)
    return CONTROL.sub(_in_letters, text)


def exact_text(value: Any) -> str:
    """A value on one line, exactly: a text as it is, and others as JSON."""
    if value is None:
        return "NULL"
    return value if isinstance(value, str) else json_text(value)


def _text_of(value: Any) -> str:
    return f"{_NUMBER}{value:f}" if isinstance(value, Decimal) else str(value)


def write_line(line: str) -> None:
    """Print a line of data: exact in a pipe or a file, without control characters on a terminal."""
    _write(visible(line) if sys.stdout.isatty() else line, sys.stdout)


def write_any_character() -> None:
    """Make stdout and stderr escape characters that their encoding does not have."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def end_of_pipe() -> NoReturn:
    """Exit because nobody reads the output any more."""
    # Python would write the rest of the buffer at exit, and fail again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(READER_GONE)


def _in_letters(character: re.Match[str]) -> str:
    return f"\\u{ord(character[0]):04x}"


def _write(line: str, to: Any) -> None:
    try:
        print(line, file=to, flush=True)
    except BrokenPipeError:
        end_of_pipe()
