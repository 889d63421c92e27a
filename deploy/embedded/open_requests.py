"""The queries and insert streams that are open, and how many may be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from opensea_metrics.deploy.embedded.denials import Refusal


class Full(Exception):
    """As many are open as may be."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.refusal = Refusal(
            429,
            42900,
            f"This server has {most:,} open queries and insert streams, which is its limit. Close some,"
            " for example by POST /close-query, and try again",
        )


End = Callable[[], None]
"""Makes what is open come to its end soon."""


class OpenRequests:
    """What is open, at most ``most`` at a time. For one thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: list[End] = []

    def take(self, end: End) -> None:
        """Take a place for something that ``end`` ends. Raises Full."""
        if len(self._open) >= self._most:
            raise Full(self._most)
        self._open.append(end)

    def leave(self, end: End) -> None:
        """Give a place back."""
        self._open.remove(end)

    def end_all(self) -> None:
        """Make all that is open come to its end, as the server stops."""
        for end in list(self._open):
            end()

    @contextmanager
    def one(self, end: End) -> Iterator[None]:
        """Have a place while this lasts. Raises Full."""
        self.take(end)
        try:
            yield
        finally:
            self.leave(end)
