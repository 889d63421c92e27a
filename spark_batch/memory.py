"""The memory of a DuckDB: little, and more where a query does not get by with it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TypeVar

import duckdb

from opensea_metrics.core.errors import OpenSeaMetricsError

_LEAST = 300_000_000
"""Bytes. What does not fit goes to disk, but for what aggregates hold of the groups at hand."""

Item = TypeVar("Item")


class MemoryExhausted(OpenSeaMetricsError):
    """Raised if a query needs more memory than there is."""


class Memory:
    """How much a database may use. For any thread."""

    def __init__(self, database: duckdb.DuckDBPyConnection) -> None:
        self._database = database
        self._lock = Lock()
        # DuckDB's own limit: four fifths of what the machine or the container has.
        asked = database.execute("SELECT parse_formatted_bytes(current_setting('memory_limit'))")
        self._most = int(asked.fetchall()[0][0])
        self._limit = 0
        self._set(min(_LEAST, self._most))

    def enough(self, query: Callable[[], Item]) -> Item:
        """What a query gives; it is repeated with twice the memory as long as it lacks some.

        Raises MemoryExhausted.
        """
        while True:
            limit = self._limit
            try:
                return query()
            except duckdb.OutOfMemoryException as error:
                with self._lock:
                    if limit >= self._most:
                        raise MemoryExhausted(
                            f"DuckDB needs more than the {self._most / 1e9:.1f} GB of memory that it may use"
                            " here: compute a shorter period, or with --engine spark"
                        ) from error
                    if self._limit == limit:  # else another thread has seen to it
                        self._set(min(2 * limit, self._most))

    def _set(self, limit: int) -> None:
        with self._database.cursor() as connection:  # the database's own may be at a query
            connection.execute(f"SET GLOBAL memory_limit = '{limit}B'")
        self._limit = limit
