"""Remembers recent events, in bounded memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from mmap import mmap

_SLOTS = 2**21
_MASK = _SLOTS - 1
_MOST = _SLOTS * 7 // 10
"""The most entries of a table. In a fuller hash table, a look-up takes long."""
_WORD = 2**64 - 1


class Recent:
    """Remembers each identity for ``seconds`` to twice as long, but at most the last 1.4 to 2.9 million identities.

    There are two hash tables of 64-bit fingerprints (16 MiB each). New fingerprints go into the younger table. When
    this table is full, or after ``seconds``, it becomes the older one. A fingerprint is Python's hash of the identity.
    Each process has its own key for hashes, so no sender can cause a collision. Among 2.9 million fingerprints, one of
    6 × 10¹² look-ups finds that of another identity by chance.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._young, self._old = _table(), _table()
        self._count = 0
        self._turn = clock() + seconds

    def seen(self, identity: Hashable) -> bool:
        """Whether the identity was seen recently. Remembers the identity."""
        now = self._clock()
        if now >= self._turn or self._count >= _MOST:
            self._turn_over(now)
        mark = hash(identity) & _WORD or 1  # 0 marks a free slot
        first = mark & _MASK
        # Most identities are new, and their first slot is free. Only the others need a function call.
        if self._old[first] and self._old[_slot(self._old, mark)]:
            return True
        young = self._young
        slot = _slot(young, mark) if young[first] else first
        if young[slot]:
            return True
        young[slot] = mark
        self._count += 1
        return False

    def _turn_over(self, now: float) -> None:
        # After a long silence, the entries of the younger table have expired, too.
        self._old = self._young if now < self._turn + self._seconds else _table()
        self._young = _table()
        self._count = 0
        self._turn = now + self._seconds


def _slot(table: memoryview, mark: int) -> int:
    """The slot of a fingerprint, or the free slot where it belongs."""
    slot = mark & _MASK
    while (entry := table[slot]) and entry != mark:
        slot = (slot + 1) & _MASK
    return slot


def _table() -> memoryview:
    """A table of zeros. The system gives memory to a slot when it is first used."""
    return memoryview(mmap(-1, _SLOTS * 8)).cast("Q")
