"""The memory of a DuckDB database: little at first, and more if a query needs it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TypeVar

import duckdb

from opensea_metrics.core.errors import OpenSeaMetricsError

_LEAST = 350_000_000
"""Bytes. Data beyond that goes to disk, except the state of aggregates for the current groups."""

Item = TypeVar("Item")


class MemoryExhausted(OpenSeaMetricsError):
    """A query needs more memory than there is."""


class Memory:
    """The memory that a database may use. Safe for use in several threads."""

    def __init__(self, database: duckdb.DuckDBPyConnection) -> None:
        self._database = database
        self._lock = Lock()
        # DuckDB's own limit: four fifths of the memory of the machine or the container.
        asked = database.execute("SELECT parse_formatted_bytes(current_setting('memory_limit'))")
        self._most = int(asked.fetchall()[0][0])
        self._limit = 0
        self._set(min(_LEAST, self._most))

    def enough(self, query: Callable[[], Item]) -> Item:
        """The result of a query. A query that lacks memory is repeated with twice the memory.

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
                            " here: compute a shorter period, or use --engine spark"
                        ) from error
                    if self._limit == limit:  # otherwise another thread raised the limit already
                        self._set(min(2 * limit, self._most))

    def _set(self, limit: int) -> None:
        with self._database.cursor() as connection:  # the database's own connection may be busy with a query
            connection.execute(f"SET GLOBAL memory_limit = '{limit}B'")
        self._limit = limit
