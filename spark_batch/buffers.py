"""Memory that is used again."""

from __future__ import annotations

import weakref


class Buffers:
    """Buffers of one size, each taken again once nobody refers to what is in it.

    New memory has to be cleared by the system, page by page, when it is first written to: for text that
    is used once this takes longer than to unpack it.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._free: list[bytearray] = []

    def take(self, size: int) -> memoryview:
        """A buffer with room for ``size`` bytes, what is in it being anything. It is in use as long as
        this object is; a slice of it does not count."""
        if size > self._size:
            return memoryview(bytearray(size))
        try:
            buffer = self._free.pop()
        except IndexError:
            buffer = bytearray(self._size)
        view = memoryview(buffer)
        weakref.finalize(view, self._free.append, buffer).atexit = False
        return view
