"""PARSE_DATE: dates in texts, as Java's lenient SimpleDateFormat reads them.

Blanks before a part and text after the date are ignored. February 31 is March 3, and a wrong weekday is
ignored (observed on 7.9.1).
"""

from __future__ import annotations

import re
import time
from datetime import date
from functools import lru_cache

from opensea_metrics.sql.language.values.timestamp_formats import MONTHS, WEEKDAYS, UnknownFormat
from opensea_metrics.udfs.api import udf

_TOKEN = re.compile(r"'(?:[^']|'')*'|([A-Za-z])\1*|.", re.DOTALL)
_NUMBER = re.compile(r"y+|M{1,2}|d+|D+")
_GREGORIAN_FROM = 1583
_CYCLE_YEARS, _CYCLE_DAYS = 400, 146_097
_TO_1970 = date(1970, 1, 1).toordinal()


@lru_cache(maxsize=200)
def _form(pattern: str) -> tuple[re.Pattern[str], tuple[str, ...]]:
    """A regular expression of a pattern, and what its groups stand for. Raises UnknownFormat."""
    fields: list[str] = []
    expression = ""
    tokens = [match[0] for match in _TOKEN.finditer(pattern)]
    for token, following in zip(tokens, [*tokens[1:], ""], strict=True):
        if _NUMBER.fullmatch(token):
            fields.append(token)
            is_before_number = bool(_NUMBER.fullmatch(following))
            expression += rf"[ \t]*([0-9]{{{len(token)}}})" if is_before_number else r"[ \t]*(-?[0-9]{1,9})(?![0-9])"
        elif token[0] == "M":
            fields.append("MMM")
            expression += rf"[ \t]*((?i:{'|'.join([*MONTHS, *(month[:3] for month in MONTHS)])}))"
        elif token[0] == "E":
            expression += rf"[ \t]*(?i:{'|'.join([*WEEKDAYS, *(day[:3] for day in WEEKDAYS)])})"
        elif token[0].isalpha() or token == "'":
            raise UnknownFormat(f"'{token}'")
        else:
            literal = token[1:-1].replace("''", "'") if len(token) > 2 else token[0]
            expression += re.escape(literal)
    return re.compile(expression, re.DOTALL), tuple(fields)


def check(pattern: str) -> None:
    """Raises UnknownFormat for a pattern that this module does not support."""
    _form(pattern)


@udf(name="ksql_parse_date")
def parse_date(text: str, pattern: str) -> int | None:
    """The date at the start of a text, in days since 1970. NULL if the text does not match the pattern."""
    expression, names = _form(pattern)
    match = expression.match(text)
    if match is None:
        return None
    year, month, day, day_of_year = 1970, 1, 1, None
    for name, written in zip(names, match.groups(), strict=True):
        if name == "MMM":
            month = 1 + [known[:3].lower() for known in MONTHS].index(written[:3].lower())
        elif name[0] == "y":
            year = _year(name, written)
        elif name[0] == "M":
            month = int(written)
        elif name[0] == "d":
            day, day_of_year = int(written), None
        else:
            day_of_year = int(written)
    if year < _GREGORIAN_FROM:
        raise ValueError(f"the year {year} is of the Julian calendar in Java")
    if day_of_year is not None:
        month, day = 1, day_of_year
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    cycles, like = divmod(year - 1, _CYCLE_YEARS)
    return date(like + 1, month, 1).toordinal() + cycles * _CYCLE_DAYS - _TO_1970 + day - 1


def _year(name: str, written: str) -> int:
    """A year of two digits is one of the last 80 years or of the next 20."""
    if len(name) > 2 or len(written) != 2:
        return int(written)
    this_year = time.gmtime().tm_year
    year = (this_year - 80) // 100 * 100 + int(written)
    return year if year >= this_year - 80 else year + 100
