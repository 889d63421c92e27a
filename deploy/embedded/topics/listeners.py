"""Callbacks that are called when a topic has new records."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

Wake = Callable[[], object]


class Listeners:
    """Calls the callbacks of a topic when records have arrived, so that clients need not poll.

    Any thread may use it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_topic: dict[str, list[Wake]] = {}

    @contextmanager
    def listening(self, topic: str, wake: Wake) -> Iterator[None]:
        """Within this context, ``wake`` is called when a topic may have new records."""
        with self._lock:
            self._by_topic.setdefault(topic, []).append(wake)
        try:
            yield
        finally:
            with self._lock:
                self._by_topic[topic].remove(wake)
                if not self._by_topic[topic]:
                    del self._by_topic[topic]

    def topics(self) -> set[str]:
        """The topics with at least one callback."""
        with self._lock:
            return set(self._by_topic)

    def wake(self, topics: Iterable[str]) -> None:
        """Call the callbacks of the topics."""
        with self._lock:
            waiting = [wake for topic in topics for wake in self._by_topic.get(topic, ())]
        for wake in waiting:
            wake()
