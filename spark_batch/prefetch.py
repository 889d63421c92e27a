"""Runs work in threads before its results are needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

_AT_ONCE = 2

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(makers: Iterator[Callable[[], Iterator[Item]]]) -> Iterator[Item]:
    """The items of several iterators, one after the other.

    Threads compute the first item of the next iterators while the items before are used.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        waiting: list[Future[tuple[list[Item], Iterator[Item]]]] = []

        def begin(count: int) -> None:
            waiting.extend(pool.submit(_begun, make) for make in islice(makers, count))

        begin(_AT_ONCE)
        while waiting:
            first, rest = waiting.pop(0).result()
            begin(1)
            yield from first
            yield from rest


def in_order(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item], most: int
) -> Iterator[Result]:
    """The results of work on items, in the items' order. At most ``most`` results wait to be used."""
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _begun(make: Callable[[], Iterator[Item]]) -> tuple[list[Item], Iterator[Item]]:
    items = make()
    return list(islice(items, 1)), items
