"""The connections of a DuckDB database that threads use, and how they are stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager

import duckdb


class Lanes:
    """Connections of a database, each for one thread. Their queries can be interrupted."""

    def __init__(self, database: duckdb.DuckDBPyConnection) -> None:
        self._database = database
        self._open: set[duckdb.DuckDBPyConnection] = set()
        self._stopped = False

    @contextmanager
    def lane(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for one thread. Its queries can be interrupted as long as it is open.

        Raises CancelledError if the lanes were stopped before the connection was open.
        """
        with self._database.cursor() as lane:
            self._open.add(lane)
            try:
                if self._stopped:
                    raise CancelledError
                yield lane
            finally:
                self._open.discard(lane)

    def stop(self) -> None:
        """Interrupt all queries, and wait until they have ended. Nothing else begins."""
        self._stopped = True
        while self._open:  # repeated, because a lane may have been between two queries
            for lane in self._open.copy():
                lane.interrupt()
            time.sleep(0.01)
