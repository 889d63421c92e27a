"""Memory for blocks of text that is used again and again."""

from __future__ import annotations

import weakref


class Buffers:
    """Buffers of one size. A buffer is free again when nothing refers to its text any more.

    The system clears new memory page by page when a program first writes to it. For text that is used once, this
    takes longer than to copy it into memory that is used again (``tests/bench/line_blocks.py``).
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._free: list[bytearray] = []

    def take(self, size: int) -> memoryview:
        """A buffer for at least ``size`` bytes, with any content. It is in use until this view is deleted.

        Arrow keeps the view of a buffer that it is given, so an array's text stays as it is. Slices of the view do not
        keep it.
        """
        if size > self._size:
            return memoryview(bytearray(size))
        try:
            buffer = self._free.pop()
        except IndexError:
            buffer = bytearray(self._size)
        view = memoryview(buffer)
        weakref.finalize(view, self._free.append, buffer).atexit = False
        return view
