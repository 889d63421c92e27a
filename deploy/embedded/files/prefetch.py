"""Computes items in a thread before they are needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_MOST = 3
"""Items that wait to be used, so that neither side often waits for the other."""

Item = TypeVar("Item")


def prefetched(items: Iterator[Item]) -> Iterator[Item]:
    """The items of an iterator. A thread computes the next ones while an item is used.

    The thread ends with the iterator, or when the result is closed. Errors of the iterator are raised here.
    """
    nothing = object()
    with ThreadPoolExecutor(1, "prefetch") as pool:
        waiting = deque(pool.submit(next, items, nothing) for _ in range(_MOST))
        try:
            while (item := waiting.popleft().result()) is not nothing:
                waiting.append(pool.submit(next, items, nothing))
                yield item  # type: ignore[misc]
        finally:
            for future in waiting:
                future.cancel()
