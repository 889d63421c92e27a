"""The DuckDB engine: one pass over the files, in lanes. A lane takes one group of files at a time.

A lane decodes a group in chunks. It keeps only the needed columns of a chunk, until the groupings have computed
their parts from it. So memory holds one chunk per lane and the parts, whatever the archive's size. Data beyond the
limit of ``memory`` goes to disk.

After the pass, threads compute the results. Their user can read one while the threads compute the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa

from opensea_metrics.core.quoting import column as column_of
from opensea_metrics.core.quoting import quoted
from opensea_metrics.producer.archive.damage import Damage
from opensea_metrics.producer.archive.layout import ArchiveFile
from opensea_metrics.spark_batch import chunks, staging
from opensea_metrics.spark_batch.chunks import Attempts, Chunk
from opensea_metrics.spark_batch.duckdb_ordered import DuckDbOrdered
from opensea_metrics.spark_batch.groups import for_lanes
from opensea_metrics.spark_batch.job import BatchJob, Counts, Progress, Table, adding_up, counted
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

_LANES = 4
"""The most lanes. Each needs about 30 MB."""
_LEAST = 8 * 1024 * 1024
"""The least packed bytes in a group, so that planning its statements takes little time."""
_PIECE = 100_000
"""Rows of results that later groupings read at a time. With more rows, lists exceed the share of a thread's memory from
which on DuckDB groups in twice the time."""
_RESULTS = 2
"""The number of results that are computed at the same time, each by one thread. Most have too few rows for two threads.
A result that is computed alone has them all. Each thread holds lists of its own of the rows at hand."""


@contextmanager
def computed(job: BatchJob, progress: Progress) -> Iterator[DuckDbResults]:
    """Compute a job's tables. Raises SqlError for statements that DuckDB cannot give exactly."""
    # Arrow's own allocator keeps about 100 MB that it no longer needs.
    pa.set_memory_pool(pa.system_memory_pool())
    compacted = [file for file in job.files if file.form == "parquet"]
    with chunks.database(
        directories=job.source.folders(compacted), adjustable=("memory_limit", "threads")
    ) as (database, folder), ThreadPoolExecutor(_RESULTS) as pool:
        duckdb_udfs.register(database)
        results = DuckDbResults(database, job, folder, pool)
        try:
            results.compute(progress)
            yield results
        except BaseException:
            results.stop()
            raise


@dataclass
class _Taken:
    """A lane's results for a group of files.

    ``parts`` are those of groupings, with their queries' ids, older parts first. ``inputs`` are tables of records whose
    order matters, with their streams. ``read`` is for ``counted``.
    """

    parts: list[tuple[str, PartialGrouping]] = field(default_factory=list)
    inputs: list[tuple[Source, str]] = field(default_factory=list)
    read: list[tuple[str | None, int, int]] = field(default_factory=list)
    damaged: dict[str, Damage] = field(default_factory=dict)


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
        self._attempts = Attempts()
        self._lanes: set[duckdb.DuckDBPyConnection] = set()
        self._stopped = False

    @property
    def counts(self) -> Counts:
        return self._counts

    def compute(self, progress: Progress) -> None:
        """Read the archive, and begin to compute all results. Called once."""
        all_parts = {query.id: PartialGroupings(self._database, self._runner, query) for query in self._pipeline.first}
        read: list[tuple[str | None, int, int]] = []
        damaged: dict[str, Damage] = {}
        with closing(self._taken(progress)) as of_groups:
            for taken in of_groups:
                for query_id, part in taken.parts:
                    all_parts[query_id].add(part)
                for source, table in taken.inputs:
                    self._keep_input(source, table)
                read += taken.read
                damaged |= taken.damaged
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
        self._stopped = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        while self._lanes:  # repeated, because a lane may have been between two queries
            for lane in self._lanes.copy():
                lane.interrupt()
            time.sleep(0.01)

    def _begin(self, query: Query, work: Callable[[duckdb.DuckDBPyConnection], None]) -> None:
        """Compute a result beside the others. It is computed at once if the order of records matters."""
        if self._pipeline.is_ordered:
            work(self._database)
            return

        def in_thread() -> None:
            with self._lane() as lane:
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
        for low in range(0, end, _PIECE):
            piece = f"SELECT * FROM ({relation}) WHERE _off >= {low} AND _off < {low + _PIECE}"
            parts.add(compute_part(connection, self._runner, query, piece, str(low)))
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

    def _taken(self, progress: Progress) -> Generator[_Taken]:
        """The lanes' results, in the order of the files.

        Each lane has one processor for itself. So text is decoded by the processor that unpacked it, and no lane
        waits for another. DuckDB's own threads use the other processors.
        """
        processors = self._runner.number(self._database, "SELECT current_setting('threads')")
        most = min(max(2, processors), _LANES)  # with two lanes, one can wait for a bucket
        # Records of compacted files take little time beside the planning of a group's statements: few groups.
        are_compacted = all(file.form == "parquet" for file in self._job.files)
        groups = list(for_lanes(self._job.files, most, are_compacted, _LEAST)) or [[]]
        lanes = min(most, len(groups))
        self._database.execute(f"SET threads = {max(1, processors - lanes + 1)}")
        take = partial(self._take, finished=adding_up(self._job.files, progress))
        with ThreadPoolExecutor(lanes) as pool:
            try:
                yield from in_order(pool, take, enumerate(groups), lanes + 1)
            except BaseException:
                self.stop()
                raise
        results = 1 if self._pipeline.is_ordered else min(_RESULTS, len(self._names) or 1)
        self._database.execute(f"SET threads = {max(1, min(processors, _RESULTS) // results)}")

    def _take(
        self, numbered: tuple[int, Sequence[ArchiveFile]], finished: Callable[[ArchiveFile], None]
    ) -> _Taken:
        """Compute a group's results in a lane."""
        group, files = numbered
        taken = _Taken()
        with self._lane() as lane:
            streams, leaves = self._pipeline.raw_sources(), self._pipeline.leaves()
            read = self._chunks(files, streams, leaves, finished)
            for at, (place, chunk) in enumerate(read):
                decode = partial(self._attempts.at, chunk, partial(self._decode, lane, chunk))
                self._runner.enough(decode)
                for query in self._pipeline.first:
                    relation = self._relation(query.analysis.source)
                    part = compute_part(lane, self._runner, query, relation, f"{group}.{at}")
                    taken.parts.append((query.id, part))
                for source in self._pipeline.inputs:
                    table = quoted(f"input {group}.{at} of {source.name}")
                    rows = f"SELECT *{place} FROM ({self._relation(source)})"
                    self._runner.number(lane, f"CREATE TABLE {table} AS {rows}")
                    taken.inputs.append((source, table))
                taken.read += staging.counted_rows(lane, self._pipeline, self._job.readable)
                taken.damaged |= chunk.damaged
        return taken

    def _chunks(
        self,
        files: Sequence[ArchiveFile],
        streams: Sequence[Source],
        leaves: Collection[str],
        finished: Callable[[ArchiveFile], None],
    ) -> Iterator[tuple[str, Chunk]]:
        """The chunks of files, with SQL for the columns of their place, if the order of records matters."""
        groups: Iterable[tuple[str, Sequence[ArchiveFile]]] = [("", files)]
        if self._pipeline.is_ordered and files:
            groups = chunks.in_places(files)
        for place, group in groups:
            for chunk in chunks.read(self._job.source, group, streams, leaves, finished, self._folder):
                yield place, chunk

    @contextmanager
    def _lane(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for one lane. Its queries can be interrupted as long as it is open.

        Raises CancelledError if the lanes were stopped before the connection was open.
        """
        with self._database.cursor() as lane:
            self._lanes.add(lane)
            try:
                if self._stopped:
                    raise CancelledError
                yield lane
            finally:
                self._lanes.discard(lane)

    def _finish(self, parts: PartialGroupings, connection: duckdb.DuckDBPyConnection) -> None:
        kept, window = "", parts.query.analysis.window
        if window and (self._pipeline.is_ordered or parts.query in self._pipeline.first):
            kept = f"WHERE {self._job.period.holds(window)}"
        parts.finish(connection, self._names[parts.query.id], kept)

    def _result(self, query: Query) -> str:
        return quoted(self._names[query.id])

    def _decode(self, lane: duckdb.DuckDBPyConnection, chunk: Chunk, all_json: bool) -> None:
        staging.stage(self._runner, lane, chunk, self._pipeline, all_json)

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
