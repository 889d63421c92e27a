"""The pass over an archive's files on DuckDB, in lanes. A lane takes one group of files at a time.

A lane decodes a group in chunks. It keeps only the needed columns of a chunk, until the groupings have computed
their parts from it. So memory holds one chunk per lane and the parts, whatever the archive's size.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import duckdb

from opensea_metrics.core.quoting import quoted
from opensea_metrics.producer.archive.damage import Damage
from opensea_metrics.producer.archive.layout import ArchiveFile
from opensea_metrics.spark_batch import chunk_reading, staging
from opensea_metrics.spark_batch.chunks import Attempts, Chunk
from opensea_metrics.spark_batch.groups import for_lanes
from opensea_metrics.spark_batch.job import BatchJob, Progress, adding_up
from opensea_metrics.spark_batch.lanes import Lanes
from opensea_metrics.spark_batch.partial_groupings import PartialGrouping, compute_part
from opensea_metrics.spark_batch.prefetch import in_order
from opensea_metrics.spark_batch.statement_runner import StatementRunner
from opensea_metrics.sql.language.catalog.sources import Source

_LANES = 4
"""The most lanes. Each needs about 30 MB."""
_LEAST = 8 * 1024 * 1024
"""The least packed bytes in a group, so that planning its statements takes little time."""


@dataclass
class TakenGroup:
    """A lane's results for a group of files.

    ``parts`` are those of groupings, with their queries' ids, older parts first. ``inputs`` are tables of records whose
    order matters, with their streams. ``read`` is for ``counted``.
    """

    parts: list[tuple[str, PartialGrouping]] = field(default_factory=list)
    inputs: list[tuple[Source, str]] = field(default_factory=list)
    read: list[tuple[str | None, int, int]] = field(default_factory=list)
    damaged: dict[str, Damage] = field(default_factory=dict)


class ArchivePass:
    """Reads each file of a job once.

    ``relation`` gives the rows of a source from the records that a lane has staged. ``folder`` is temporary.
    """

    def __init__(
        self,
        job: BatchJob,
        runner: StatementRunner,
        lanes: Lanes,
        relation: Callable[[Source], str],
        folder: Path,
    ) -> None:
        self._job = job
        self._pipeline = job.pipeline
        self._runner = runner
        self._lanes = lanes
        self._relation = relation
        self._folder = folder
        self._attempts = Attempts()

    def taken(
        self, database: duckdb.DuckDBPyConnection, processors: int, progress: Progress
    ) -> Generator[TakenGroup]:
        """The lanes' results, in the order of the files.

        Each lane has one processor for itself. So text is decoded by the processor that unpacked it, and no lane
        waits for another. DuckDB's own threads use the other processors.
        """
        most = min(max(2, processors), _LANES)  # with two lanes, one can wait for a bucket
        # Records of compacted files take little time beside the planning of a group's statements: few groups.
        are_compacted = all(file.form == "parquet" for file in self._job.files)
        groups = list(for_lanes(self._job.files, most, are_compacted, _LEAST)) or [[]]
        lanes = min(most, len(groups))
        database.execute(f"SET threads = {max(1, processors - lanes + 1)}")
        take = partial(self._take, finished=adding_up(self._job.files, progress))
        with ThreadPoolExecutor(lanes) as pool:
            try:
                yield from in_order(pool, take, enumerate(groups), lanes + 1)
            except BaseException:
                self._lanes.stop()
                raise

    def _take(
        self, numbered: tuple[int, Sequence[ArchiveFile]], finished: Callable[[ArchiveFile], None]
    ) -> TakenGroup:
        """Compute a group's results in a lane."""
        group, files = numbered
        taken = TakenGroup()
        with self._lanes.lane() as lane:
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
            groups = chunk_reading.in_places(files)
        for place, group in groups:
            for chunk in chunk_reading.read(self._job.source, group, streams, leaves, finished, self._folder):
                yield place, chunk

    def _decode(self, lane: duckdb.DuckDBPyConnection, chunk: Chunk, all_json: bool) -> None:
        staging.stage(self._runner, lane, chunk, self._pipeline, all_json)
