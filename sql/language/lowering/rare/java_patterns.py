"""Formats dates and times with the patterns of Java's DateTimeFormatter.

Times are numbers here: a date is days since 1970, and a time of day is ms since midnight.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

from opensea_metrics.sql.language.values.timestamp_formats import MONTHS, WEEKDAYS, UnknownFormat

_TOKEN = re.compile(r"'(?:[^']|'')*'|([A-Za-z])\1*|.", re.DOTALL)
_DATE_LETTERS, _CLOCK_LETTERS, _OFFSET_LETTERS = "yuMLdDEecGQqYwW", "HhkKmsSnAa", "XxZVz"
_WRITTEN = re.compile(
    "y|yy|yyyy|u|uu|uuuu|Y|YY|YYYY|M{1,4}|L{1,2}|dd?|D|DDD|E{1,4}|ee?|c|G|Q{1,3}|q{1,2}|ww?|W|HH?|hh?|kk?|KK?|mm?|ss?"
    "|S{1,9}|n|A|a|X{1,3}|x{1,3}|Z{1,3}|VV|z{1,3}"
)
_CYCLE_YEARS, _CYCLE_DAYS, _TO_1970 = 400, 146_097, date(1970, 1, 1).toordinal() - 1


def check(pattern: str) -> None:
    """Raises UnknownFormat for a pattern that this module cannot write."""
    for match in _TOKEN.finditer(pattern):
        token = match[0]
        if token == "'" or token in ("{", "}", "#", "[", "]") or (match[1] and not _WRITTEN.fullmatch(token)):
            raise UnknownFormat(f"'{token}'")


def _civil(days: int) -> tuple[int, date]:
    """The year of a day, and the same day in a year that Python supports."""
    cycles, rest = divmod(days + _TO_1970, _CYCLE_DAYS)
    day = date.fromordinal(rest + 1)
    return day.year + _CYCLE_YEARS * cycles, day


@lru_cache(maxsize=200)
def _tokens(pattern: str) -> tuple[tuple[str, bool], ...]:
    """The parts of a pattern, and whether each is a field. Raises UnknownFormat."""
    check(pattern)
    tokens: list[tuple[str, bool]] = []
    for match in _TOKEN.finditer(pattern):
        token = match[0]
        if match[1]:
            tokens.append((token, True))
        else:
            literal = token[1:-1].replace("''", "'") if len(token) > 2 else token[0]
            tokens.append((literal, False))
    return tuple(tokens)


def formatted(
    pattern: str, days: int | None, clock: int | None, offset: int | None = None, zone: tuple[str, str] = ("", "")
) -> str | None:
    """Format a date, a time of day and an offset (ms) with a pattern. None if the pattern needs a missing one.

    ``zone`` is the name of the offset's region, and its short name at that time.
    """
    parts = []
    for token, is_field in _tokens(pattern):
        if not is_field:
            parts.append(token)
            continue
        letter = token[0]
        missing = (
            days is None and letter in _DATE_LETTERS,
            clock is None and letter in _CLOCK_LETTERS,
            offset is None and letter in _OFFSET_LETTERS,
        )
        if any(missing):
            return None
        if letter in _DATE_LETTERS:
            assert days is not None
            parts.append(_date_field(token, days))
        elif letter in _CLOCK_LETTERS:
            assert clock is not None
            parts.append(_clock_field(token, clock))
        else:
            assert offset is not None
            parts.append(_zone_field(token, zone, offset))
    return "".join(parts)


def _date_field(token: str, days: int) -> str:
    year, day = _civil(days)
    letter, count = token[0], len(token)
    if letter in "Yw":
        year, week = _week(year, day)
        if letter == "w":
            return f"{week:0{count}}"
    if letter == "G":
        return "AD" if year > 0 else "BC"
    if letter in "yuY":
        shown = year if letter == "u" or year > 0 else 1 - year
        if count == 2:
            return f"{shown % 100:02}"
        if count == 1:
            return str(shown)
        sign = "-" if shown < 0 else "+" if shown > 9999 else ""
        return f"{sign}{abs(shown):04}"
    if letter == "M" and count > 2:
        return MONTHS[day.month - 1][: None if count == 4 else 3]
    if letter == "E":
        return WEEKDAYS[day.weekday()][: None if count == 4 else 3]
    quarter = (day.month + 2) // 3
    if letter == "Q" and count == 3:
        return f"Q{quarter}"
    weekday = day.isoweekday() % 7 + 1
    number = {
        "M": day.month, "L": day.month, "d": day.day, "D": day.timetuple().tm_yday, "Q": quarter, "q": quarter,
        "e": weekday, "c": weekday, "W": (day.day + day.replace(day=1).isoweekday() % 7 + 6) // 7,
    }[letter]  # fmt: skip
    return f"{number:0{count}}"


def _week(year: int, day: date) -> tuple[int, int]:
    """The year and number of an American week: it begins on a Sunday, and January 1 is in the first one."""
    first = day.replace(month=1, day=1)
    week = ((day - first).days + first.isoweekday() % 7) // 7 + 1
    rest_of_year = (day.replace(month=12, day=31) - day).days
    saturday = 6 - day.isoweekday() % 7
    return (year + 1, 1) if rest_of_year < saturday else (year, week)


def _clock_field(token: str, clock: int) -> str:
    hour, minute, second, rest = clock // 3_600_000, clock // 60_000 % 60, clock // 1000 % 60, clock % 1000
    letter, count = token[0], len(token)
    match letter:
        case "a":
            return "PM" if hour > 11 else "AM"
        case "S":
            return f"{rest:03}".ljust(9, "0")[:count]
        case "n":
            return str(rest * 1_000_000)
        case "A":
            return str(clock)
    number = {
        "H": hour, "h": (hour + 11) % 12 + 1, "k": (hour + 23) % 24 + 1, "K": hour % 12, "m": minute, "s": second,
    }[letter]  # fmt: skip
    return f"{number:0{count}}"


def _zone_field(token: str, zone: tuple[str, str], offset: int) -> str:
    if token[0] == "V":
        return zone[0]
    if token[0] != "z":
        return _offset_field(token, offset // 1000)
    if not zone[1].isalpha():
        raise UnknownFormat(f"'{token}' for the zone {zone[0]}")
    return zone[1]


def _offset_field(token: str, seconds: int) -> str:
    letter, count = token[0], len(token)
    if letter == "X" and seconds == 0:
        return "Z"
    sign, size = "-" if seconds < 0 else "+", abs(seconds)
    hours, minutes = size // 3600, size // 60 % 60
    if letter != "Z" and count == 1:
        return f"{sign}{hours:02}" + (f"{minutes:02}" if minutes else "")
    return f"{sign}{hours:02}{':' if letter != 'Z' and count == 3 else ''}{minutes:02}"
