"""Text that DuckDB accepts as JSON and ksqlDB does not: a comma before ``}`` or ``]``, and ``NaN``.

A ksqlDB 7.9.1 drops records with such text. It also drops records with ``Infinity``, or ``nan`` in small letters,
in a field that no column reads; a search for these would slow down all reading by some percent. numpy searches
the text of many lines at once. With a regular expression, the search takes five times as long and reading takes
7 % more CPU time (ten paired runs, tests/bench/line_search.py).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
PATTERN = r",\s*[}\]]|NaN"
"""A regular expression (RE2) that is in each such text."""
_MOST_BLANKS = 64
"""Blanks between a comma and a bracket that are looked at."""


def places(text: Bytes) -> npt.NDArray[np.intp]:
    """Where there may be such a thing: in JSON, or in a text in it."""
    return np.concatenate([_commas(text), _not_a_number(text)])


def _commas(text: Bytes) -> npt.NDArray[np.intp]:
    """Brackets with a comma before them, maybe before blanks."""
    if len(text) < 2:
        return np.zeros(0, np.intp)
    # A comma, a blank, a tab and a carriage return have none of these bits. Few other characters have none.
    before = text & 0xD2
    bracket = text & 0xDF
    bracket ^= ord("]")
    before[:-1] |= bracket[1:]
    if before[:-1].min():
        return np.zeros(0, np.intp)
    at = np.flatnonzero(before[:-1] == 0)
    for _ in range(_MOST_BLANKS):
        is_blank = np.isin(text[at], (0x20, 0x09, 0x0A, 0x0D)) & (at > 0)
        if not is_blank.any():
            break
        at = np.where(is_blank, at - 1, at)
    else:
        return at[np.isin(text[at], (0x20, 0x09, 0x0A, 0x0D, ord(",")))]
    commas: npt.NDArray[np.intp] = at[text[at] == ord(",")]
    return commas


def _not_a_number(text: Bytes) -> npt.NDArray[np.intp]:
    """Where there is ``NaN``, by its letters N and a."""
    if len(text) < 3:
        return np.zeros(0, np.intp)
    first = text ^ ord("N")
    both = first[:-2] | first[2:]
    if both.min():
        return np.zeros(0, np.intp)
    at = np.flatnonzero(both == 0)
    places: npt.NDArray[np.intp] = at[text[at + 1] == ord("a")]
    return places
