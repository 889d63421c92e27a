"""Finds text that DuckDB accepts as JSON and ksqlDB does not: a comma before ``}`` or ``]``, and ``NaN``.

ksqlDB 7.9.1 drops records with such text. It also drops records with ``Infinity`` or a lower-case ``nan`` in a field
that no column reads. This module does not search for these, because that would slow down all reading by some
percent. numpy searches the text of many lines at once. A regular expression takes five times as long, and then
reading takes 7 % more CPU time (ten paired runs, tests/bench/line_search.py).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
PATTERN = r",\s*[}\]]|NaN"
"""A regular expression (RE2) that matches in each such text."""
_MOST_BLANKS = 64
"""The largest number of blanks between a comma and a bracket that the search skips."""


def places(text: Bytes) -> npt.NDArray[np.intp]:
    """The positions of text that may be malformed. Some positions may be inside a JSON string."""
    return np.concatenate([_commas(text), _not_a_number(text)])


def _commas(text: Bytes) -> npt.NDArray[np.intp]:
    """The positions of brackets after a comma, possibly with blanks between them."""
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
    """The positions of ``NaN``, recognised by N, a and N."""
    if len(text) < 3:
        return np.zeros(0, np.intp)
    first = text ^ ord("N")
    both = first[:-2] | first[2:]
    if both.min():
        return np.zeros(0, np.intp)
    at = np.flatnonzero(both == 0)
    places: npt.NDArray[np.intp] = at[text[at + 1] == ord("a")]
    return places
