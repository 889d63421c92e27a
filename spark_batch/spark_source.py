"""An archive's files as relations of Spark: SQL over views of a session.

The workers decode texts with the code of the other engine. So JSON is read in only one way, in half the time of
Spark's ``from_json``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from opensea_metrics.core.quoting import column, spark_column, spark_quoted
from opensea_metrics.core.types import spark
from opensea_metrics.producer.archive.compacted import names_in_files
from opensea_metrics.producer.archive.damage import Damage
from opensea_metrics.producer.archive.layout import ArchiveFile
from opensea_metrics.producer.archive.location import Archive
from opensea_metrics.spark_batch import chunk_reading
from opensea_metrics.spark_batch.chunks import Attempts, Chunk
from opensea_metrics.spark_batch.groups import shared_out
from opensea_metrics.spark_batch.line_streams import FileLineSource
from opensea_metrics.sql.language.catalog.sources import Column, Source
from opensea_metrics.sql.language.lowering.duckdb.setup import register_functions
from opensea_metrics.sql.language.lowering.event_times import spark_event_time

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_TASKS = 4
"""Tasks for each core. There are more if the files are large."""
_LEAST = 2 * 1024 * 1024
"""The least packed bytes of a task. To open its database takes a worker as long as to read half of them."""
_ROWS = 100_000
"""Approximate number of records that a worker decodes at a time."""
_BATCH = 10_000
_MEMORY = "200MB"
"""The most memory of DuckDB in a worker."""
_PLACE = ("_hour BIGINT", "_part INT")
_FILES = pa.list_(pa.struct({
    "hour_ms": pa.int64(), "partition": pa.int64(), "start": pa.int64(), "path": pa.string(),
    "size": pa.int64(), "form": pa.string(), "end": pa.int64(), "is_numbered": pa.bool_(),
}))  # fmt: skip
"""The type of files in a task's argument."""


def text_rows(
    session: SparkSession,
    archive: Archive,
    files: Sequence[ArchiveFile],
    stream: Source,
    damaged: Any,
    in_place: bool,
) -> str:
    """The records of text files as a stream declares them: its columns, ROWTIME, ``_off``, ``_failed``.

    ``in_place`` adds the hour (epoch ms) and the partition of a record's file, ``_hour`` and ``_part``. For compacted
    files, the texts are those of the original files. ``damaged`` is an accumulator (:func:`damaged_files`) of files
    that could only be read up to their damage.
    """
    groups = list(shared_out(files, _TASKS * session.sparkContext.defaultParallelism, _LEAST))
    rows = pa.array([list(map(asdict, group)) for group in groups], _FILES)
    # One task for each group.
    session.conf.set("spark.sql.leafNodeDefaultParallelism", max(1, len(groups)))
    schema = _schema(stream, "ROWTIME BIGINT", "_off BIGINT", "_failed STRING", *(_PLACE if in_place else ()))
    decoding = _Decoding(archive, stream, damaged, in_place)
    frame = session.createDataFrame(pa.table({"files": rows})).mapInArrow(decoding, schema)
    frame.createOrReplaceTempView("archive_texts")
    return "SELECT * FROM archive_texts"


def compacted_rows(session: SparkSession, addresses: Sequence[str], stream: Source) -> str:
    """The records of compacted files that have all the fields of a stream, as they were decoded."""
    stored = names_in_files(stream)
    kept = [column for column in _values(stream) if column.name in stored]
    schema = [f"{spark_quoted(stored[field.name])} {spark(field.type)}" for field in kept]
    schema += ["_offset BIGINT", "_failed STRING"]
    session.read.schema(", ".join(schema)).parquet(*addresses).createOrReplaceTempView("archive_rows")
    columns = [
        f"{spark_quoted(stored[field.name]) if field in kept else f'CAST(NULL AS {spark(field.type)})'}"
        f" AS {spark_column(field.name)}"
        for field in _values(stream)
    ]
    time = spark_event_time(stream, spark_quoted(stored[str(stream.timestamp)]))
    columns += ["_offset AS _off", f"{time} AS ROWTIME", "_failed"]
    return f"SELECT {', '.join(columns)} FROM archive_rows"


def damaged_files(session: SparkSession) -> Any:
    """An accumulator of files by path. Its ``value`` has the files of all finished tasks."""
    from pyspark.accumulators import AccumulatorParam

    class Union(AccumulatorParam[dict[str, Damage]]):
        def zero(self, value: dict[str, Damage]) -> dict[str, Damage]:
            return {}

        def addInPlace(
            self, value1: dict[str, Damage], value2: dict[str, Damage]
        ) -> dict[str, Damage]:
            return value1 | value2

    return session.sparkContext.accumulator({}, Union())


@dataclass(frozen=True)
class _Decoding:
    """The work of a Spark worker: from groups of files to their records."""

    archive: Archive
    stream: Source
    damaged: Any
    in_place: bool

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        # Arrow's own allocator keeps memory that it no longer needs.
        pa.set_memory_pool(pa.system_memory_pool())
        with chunk_reading.database(settings={"memory_limit": _MEMORY, "threads": 1}) as (database, _):
            register_functions(database)
            attempts = Attempts()
            for group in (row for batch in batches for row in batch.column("files").to_pylist()):
                for place, files in self._places([ArchiveFile(**fields) for fields in group]):
                    texts = FileLineSource(self.archive, files, lambda file: None)
                    for chunk in chunk_reading.of_texts(texts, _ROWS):
                        rows = attempts.at(chunk, partial(self._rows, database, chunk, place))
                        for path, damage in chunk.damaged.items():
                            self.damaged.add({path: damage})
                        yield from rows.to_batches(_BATCH)

    def _places(self, files: list[ArchiveFile]) -> Iterable[tuple[str, list[ArchiveFile]]]:
        """The files with SQL for the columns of their place. Files with one place are together."""
        return chunk_reading.in_places(files) if self.in_place else [("", files)]

    def _rows(self, database: duckdb.DuckDBPyConnection, chunk: Chunk, place: str, all_json: bool) -> pa.Table:
        relation = chunk.relation(database, self.stream, all_json)
        names = ", ".join(column(field.name) for field in _values(self.stream))
        return database.sql(f"SELECT {names}, ROWTIME, _off, _failed{place} FROM ({relation})").to_arrow_table()


def _schema(stream: Source, *hidden: str) -> str:
    """A Spark schema with the stream's columns and others."""
    columns = (f"{spark_column(field.name)} {spark(field.type)}" for field in _values(stream))
    return ", ".join([*columns, *hidden])


def _values(stream: Source) -> list[Column]:
    return [column for column in stream.columns if not column.is_key]
