"""Offsets in a text → lines and columns."""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from opensea_metrics.core.errors import Place


class Lines:
    """The lines of a text. Line ends are counted once, so looking up many places takes one pass over the text."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self._text))]

    def place(self, offset: int) -> Place:
        """The line and column of an offset, both counted from 1."""
        line = bisect.bisect_right(self._starts, offset)
        return Place(self._file, line, offset - self._starts[line - 1] + 1)


@dataclass(frozen=True)
class Located:
    """A text that was assembled from files. ``place(offset)`` is the place where a character was written."""

    text: str
    place: Callable[[int], Place]
