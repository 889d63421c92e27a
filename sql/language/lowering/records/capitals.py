"""Finds lines with names that DuckDB may read differently from ksqlDB, and lines that are not valid JSON.

In these lines, a name has a capital letter where the declared name, as records write it, has none. Or DuckDB accepts
them as JSON but ksqlDB does not (``sql.language.lowering.records.malformed``).

The text of many lines is searched as a whole, with one bit for each byte. A search of each name in each line
would take longer than DuckDB takes to read the JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from opensea_metrics.sql.language.lowering.records import malformed
from opensea_metrics.sql.language.lowering.records.malformed import Bytes

BLOCK = 512 * 1024
"""The bytes of text that are searched at a time. More would not stay in a processor's cache."""
_WORD = 8
_BITS = 64
_LOWER = np.uint64(0x2020202020202020)
_HIGH = np.uint64(0x8080808080808080)
_ONES = np.uint64(0x0101010101010101)
_BACKSLASH = np.uint64(0x5C5C5C5C5C5C5C5C)
_QUOTE = 0x22


class Capitals:
    """Finds lines that may spell a lower-case name differently, and lines that may not be valid JSON for
    ksqlDB.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._upper = {name.upper() for name in names}
        self._reach = -(-max((6 * len(name) for name in names), default=0) // _BITS)
        """The number of further 64-bit words that a name may extend into if all its letters are escapes."""
        self._ends: dict[int, list[np.uint64]] = {}
        """The last bytes of names by their number. A short name includes the quote before it."""
        for name in names:
            end = (b'"' + name.encode())[-_WORD:] if len(name) < _WORD else name.encode()[-_WORD:]
            lower = np.uint64(int.from_bytes(bytes(byte | 0x20 for byte in end), "little"))
            self._ends.setdefault(len(end), []).append(lower)

    def of(self, lines: pa.LargeStringArray) -> npt.NDArray[np.bool_]:
        """A flag for each line, which is True if the line may differ."""
        if not len(lines):
            return np.zeros(len(lines), np.bool_)
        _, starts, text = lines.buffers()
        begin = lines.offset
        return self.lines(
            np.frombuffer(text, np.uint8), np.frombuffer(starts, np.int64)[begin : begin + len(lines) + 1]
        )

    def lines(self, text: Bytes, starts: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """A flag for each line. ``starts`` are the offsets of the lines in a text, and the end of the last line."""
        count = len(starts) - 1
        marked = np.zeros(count, np.bool_)
        first = 0
        while first < count:
            last = int(np.searchsorted(starts, starts[first] + BLOCK, side="right")) - 1
            last = max(first + 1, last)
            places = self._places(text[starts[first] : starts[last]])
            if len(places):
                marked[np.searchsorted(starts, places + starts[first], side="right") - 1] = True
            first = last
        return marked

    def _places(self, text: Bytes) -> npt.NDArray[np.intp]:
        """The positions of quotes that end names in another spelling, and of text that may not be JSON."""
        wrong = malformed.places(text)
        names = self._names(text) if self._ends else wrong[:0]
        return np.concatenate([wrong, names]) if len(wrong) else names

    def _names(self, text: Bytes) -> npt.NDArray[np.intp]:
        """The positions of quotes that end names in another spelling."""
        ends = _marked_ends(text, self._reach)
        if not len(ends):
            return ends
        last, before = _word_before(text, ends), _word_before(text, ends - _WORD)
        lower = last | _LOWER
        is_name = _has_backslash(last) | _has_backslash(before)
        for count, names in self._ends.items():
            is_name |= np.isin(lower >> np.uint64(_BITS - 8 * count), names)
        for at in np.flatnonzero(~is_name & ((last & _HIGH) != 0)):
            # Only a few letters beyond ASCII have an ASCII letter as their upper case.
            name = bytes(text[: ends[at]]).rpartition(b'"')[2]
            is_name[at] = name.decode("utf-8", "replace").upper() in self._upper
        return ends[is_name]


@lru_cache(maxsize=100)
def capitals(names: tuple[str, ...]) -> Capitals:
    """The searcher for some names. It is cached."""
    return Capitals(names)


def _marked_ends(text: Bytes, reach: int) -> npt.NDArray[np.intp]:
    """The positions of quotes that end a name with a capital, a backslash, or part of a letter beyond ASCII.

    A colon follows such a quote, possibly after blanks. The byte is between the quote and the quote before it.
    """
    room = _room(len(text))
    used = room[: len(text)]
    room[len(text) :] = 0
    np.bitwise_xor(text, _QUOTE, out=used)
    inside = _nonzero(room)
    # After adding 1, the bit 0x20 is missing in capitals, backslashes, and one byte of each relevant letter.
    # Small letters, digits and the underscore have the bit.
    np.add(text, 1, out=used)
    np.bitwise_and(used, 0x20, out=used)
    marked = inside & ~_nonzero(room)
    # In these bits, a colon and blanks are less than 0x24. Other bytes that may follow a text are not.
    np.bitwise_and(text, 0x64, out=used)
    np.less(used.view(np.int8), 0x24, out=used.view(np.bool_))
    after = _nonzero(room)
    # A bit that is added to a text's ones carries over to the quote after the text.
    carried = inside + marked
    carry = (carried < inside)[:-1]
    for _ in range(reach):
        carried[1:] += carry
        overflowed = carry & (carried[1:] == 0)
        carry[:1] = False
        carry[1:] = overflowed[:-1]
    following = after >> np.uint64(1)
    following[:-1] |= after[1:] << np.uint64(_BITS - 1)
    ends = carried & ~inside & following
    words = np.flatnonzero(ends != 0)
    bits = np.unpackbits(ends[words].view(np.uint8), bitorder="little").reshape(-1, _BITS)
    rows, columns = np.nonzero(bits)
    return words[rows] * _BITS + columns


def _room(size: int) -> Bytes:
    """Memory for ``size`` bytes, rounded up to whole 64-bit words."""
    return np.empty(-(-size // _BITS) * _BITS, np.uint8)


def _nonzero(room: Bytes) -> npt.NDArray[np.uint64]:
    """One bit for each byte. It is 1 if the byte is not 0."""
    return np.packbits(room, bitorder="little").view(np.uint64)


def _word_before(text: Bytes, places: npt.NDArray[np.intp]) -> npt.NDArray[np.uint64]:
    """The eight bytes before each place, with the last one in the highest bits. Bytes before the text are 0."""
    if len(text) < _WORD:
        text = np.concatenate([text, np.zeros(_WORD, np.uint8)])
    every = np.ndarray(len(text) - _WORD + 1, np.uint64, text, strides=(1,))
    starts = np.maximum(places - _WORD, 0)
    missing = np.clip(starts - places + _WORD, 0, _WORD).astype(np.uint64)
    words = every[starts]
    # A shift by the full width of a word would leave the word unchanged.
    shifted = words << (np.uint64(8) * np.minimum(missing, np.uint64(_WORD - 1)))
    return np.where(missing == _WORD, np.uint64(0), shifted)


def _has_backslash(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    zero = words ^ _BACKSLASH
    result: npt.NDArray[np.bool_] = ((zero - _ONES) & ~zero & _HIGH) != 0
    return result
