"""The terminal: where things are printed, and how values are written."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Console

PIPED_WIDTH = 240  # characters: a pipe has no width, and rich would fold at 80


def console(stderr: bool = False) -> Console:
    """A console on stdout or stderr, made when used: tests and pipes replace these."""
    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal:
        made.width = PIPED_WIDTH
    return made


def time_text(moment: int | None) -> str:
    """Milliseconds since 1970 as UTC, '' for None."""
    if moment is None:
        return ""
    return datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
