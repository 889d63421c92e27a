"""The windows that a server or folder has, by the names of its tables. If it has none: why, and what to do."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True)
class Problem:
    """Why a page has nothing to show. ``commands`` are shell commands that fix the problem."""

    title: str
    text: str
    commands: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The problem for a page."""
        return {"title": self.title, "text": self.text, "commands": self.commands}


def chosen_window(names: Collection[str], wanted: DeployedWindow | None, is_live: bool) -> DeployedWindow | Problem:
    """The window to show, if its tables exist; otherwise the reason why there is none.

    ``wanted`` is the choice of a page, or None for the default.
    """
    windows = deployed(names)
    if not windows:
        return _nothing(names, is_live)
    if wanted is None:
        return default(windows)
    if wanted in windows:
        return wanted
    labels = ", ".join(window.label for window in windows)
    text = f"There are windows of {labels}. Choose one of them above."
    if not is_live:
        return Problem(f"There are no results of {wanted.label}", text)
    return Problem(
        f"There is no window of {wanted.label} on this server",
        f"{text} To deploy another window, add it to the windows in sql/settings.yml and apply a migration.",
        ("opensea-metrics plan", "opensea-metrics apply"),
    )


def default(windows: Sequence[DeployedWindow]) -> DeployedWindow:
    """The window to show first: the longest of at most an hour, or else the shortest."""
    short = [window for window in windows if window.size <= _HOUR]
    return short[-1] if short else windows[0]


def missing(names: Collection[str], window: DeployedWindow) -> list[str]:
    """The tables of a window that the pages would read and that are not there."""
    return [window.table(family) for family in FAMILIES if window.table(family) not in names]


def _nothing(names: Collection[str], is_live: bool) -> Problem:
    if not is_live:
        return Problem(
            "There are no results here",
            "The folder has neither tables of the market nor of collections.",
            ("opensea-metrics recompute all --window '1 hour' --to-parquet results",),
        )
    have = {family for family in FAMILIES if any(name.startswith(f"{family}_") for name in names)}
    versions = sorted({version for family, version in FAMILIES.items() if family not in have})
    listed = ", ".join(f"V{version:03}" for version in versions)
    return Problem(
        "The server runs, but it has no metrics yet",
        f"The tables of these migrations are missing: {listed}. Apply the migrations; then this page starts by itself.",
        ("opensea-metrics apply", "opensea-metrics replay --to-now"),
    )
