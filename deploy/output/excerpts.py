"""Prints errors in SQL files with the faulty line and a caret under the place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from opensea_metrics.core.errors import TYPED, OpenSeaMetricsError, Place, SqlError, SqlErrors

_BEFORE, _WIDTH = 60, 110
"""How many characters of a long line are shown before the place, and in all."""


def error_text(error: OpenSeaMetricsError, typed: str | None = None) -> str:
    """An error's message, in which the faulty line and a caret follow each place.

    ``typed`` is the text of a query that the user typed. The errors in it name the file ``query``.
    """
    if isinstance(error, SqlErrors):
        return "\n".join(error_text(part, typed) for part in error.errors)
    if not isinstance(error, SqlError) or error.place is None or not (excerpt := _excerpt(error.place, typed)):
        return str(error)
    message, hint, remedy = str(error).partition("\n  hint: ")
    return f"{message}\n{excerpt}{hint}{remedy}"


def _excerpt(place: Place, typed: str | None) -> str:
    """The line of a place and a caret under its column; '' if the file has no such line."""
    if typed is not None and place.file == TYPED:
        return _marked(place, typed.splitlines())
    if not place.file.lower().endswith(".sql"):  # settings may hold secrets
        return ""
    try:
        lines = Path(place.file).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError):
        return ""
    return _marked(place, lines)


def _marked(place: Place, lines: Sequence[str]) -> str:
    if not 1 <= place.line <= len(lines):
        return ""
    line = lines[place.line - 1].replace("\t", " ")
    start = max(0, place.column - 1 - _BEFORE)
    shown = line[start : start + _WIDTH]
    if place.column > len(line) + 1:
        return ""
    margin = f"  {place.line} | "
    return f"{margin}{shown}\n{'|'.rjust(len(margin) - 1)} {' ' * (place.column - 1 - start)}^"
