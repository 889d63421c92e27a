"""Time zones as Java names them: regions of the tz database, and offsets such as +02:00."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_OFFSET = re.compile(r"(?:UTC|GMT|UT)?([+-])(\d{1,2})(?::?(\d\d))?(?::?(\d\d))?", re.ASCII)
_CYCLE = 146_097 * 86_400_000
"""Milliseconds of 400 years, after which a calendar repeats."""
_MOST_OFFSET = 18 * 3600


SHORT_NAMES = {
    "ACST": "Australia/Adelaide", "AEDT": "Australia/Sydney", "AEST": "Australia/Sydney", "AKDT": "America/Anchorage",
    "AKST": "America/Anchorage", "ART": "America/Argentina/Buenos_Aires", "AWST": "Australia/Perth",
    "BRT": "America/Sao_Paulo", "CDT": "America/Chicago", "CEST": "Europe/Paris", "CET": "Europe/Paris",
    "CST": "America/Chicago", "EAT": "Africa/Nairobi", "EDT": "America/New_York", "EEST": "Europe/Athens",
    "EET": "Europe/Athens", "EST": "America/New_York", "HKT": "Asia/Hong_Kong", "HST": "Pacific/Honolulu",
    "IST": "Asia/Kolkata", "JST": "Asia/Tokyo", "KST": "Asia/Seoul", "MDT": "America/Denver", "MSK": "Europe/Moscow",
    "MST": "America/Denver", "NZST": "Pacific/Auckland", "PDT": "America/Los_Angeles", "PKT": "Asia/Karachi",
    "PST": "America/Los_Angeles", "SAST": "Africa/Johannesburg", "SGT": "Asia/Singapore", "WEST": "Europe/Lisbon",
    "WET": "Europe/Lisbon",
}  # fmt: skip
"""The regions that Java's formatters take these names for (observed on 7.9.1). EST in July is daylight time, too."""


class Zone:
    """A zone: its offset from UTC in milliseconds, by time."""

    def __init__(self, name: str) -> None:
        """Raises ValueError for a name that is none."""
        self.fixed: int | None = None
        self._name = name
        match = _OFFSET.fullmatch(name)
        if name in ("Z", "UTC", "GMT", "UT"):
            self.fixed = 0
        elif match:
            hours, minutes, seconds = (int(part or 0) for part in match.groups()[1:])
            size = hours * 3600 + minutes * 60 + seconds
            if size > _MOST_OFFSET or minutes > 59 or seconds > 59:
                raise ValueError(name)
            self.fixed = (-size if match[1] == "-" else size) * 1000
        elif "/" not in name or name.startswith("/") or ".." in name:
            raise ValueError(name)
        else:
            try:
                self._zone = ZoneInfo(name)
            except (KeyError, OSError) as error:
                raise ValueError(name) from error

    def offset(self, milliseconds: int) -> int:
        """The offset at a time in epoch ms."""
        if self.fixed is not None:
            return self.fixed
        return _milliseconds(_moment(milliseconds).replace(tzinfo=UTC).astimezone(self._zone).utcoffset())

    def short_name(self, milliseconds: int) -> str:
        """The name of the offset at a time, such as CEST."""
        if self.fixed is not None:
            return self._name if self._name.isalpha() else ""
        return _moment(milliseconds).replace(tzinfo=UTC).astimezone(self._zone).tzname() or ""

    def offset_of_local(self, milliseconds: int) -> int:
        """The offset of a local time, given as if it were UTC.

        For a local time that clocks skip or show twice, the smaller offset counts (observed on 7.9.1).
        """
        if self.fixed is not None:
            return self.fixed
        local = _moment(milliseconds)
        offsets = (local.replace(tzinfo=self._zone, fold=fold).utcoffset() for fold in (0, 1))
        return min(map(_milliseconds, offsets))


@lru_cache(maxsize=200)
def zone_of(name: str) -> Zone:
    """The zone with a name. Raises ValueError for an unknown name."""
    return Zone(name)


def _moment(milliseconds: int) -> datetime:
    """A time without a zone, in a year that Python has: years beyond are like those of 400 years before."""
    year = 31_556_952_000
    if not -1000 * year < milliseconds < 7000 * year:
        milliseconds = milliseconds % _CYCLE + (30 * year // _CYCLE) * _CYCLE
    return datetime(1970, 1, 1) + timedelta(milliseconds=milliseconds)


def _milliseconds(offset: timedelta | None) -> int:
    assert offset is not None
    return offset // timedelta(milliseconds=1)
