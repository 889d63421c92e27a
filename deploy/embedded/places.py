"""How many queries and insert streams may be open at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from deploy.embedded.denials import Refusal


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


class Places:
    """Counts what is open, of at most ``most``. For one thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0

    def take(self) -> None:
        """Take a place. Raises Full."""
        if self._taken >= self._most:
            raise Full(self._most)
        self._taken += 1

    def leave(self) -> None:
        """Give a place back."""
        self._taken -= 1

    @contextmanager
    def one(self) -> Iterator[None]:
        """Have a place while this lasts. Raises Full."""
        self.take()
        try:
            yield
        finally:
            self.leave()
