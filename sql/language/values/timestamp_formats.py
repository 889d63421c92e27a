"""Parses times in texts like ksqlDB, which uses Java's DateTimeFormatter: TIMESTAMP_FORMAT, PARSE_TIMESTAMP and others.

The rules are those of the JDK for a formatter that ignores case and resolves dates in "smart" mode. Fields that
are missing in a text are taken from 1970-01-01T00:00Z (StringToTimestampParser of 7.9.1; observed:
tests/embedded/records.yml).
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

_TOKEN = re.compile(r"'(?:[^']|'')*'|([A-Za-z])\1*|.", re.DOTALL)
_FIXED = re.compile("yy|uu|MM|dd|HH|mm|ss|S{1,9}")
"""Numbers with a fixed number of digits."""
_OPEN = re.compile("[MdHms]|n{1,9}")
"""Numbers with any number of digits."""
_NAMES = {"M": "month", "d": "day", "H": "hour", "m": "minute", "s": "second", "n": "nanosecond"}
_NEEDS = {"m": "Hh", "s": "m", "S": "s", "n": "s", "h": "a", "a": "h"}
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SHORT = 3
"""Letters of the short name of a month or weekday."""
_TEXTS = {
    "MMM": ("name of month", [month[:_SHORT] for month in MONTHS]),
    "MMMM": ("name of month", MONTHS),
    "E": ("weekday", [day[:_SHORT] for day in WEEKDAYS]),
    "EE": ("weekday", [day[:_SHORT] for day in WEEKDAYS]),
    "EEE": ("weekday", [day[:_SHORT] for day in WEEKDAYS]),
    "EEEE": ("weekday", WEEKDAYS),
    "a": ("half", ("AM", "PM")),
}
"""Parts of patterns that are names: the field, and its names in order."""
_OFFSETS = {
    1: "[+-][0-9]{2}(?:[0-9]{2})?",
    2: "[+-][0-9]{4}",
    3: "[+-][0-9]{2}:[0-9]{2}",
    4: "[+-][0-9]{4}(?:[0-9]{2})?",
    5: "[+-][0-9]{2}:[0-9]{2}(?::[0-9]{2})?",
}
_UTC = {1: r"\+00", 2: r"\+0000", 3: r"\+00:00", 4: r"\+0000", 5: r"\+00:00"}
_RANGES = {
    "year": 999_999_999, "month": 12, "day": 31, "hour": 24, "minute": 59, "second": 59, "hour of half": 12,
}  # fmt: skip
_ZONE, _ZONES = "zone", ("z", "zz", "zzz", "VV")
_CYCLE, _CYCLE_DAYS = 400, 146_097
_MOST = 2**63
_THURSDAY = 3
"""The weekday of 1970-01-01."""


class UnknownFormat(ValueError):
    """A pattern that is not supported here. The message is the unsupported part."""


@dataclass(frozen=True)
class TimestampFormat:
    """A pattern as a regular expression. ``fields`` says what its groups stand for."""

    expression: re.Pattern[str]
    fields: tuple[str, ...]

    def milliseconds(self, text: str, shift: Callable[[int], int] | None = None) -> int | None:
        """The time of a text in epoch ms; None if the text is not of this form.

        ``shift`` gives the offset (ms east of Greenwich) of a local time, for texts that write none.
        """
        fields = self.read(text)
        time = None if fields is None else _milliseconds(fields)
        if time is None or shift is None or (fields and "offset" in fields):
            return time
        return time - shift(time)

    def zone(self, text: str) -> str | None:
        """The name of the zone in a text, or None if the pattern has no zone."""
        match = self.expression.fullmatch(text) if _ZONE in self.fields else None
        return match[1 + self.fields.index(_ZONE)] if match else None

    def read(self, text: str) -> dict[str, int] | None:
        """The fields of a text; None if the text is not of this form."""
        match = self.expression.fullmatch(text)
        if match is None:
            return None
        fields: dict[str, int] = {}
        for name, written in zip(self.fields, match.groups(), strict=True):
            if written is not None and name != _ZONE:
                name, value = _READERS[name](written) if name in _READERS else (name, int(written))
                if fields.setdefault(name, value) != value:
                    return None
        return fields


@lru_cache(maxsize=100)
def timestamp_format(pattern: str, zones: bool = False) -> TimestampFormat:
    """The format for a pattern. Raises UnknownFormat. With ``zones``, the pattern may contain names of time zones."""
    if not zones and any(match[0] in _ZONES for match in _TOKEN.finditer(pattern)):
        raise UnknownFormat("the name of a time zone")
    fields: list[str] = []
    expression = "".join(_expressions([match[0] for match in _TOKEN.finditer(pattern)], fields))
    return TimestampFormat(re.compile(expression, re.DOTALL), tuple(fields))


def _expressions(tokens: Sequence[str], fields: list[str]) -> Iterator[str]:
    """The regular expressions for a pattern's parts. Appends the names of their groups to ``fields``."""
    depth = 0
    letters = {token[0] for token in tokens}
    for token, following in zip(tokens, [*tokens[1:], ""], strict=True):
        is_before_number = bool(_FIXED.fullmatch(following) or _OPEN.fullmatch(following))
        if (needed := _NEEDS.get(token[0])) and not letters & set(needed):
            raise UnknownFormat(f"'{token}' without '{needed[0]}'")
        if token in ("yyyy", "uuuu"):
            # In a row of digits, the year gets the digits that numbers of fixed length leave.
            if _OPEN.fullmatch(following):
                raise UnknownFormat(f"'{token}{following}'")
            fields.append("year of era" if token == "yyyy" else "year")
            negative = "|-[0-9]{4,19}" if token == "uuuu" else ""
            yield rf"([0-9]{{4}}|\+[0-9]{{5,19}}{negative}){'' if is_before_number else '(?![0-9])'}"
        elif token in _TEXTS:
            field, names = _TEXTS[token]
            fields.append(field)
            yield f"((?i:{'|'.join(names)}))"
        elif token in ("h", "hh"):
            if token == "h" and is_before_number:
                raise UnknownFormat(f"'{token}{following}'")
            fields.append("hour of half")
            yield "([0-9]{2})" if token == "hh" else "([0-9]{1,19}+)"
        elif _FIXED.fullmatch(token):
            fields.append({"y": "year of 2000", "u": "year of 2000", "S": "fraction"}.get(token[0]) or _NAMES[token[0]])
            yield f"([0-9]{{{len(token)}}})"
        elif _OPEN.fullmatch(token):
            if is_before_number:
                raise UnknownFormat(f"'{token}{following}'")
            fields.append(_NAMES[token[0]])
            yield f"([0-9]{{{len(token)},19}}+)"
        elif re.fullmatch("X{1,5}|x{1,5}|Z{1,3}", token):
            fields.append("offset")
            utc, form = {"X": ("[Zz]", len(token)), "Z": (_UTC[2], 2)}.get(token[0]) or (_UTC[len(token)], len(token))
            yield f"((?>{utc}|{_OFFSETS[form]}))"  # Java does not backtrack after it has read UTC
        elif token in _ZONES:
            fields.append(_ZONE)
            yield "([A-Za-z][A-Za-z_/]*)"
        elif token[0].isalpha() or token in ("'", "{", "}", "#"):
            raise UnknownFormat(f"'{token}'")
        elif token == "[":
            depth += 1
            yield "(?>"  # Java does not backtrack into an optional part that has matched
        elif token == "]":
            depth -= 1
            if depth < 0:
                raise UnknownFormat("']' without '['")
            yield ")?+"
        else:
            literal = token[1:-1].replace("''", "'") if len(token) > 2 else token[0]
            yield f"(?i:{re.escape(literal)})"
    yield ")?+" * depth  # Java closes open optional parts at the end


def _fraction(written: str) -> tuple[str, int]:
    return "nanosecond", int(written.ljust(9, "0"))


def _offset(written: str) -> tuple[str, int]:
    """The offset in seconds east of Greenwich."""
    if written in "Zz":
        return "offset", 0
    digits = written[1:].replace(":", "").ljust(6, "0")
    size = int(digits[:2]) * 3600 + int(digits[2:4]) * 60 + int(digits[4:])
    is_right = int(digits[2:4]) < 60 and int(digits[4:]) < 60
    return "offset", (-size if written[0] == "-" else size) if is_right else 1_000_000


def _name_of_month(written: str) -> tuple[str, int]:
    return "month", 1 + [month[:_SHORT].lower() for month in MONTHS].index(written[:_SHORT].lower())


def _weekday(written: str) -> tuple[str, int]:
    return "weekday", [day[:_SHORT].lower() for day in WEEKDAYS].index(written[:_SHORT].lower())


_READERS: dict[str, Callable[[str], tuple[str, int]]] = {
    "name of month": _name_of_month,
    "weekday": _weekday,
    "half": lambda written: ("half", int(written.upper() == "PM")),
    "year of era": lambda written: ("year", int(written) or 1_000_000_000),
    "year of 2000": lambda written: ("year", 2000 + int(written)),
    "fraction": _fraction,
    "offset": _offset,
}


def _milliseconds(fields: dict[str, int]) -> int | None:
    """The time for some fields, or None if a field is out of range."""
    if any(value > _RANGES.get(name, 999_999_999) for name, value in fields.items()):
        return None
    year, month, day = fields.get("year", 1970), fields.get("month", 1), fields.get("day", 1)
    clock = [fields.get(name, 0) for name in ("hour", "minute", "second", "nanosecond")]
    if "half" in fields:
        if fields["hour of half"] < 1:
            return None
        hour = fields["hour of half"] % 12 + 12 * fields["half"]
        if fields.get("hour", hour) != hour:
            return None
        clock[0] = hour
    offset = fields.get("offset", 0)
    if month < 1 or day < 1 or abs(offset) > 18 * 3600 or (clock[0] == 24 and any(clock[1:])):
        return None
    # The calendar repeats every 400 years, and Python's calendar starts with year 1.
    cycles, like = divmod(year - 1, _CYCLE)
    last = calendar.monthrange(like + 1, month)[1]
    days = date(like + 1, month, min(day, last)).toordinal() - 719_163
    days += cycles * _CYCLE_DAYS
    if fields.get("weekday", (days + _THURSDAY) % 7) != (days + _THURSDAY) % 7:
        return None
    if not fields.keys() >= {"year", "month", "day"}:
        clock[0] %= 24  # without a date, there is no day to advance
    seconds = days * 86_400 + clock[0] * 3600 + clock[1] * 60 + clock[2] - offset
    milliseconds = seconds * 1000 + clock[3] // 1_000_000
    return milliseconds if -_MOST <= milliseconds < _MOST else None
