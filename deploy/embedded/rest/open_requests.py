"""The open queries and insert streams, and the limit on their number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from opensea_metrics.deploy.embedded.rest.denials import Refusal


class Full(Exception):
    """The limit on open queries and insert streams is reached."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.refusal = Refusal(
            429,
            42900,
            f"This server has {most:,} open queries and insert streams, which is its limit. Close some,"
            " for example by POST /close-query, and try again",
        )


End = Callable[[], None]
"""Makes an open request end soon."""


class OpenRequests:
    """The open requests, at most ``most`` at a time. Only one thread may use it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: list[End] = []

    def take(self, end: End) -> None:
        """Add a request, which ``end`` ends. Raises Full."""
        if len(self._open) >= self._most:
            raise Full(self._most)
        self._open.append(end)

    def leave(self, end: End) -> None:
        """Remove a request."""
        self._open.remove(end)

    def end_all(self) -> None:
        """Make all open requests end, because the server is stopping."""
        for end in list(self._open):
            end()

    @contextmanager
    def one(self, end: End) -> Iterator[None]:
        """Count a request as open within this context. Raises Full."""
        self.take(end)
        try:
            yield
        finally:
            self.leave(end)
