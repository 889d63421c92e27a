"""Who waits for new records of which topic."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

Wake = Callable[[], object]


class Listeners:
    """Called when records have come, from any thread; so that nobody has to look again and again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_topic: dict[str, list[Wake]] = {}

    @contextmanager
    def listening(self, topic: str, wake: Wake) -> Iterator[None]:
        """While this lasts, ``wake`` is called when there may be new records of a topic."""
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
        """The topics that somebody waits for."""
        with self._lock:
            return set(self._by_topic)

    def wake(self, topics: Iterable[str]) -> None:
        """Tell those who wait for one of the topics."""
        with self._lock:
            waiting = [wake for topic in topics for wake in self._by_topic.get(topic, ())]
        for wake in waiting:
            wake()
