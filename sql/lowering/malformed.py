"""Text that DuckDB takes for JSON and ksqlDB does not: a comma before ``}`` or ``]``, ``NaN`` and ``Infinity``.

The text of many lines is searched as a whole, byte by byte with numpy: a regular expression takes ten times as
long. A ksqlDB 7.9.1 drops records with any of these.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sql.lowering.scratch import Bytes, scratch

PATTERN = r",\s*[}\]]|[:,\[\s-](?i:nan|inf)"
"""A regular expression (RE2) that is in each such text."""
_MOST_BLANKS = 64
"""Blanks between a comma and a bracket that are looked at."""
_WORDS = (b"NaN", b"Infinity")


def places(text: Bytes) -> npt.NDArray[np.intp]:
    """Where there may be such a thing: in JSON, or in a text in it."""
    return np.concatenate([_commas(text), *(_words(text, word) for word in _WORDS)])


def _commas(text: Bytes) -> npt.NDArray[np.intp]:
    """Brackets with a comma before them, maybe before blanks."""
    if len(text) < 2:
        return np.zeros(0, np.intp)
    before, bracket = scratch(len(text), 0), scratch(len(text), 1)
    # A comma, a blank, a tab and a carriage return have none of these bits. Few other characters have none.
    np.bitwise_and(text, 0xD2, out=before)
    np.bitwise_and(text, 0xDF, out=bracket)
    np.bitwise_xor(bracket, ord("]"), out=bracket)
    np.bitwise_or(before[:-1], bracket[1:], out=before[:-1])
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
    return at[text[at] == ord(",")]


def _words(text: Bytes, word: bytes) -> npt.NDArray[np.intp]:
    """Where a word stands, by its first, second and last letters."""
    reach = len(word) - 1
    count = len(text) - reach
    if count < 1:
        return np.zeros(0, np.intp)
    first = scratch(len(text), 0)
    np.bitwise_xor(text, word[0], out=first)
    last = first[reach:]
    if word[-1] != word[0]:
        last = scratch(len(text), 1)[:count]
        np.bitwise_xor(text[reach:], word[-1], out=last)
    both = scratch(len(text), 2)[:count]
    np.bitwise_or(first[:count], last, out=both)
    if both.min():
        return np.zeros(0, np.intp)
    at = np.flatnonzero(both == 0)
    return at[text[at + 1] == word[1]]
