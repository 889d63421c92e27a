"""The DuckDB engine: one pass over the files (``archive_pass``), and then the results.

Threads compute the results. Their user can read one while the threads compute the others. Data beyond the limit of
``memory`` goes to disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa

from opensea_metrics.core.quoting import column as column_of
from opensea_metrics.core.quoting import quoted
from opensea_metrics.producer.archive.damage import Damage
from opensea_metrics.spark_batch import chunk_reading
from opensea_metrics.spark_batch.archive_pass import ArchivePass
from opensea_metrics.spark_batch.duckdb_ordered import DuckDbOrdered
from opensea_metrics.spark_batch.job import BatchJob, Counts, Progress, Table, counted
from opensea_metrics.spark_batch.lanes import Lanes
from opensea_metrics.spark_batch.ordered import OrderedQueries
from opensea_metrics.spark_batch.partial_groupings import (
    PartialGrouping,
    PartialGroupings,
    compute_part,
)
from opensea_metrics.spark_batch.prefetch import in_order
from opensea_metrics.spark_batch.staging import decoded_table, staged_table
from opensea_metrics.spark_batch.statement_runner import StatementRunner
from opensea_metrics.sql.language.catalog.catalog import Query
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering import selects as lowered
from opensea_metrics.sql.language.lowering.duckdb import selects
from opensea_metrics.sql.language.lowering.duckdb.stream_time import stream_time
from opensea_metrics.udfs import duckdb as duckdb_udfs

_PIECE = 100_000
"""Rows of results that later groupings read at a time. With more rows, lists exceed the share of a thread's memory from
which on DuckDB groups in twice the time."""
_LEAST_PIECE = 10_000
"""The least number of rows in a piece. A thread computes fewer rows in less time than their parts take to merge."""
_PIECES = 2
"""The number of pieces that are computed at the same time. The others often wait for a result with long lists."""
_RESULTS = 2
"""The number of results that are computed at the same time, each by one thread. Most have too few rows for two threads.
A result that is computed alone has them all. Each thread holds lists of its own of the rows at hand."""


@contextmanager
def computed(
    job: BatchJob, progress: Progress, opened: duckdb.DuckDBPyConnection | None = None
) -> Iterator[DuckDbResults]:
    """Compute a job's tables, in a database that may be ``opened`` already (``chunk_reading.opened``).

    Raises SqlError for statements that DuckDB cannot give exactly.
    """
    # Arrow's own allocator keeps about 100 MB that it no longer needs.
    pa.set_memory_pool(pa.system_memory_pool())
    compacted = [file for file in job.files if file.form == "parquet"]
    with chunk_reading.database(
        directories=job.source.folders(compacted), adjustable=("memory_limit", "threads"), opened=opened
    ) as (database, folder), ThreadPoolExecutor(_RESULTS) as pool:
        duckdb_udfs.register(database)
        results = DuckDbResults(database, job, folder, pool)
        try:
            results.compute(progress)
            yield results
        except BaseException:
            results.stop()
            raise


class DuckDbResults:
    """The results, in a database that is open as long as they are used. ``pool`` has the threads that compute them."""

    def __init__(
        self, database: duckdb.DuckDBPyConnection, job: BatchJob, folder: Path, pool: ThreadPoolExecutor
    ) -> None:
        self._database = database
        self._pool = pool
        self._waiting: dict[str, Future[None]] = {}
        self._folder = folder
        self._job = job
        self._pipeline = job.pipeline
        self._names = {
            query.id: f"result {query.id}"
            for query in (*job.pipeline.first, *job.pipeline.later)
        }
        self._counts = Counts()
        self._runner = StatementRunner(database, job.pipeline.is_ordered)
        self._ordered = OrderedQueries(DuckDbOrdered(database, self._runner, self._result), job.pipeline)
        self._lanes = Lanes(database)

    @property
    def counts(self) -> Counts:
        return self._counts

    def compute(self, progress: Progress) -> None:
        """Read the archive, and begin to compute all results. Called once."""
        all_parts = {query.id: PartialGroupings(self._database, self._runner, query) for query in self._pipeline.first}
        read: list[tuple[str | None, int, int]] = []
        damaged: dict[str, Damage] = {}
        archive = ArchivePass(self._job, self._runner, self._lanes, self._relation, self._folder)
        processors = self._runner.number(self._database, "SELECT current_setting('threads')")
        with closing(archive.taken(self._database, processors, progress)) as of_groups:
            for taken in of_groups:
                for query_id, part in taken.parts:
                    all_parts[query_id].add(part)
                for source, table in taken.inputs:
                    self._keep_input(source, table)
                read += taken.read
                damaged |= taken.damaged
        results = 1 if self._pipeline.is_ordered else min(_RESULTS, len(self._names) or 1)
        self._database.execute(f"SET threads = {max(1, min(processors, _RESULTS) // results)}")
        self._counts = counted(read, damaged, self._job.files)
        for query in self._pipeline.first:
            self._begin(query, partial(self._finish, all_parts[query.id]))
        for source in self._pipeline.inputs:
            self._ordered.keep_input(source, f"SELECT * FROM {_input(source)}")
            self._database.execute(f"DROP TABLE {_input(source)}")
        for query in self._pipeline.first:
            self._ordered.keep_history(query)
        for query in self._pipeline.later:
            self._begin(query, partial(self._compute_later, query))

    def stop(self) -> None:
        """Interrupt all that is computed. Nothing else begins."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._lanes.stop()

    def _begin(self, query: Query, work: Callable[[duckdb.DuckDBPyConnection], None]) -> None:
        """Compute a result beside the others. It is computed at once if the order of records matters."""
        if self._pipeline.is_ordered:
            work(self._database)
            return

        def in_thread() -> None:
            with self._lanes.lane() as lane:
                work(lane)

        self._waiting[query.id] = self._pool.submit(in_thread)

    def _compute_later(self, query: Query, connection: duckdb.DuckDBPyConnection) -> None:
        self._ordered.compute(query, self._relation, partial(self._group, connection))

    def _group(self, connection: duckdb.DuckDBPyConnection, query: Query, relation: str) -> None:
        """Compute a grouping from the rows of a relation."""
        parts = PartialGroupings(connection, self._runner, query)
        if self._pipeline.drops_late(query):
            placed = f"SELECT *, _part AS ROWPARTITION FROM ({relation})"
            time = stream_time(query.analysis, {})
            parts.add(compute_part(connection, self._runner, query, placed, "0", time))
            self._finish(parts, connection)
            return
        end = self._runner.number(connection, f"SELECT coalesce(max(_off), 0) + 1 FROM ({relation})")
        size = min(_PIECE, max(_LEAST_PIECE, -(-end // _PIECES)))

        def part(low: int) -> PartialGrouping:
            piece = f"SELECT * FROM ({relation}) WHERE _off >= {low} AND _off < {low + size}"
            with self._lanes.lane() as lane:
                return compute_part(lane, self._runner, query, piece, str(low))

        with ThreadPoolExecutor(_PIECES) as pool:
            for computed_part in in_order(pool, part, range(0, end, size), _PIECES):
                parts.add(computed_part)
        self._finish(parts, connection)

    def _keep_input(self, source: Source, part: str) -> None:
        """Add a table of a stream's records to those before it."""
        for statement in (
            f"CREATE TABLE IF NOT EXISTS {_input(source)} AS SELECT * FROM {part} LIMIT 0",
            f"INSERT INTO {_input(source)} SELECT * FROM {part}",
            f"DROP TABLE {part}",
        ):
            self._runner.enough(partial(self._database.execute, statement))

    def table(self, name: str) -> Table:
        source = self._pipeline.catalog.sources[name]
        rows = self._job.chosen(source, self._relation(source))
        listed = lowered.listed(selects.SYNTAX, source, rows)
        self._runner.register(listed)
        result = self._database.sql(listed)
        if order := lowered.order(source):
            result = result.order(", ".join(map(column_of, order)))
        rows = result.to_arrow_reader(50_000)
        return Table.of_engine(name, rows.schema, iter(rows))

    def _finish(self, parts: PartialGroupings, connection: duckdb.DuckDBPyConnection) -> None:
        kept, window = "", parts.query.analysis.window
        if window and (self._pipeline.is_ordered or parts.query in self._pipeline.first):
            kept = f"WHERE {self._job.period.holds(window)}"
        parts.finish(connection, self._names[parts.query.id], kept)

    def _result(self, query: Query) -> str:
        return quoted(self._names[query.id])

    def _relation(self, source: Source) -> str:
        """A source's rows, from staged records or from results. Waits for these results.

        The condition for records that are used is here. Applied earlier, it would make DuckDB decode them twice.
        """
        parts = []
        if source.topic == self._pipeline.raw_topic:
            parts.append(f"SELECT * FROM {decoded_table(source)} WHERE {self._job.readable}")
        for query in self._pipeline.writers(source.topic):
            bounds = ["WINDOWSTART", "WINDOWEND"] if query.analysis.window else []
            names = [*(column.name for column in query.analysis.columns), *bounds]
            if selected := self._ordered.final(query):
                rows = selected
            elif query.id in self._names:
                if waiting := self._waiting.get(query.id):
                    waiting.result()  # threads take results in their order, so this one has begun
                rows = f"SELECT * FROM {self._result(query)}"
            elif query in self._pipeline.selections:
                rows = f"SELECT * FROM {staged_table(query)} WHERE {self._job.readable}"
            else:
                rows = selects.rows(query.analysis, self._relation(query.analysis.source))
            parts.append(selects.as_source(source, rows, names))
        return " UNION ALL ".join(parts)


def _input(source: Source) -> str:
    """The table of a stream's records whose order matters."""
    return quoted(f"records {source.name}")
