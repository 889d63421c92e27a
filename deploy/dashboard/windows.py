"""Derives the windows that a server has from the names of its tables."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

FAMILIES = {"GLOBAL": 2, "COLLECTION": 2, "TOP_ASSETS": 3, "TRADING": 5}
"""The tables that the pages read, and the migration that creates each. A table's name ends with its window."""

_UNITS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86_400, "WEEK": 604_800}
_SHORT = {"SECOND": "s", "MINUTE": "min", "HOUR": "h", "DAY": "d", "WEEK": "weeks"}
_LENGTH = r"(\d{1,6})_(SECOND|MINUTE|HOUR|DAY|WEEK)S?"
_SUFFIX = re.compile(rf"{_LENGTH}(?:_BY_{_LENGTH})?")
_HOUR = 3_600_000


@dataclass(frozen=True, order=True)
class DeployedWindow:
    """A window: its size and advance in ms, and the suffix of its tables' names."""

    size: int
    advance: int
    suffix: str

    @property
    def label(self) -> str:
        """The window in a few letters, such as ``30 min``."""
        match = _SUFFIX.fullmatch(self.suffix)
        if match is None:
            return self.suffix.replace("_", " ").lower()
        size = f"{match[1]} {_SHORT[match[2]]}"
        return f"{size} every {match[3]} {_SHORT[match[4]]}" if match[3] else size

    def table(self, family: str) -> str:
        """The name of this window's table."""
        return f"{family}_{self.suffix}"


def window_of(suffix: str) -> DeployedWindow | None:
    """The window with this suffix. None if the text is not a window's suffix.

    >>> window_of("30_MINUTES_BY_5_MINUTES").advance
    300000
    """
    match = _SUFFIX.fullmatch(suffix)
    if match is None:
        return None
    size = int(match[1]) * _UNITS[match[2]] * 1000
    advance = int(match[3]) * _UNITS[match[4]] * 1000 if match[3] else size
    return DeployedWindow(size, advance, suffix) if size and advance else None


def deployed(names: Collection[str]) -> list[DeployedWindow]:
    """The windows that have both a market table and a collection table, the shortest first."""
    suffixes = [name.removeprefix("GLOBAL_") for name in names if name.startswith("GLOBAL_")]
    windows = [window for suffix in suffixes if (window := window_of(suffix))]
    return sorted(window for window in windows if window.table("COLLECTION") in names)


def default(windows: Sequence[DeployedWindow]) -> DeployedWindow:
    """The window to show first: the longest of at most an hour, or else the shortest."""
    short = [window for window in windows if window.size <= _HOUR]
    return short[-1] if short else windows[0]


def missing(names: Collection[str], window: DeployedWindow) -> list[str]:
    """The tables of a window that the pages would read and that are not there."""
    return [window.table(family) for family in FAMILIES if window.table(family) not in names]
