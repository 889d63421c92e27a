"""Dates, times and timestamps as ksqlDB reads them from text."""

from __future__ import annotations

import calendar
import re
from datetime import date, timedelta

_EPOCH = date(1970, 1, 1).toordinal()
_DATE = re.compile(r"(\d{4}|-\d{4,7}|[+-]\d{5,7})(?:-(\d\d))?(?:-(\d\d))?", re.ASCII)
"""A year beyond 9999 has a sign, as in ISO 8601."""
_TIME = re.compile(r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?", re.ASCII)
_ZONE = re.compile(r"([+-])(\d{1,2})(?::?(\d\d))?", re.ASCII)
_END_OF_DAY = re.compile(r"24(?::00(?::00(?:\.0{1,3})?)?)?")
_MIDNIGHT = "00:00:00.000"
_CYCLE_YEARS, _CYCLE_DAYS = 400, 146_097
"""The calendar repeats after this time."""
_LAST_YEAR = 5_000_000
"""The engines have no DATE much later."""


def days(text: str) -> int | None:
    """Days from the epoch to a date such as 2022-01-02, 2022-01 or 2022. None for other texts."""
    return _days(text, is_lenient=False)


def time_of_day(text: str) -> int | None:
    """Milliseconds since midnight for a time such as 10:11, 10:11:12 or 10:11:12.345. None for other texts."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups()[:3])
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + int((match[4] or "").ljust(3, "0")[:3])


def milliseconds(text: str) -> int | None:
    """Milliseconds from the epoch to a time such as 2022, 2022-01-02 or 2022-01-02T03:04:05.678+0100.

    A time without a zone is UTC. None if the text is not a timestamp. A day that the month does not have becomes the
    month's last day, and 24:00 is the next day's midnight (observed on 7.9.1).
    """
    day, separator, rest = text.strip().partition("T")
    place = min((at for sign in "+-" if (at := rest.find(sign)) >= 0), default=len(rest))
    clock, zone = rest[:place].removesuffix("Z"), rest[place:]
    days_later = 0
    if _END_OF_DAY.fullmatch(clock):
        clock, days_later = "", 1
    is_full = day.count("-", 1) == 2 and day == day.strip()
    date_part = _days(day, is_lenient=True) if is_full or not separator else None
    time_part = time_of_day(clock + _MIDNIGHT[len(clock) :]) if len(clock) <= len(_MIDNIGHT) else None
    shift = _offset(zone) if zone else 0
    if date_part is None or time_part is None or shift is None:
        return None
    return (date_part + days_later) * 86_400_000 + time_part - shift


def _days(text: str, is_lenient: bool) -> int | None:
    match = _DATE.fullmatch(text.strip())
    if match is None:
        return None
    year, month, day = (int(part or 1) for part in match.groups())
    first = 1 if is_lenient else -_LAST_YEAR  # a TIMESTAMP has no year before 1 (observed on 7.9.1, 2026-11-30)
    if not (first <= year <= _LAST_YEAR and 1 <= month <= 12 and 1 <= day <= 31):
        return None
    cycles, year = divmod(year, _CYCLE_YEARS)
    year += _CYCLE_YEARS  # Python's calendar starts with year 1
    last = calendar.monthrange(year, month)[1]
    if day > last and not is_lenient:
        return None
    return date(year, month, min(day, last)).toordinal() + (cycles - 1) * _CYCLE_DAYS - _EPOCH


def _offset(zone: str) -> int | None:
    """The offset of a zone such as +01, +0100 or +01:00, in milliseconds."""
    match = _ZONE.fullmatch(zone)
    if match is None:
        return None
    size = timedelta(hours=int(match[2]), minutes=int(match[3] or 0))
    if size > timedelta(hours=18) or int(match[3] or 0) > 59:
        return None
    return (-1 if match[1] == "-" else 1) * (size // timedelta(milliseconds=1))
