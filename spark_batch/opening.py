"""Opens the database of a recompute on DuckDB while the statements are read."""

from __future__ import annotations

from concurrent.futures import Future
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # takes as long to import as the statements to read
    import duckdb

ENGINE = "opensea_metrics.spark_batch.duckdb_engine"


class Opening:
    """A database that a thread opens, after it has imported the engine's modules. It is for one run."""

    def __init__(self) -> None:
        self._future: Future[duckdb.DuckDBPyConnection] | None = Future()
        Thread(target=self._open, args=(self._future,), daemon=True).start()

    def taken(self) -> duckdb.DuckDBPyConnection | None:
        """The database at the first call, and then None. Waits for the thread, and raises what it has raised."""
        future, self._future = self._future, None
        return future.result() if future else None

    @staticmethod
    def _open(future: Future[duckdb.DuckDBPyConnection]) -> None:
        try:
            import_module(ENGINE)
            future.set_result(import_module("opensea_metrics.spark_batch.chunk_reading").opened())
        except BaseException as error:
            future.set_exception(error)
