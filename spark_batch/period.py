"""The period of a run, and its windows: sizes, bounds and starts.

Times are epoch ms, UTC. A period is [first, end).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import lcm

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.sql.language.catalog.sources import Window

ALL_TIME = "ALL TIME"
_UNITS = {
    "MILLISECOND": 1, "SECOND": 1_000, "MINUTE": 60_000, "HOUR": 3_600_000, "DAY": 86_400_000,
    "WEEK": 604_800_000,
}  # fmt: skip
_DURATION = re.compile(r"(\d{1,9})[ _]+([A-Z]+?)S?")
_DAY = 86_400_000
_WEEK = 7 * _DAY


class PeriodError(OpenSeaMetricsError):
    """A time, duration or period is not valid. The message says what to give instead."""


@dataclass(frozen=True)
class WindowChoice:
    """A kind of window that the user chose. ``size`` and ``advance`` are in milliseconds, and ``label`` is SQL.

    Both are None for one window over the whole period.
    """

    label: str
    size: int | None
    advance: int | None
    slide: str | None = None

    @property
    def text(self) -> str:
        return f"{self.label} every {self.slide}" if self.slide else self.label


@dataclass(frozen=True)
class Period:
    """A time [first, end) in epoch ms. If ``trailing``, windows are counted back from its end, not from 1970 on.

    ``is_cut_before`` and ``is_cut_after`` say whether the archive may have records before and after the period.
    """

    first: int
    end: int
    trailing: bool = False
    is_cut_before: bool = False
    is_cut_after: bool = False

    def origin(self, window: Window) -> int:
        """The time (epoch ms, from 0 to the advance) from which windows of a kind are counted."""
        counted_back = self.trailing or window.size == self.end - self.first
        return self.end % window.advance if counted_back else 0

    def holds(self, window: Window) -> str:
        """The condition, as SQL, for rows of windows that lie within the period.

        A session is left out if records before or after the period may belong to it.
        """
        if not window.is_session:
            return f"WINDOWSTART >= {self.first} AND WINDOWEND <= {self.end}"
        first = self.first + window.size if self.is_cut_before else self.first
        end = self.end - window.size if self.is_cut_after else self.end
        return f"WINDOWSTART >= {first} AND WINDOWEND < {end}"

    @property
    def text(self) -> str:
        return f"{iso(self.first)} to {iso(self.end)}"


def parse_time(text: str) -> int:
    """An ISO date or time as epoch ms. Without a zone it is UTC. Raises PeriodError."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise PeriodError(
            f"{text!r} is not a time: give a date or time such as 2026-09-15 or 2026-09-15T10:30"
        ) from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return round(moment.timestamp() * 1000)


def iso(time_ms: int) -> str:
    """A time as text, in UTC, without milliseconds if they are zero."""
    text = datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "").replace(".000", "") + "Z"


def parse_window(size: str, slide: str | None) -> WindowChoice:
    """The window of a text such as ``'1 hour'``, ``'7 days'`` or ``'all time'``. Raises PeriodError."""
    label = " ".join(size.replace("_", " ").upper().split())
    if label == ALL_TIME:
        if slide:
            raise PeriodError("a window over all time does not slide: omit --slide")
        return WindowChoice(ALL_TIME, None, None)
    length = _length(size, ", or 'all time'")
    if length % _WEEK == 0 and "WEEK" in label:  # a unit that SQL does not have
        label = f"{length // _DAY} DAYS"
    if not slide:
        return WindowChoice(label, length, length)
    advance = _length(slide)
    if advance > length or length % advance:
        raise PeriodError(f"a window of {size} cannot slide by {slide}: --window must be a multiple of --slide")
    return WindowChoice(label, length, advance, " ".join(slide.upper().split()))


def choice(size: int, advance: int) -> WindowChoice:
    """The kind of windows of a size and an advance, in milliseconds."""
    slide = None if advance == size else _text(advance)
    return WindowChoice(_text(size), size, advance, slide)


def _text(length: int) -> str:
    """A duration in SQL, in the largest unit that gives a whole number."""
    unit = max((u for u in _UNITS if length % _UNITS[u] == 0 and u != "WEEK"), key=_UNITS.__getitem__)
    amount = length // _UNITS[unit]
    return f"{amount} {unit}{'S' if amount > 1 else ''}"


def duration(text: str) -> int:
    """A duration such as ``'30 minutes'`` in milliseconds. ``'0 hours'`` is valid too. Raises PeriodError."""
    length = _milliseconds(text)
    if length is None:
        raise _no_duration(text)
    return length


def _length(text: str, further: str = "") -> int:
    """A duration that is not zero. ``further`` names other valid texts, for the message."""
    if not (length := _milliseconds(text)):
        raise _no_duration(text, further)
    return length


def _milliseconds(text: str) -> int | None:
    match = _DURATION.fullmatch(" ".join(text.upper().split()))
    return int(match[1]) * _UNITS[match[2]] if match and match[2] in _UNITS else None


def _no_duration(text: str, further: str = "") -> PeriodError:
    return PeriodError(
        f"{text!r} is not a duration: give an amount and a unit, such as '30 minutes', '1 hour' or "
        f"'7 days'{further}"
    )


def settle(
    windows: Sequence[WindowChoice],
    first: int | None,
    end: int | None,
    trailing: bool,
    available: tuple[int, int],
) -> Period:
    """The period of a run. Raises PeriodError if its bounds would cut a window in two.

    Without bounds, it is the time of the archive (``available``: from the first hour to the end of the
    last), rounded outwards to whole windows. If ``trailing``, windows end at ``end``.
    """
    if trailing and end is None:
        raise PeriodError("--trailing windows end at --to: give --to")
    sized = [window for window in windows if window.advance]
    start, stop = available[0] if first is None else first, available[1] if end is None else end
    step = lcm(*(window.advance or 1 for window in sized))
    if first is None:
        start -= (start - stop) % step if trailing else start % step
    if end is None:
        stop += -stop % step
    _check_order(start, stop)
    for window in sized:
        if trailing:
            _check_multiple(start, stop, window)
        else:
            _check_aligned("--from", start, window)
            _check_aligned("--to", stop, window)
    return Period(start, stop, trailing, is_cut_before=first is not None, is_cut_after=end is not None)


def _check_order(first: int, end: int) -> None:
    if first >= end:
        raise PeriodError(f"the period is empty: it begins at {iso(first)} and ends at {iso(end)}")


def _check_multiple(first: int, end: int, window: WindowChoice) -> None:
    assert window.advance is not None
    if (end - first) % window.advance or end - first < (window.size or 0):
        count = max(1, (end - first) // window.advance)
        start = iso(end - max(count * window.advance, window.size or 0))
        raise PeriodError(
            f"from {iso(first)} to {iso(end)} is not a multiple of {window.slide or window.label}: "
            f"give --from {start}, or omit --from"
        )


def _check_aligned(option: str, time: int, window: WindowChoice) -> None:
    assert window.advance is not None
    past = time % window.advance
    if not past:
        return
    before, after = iso(time - past), iso(time - past + window.advance)
    why = ""
    if window.advance % _WEEK == 0:
        why = " (windows are counted from 1970-01-01, so weeks begin on Thursdays)"
    raise PeriodError(
        f"{option} {iso(time)} cuts a window of {window.label} in two{why}: give {before} or {after}, or "
        "--trailing for windows that end at --to"
    )
