"""The Spark engine: the archive is scanned once, for all tables of a run.

The columns that the groupings need are kept when they are first read, in memory or on disks. Each grouping then reads
these. Results go through the driver, one partition at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pyarrow as pa

from opensea_metrics.core.quoting import column_name, spark_column
from opensea_metrics.core.types import ArrayType, KsqlType, MapType, StructType
from opensea_metrics.spark_batch.job import BatchJob, Counts, Progress, Table, counted
from opensea_metrics.spark_batch.ordered import OrderedQueries
from opensea_metrics.spark_batch.settings import BatchSettings
from opensea_metrics.spark_batch.spark_errors import SparkError, spark_errors
from opensea_metrics.spark_batch.spark_ordered import SparkOrdered
from opensea_metrics.spark_batch.spark_records import HIDDEN, SparkRecords
from opensea_metrics.spark_batch.spark_session import open_session
from opensea_metrics.sql.language.catalog.catalog import Query
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering import selects
from opensea_metrics.sql.language.lowering.duckdb.stream_time import stream_time
from opensea_metrics.sql.language.lowering.spark import selects as spark_selects
from opensea_metrics.sql.language.lowering.spark.setup import register_functions

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@contextmanager
def computed(job: BatchJob, progress: Progress) -> Iterator[SparkResults]:
    """Compute a job's tables. Raises SqlError for statements that Spark cannot give exactly."""
    # Spark itself reads compacted files. Other files are read by our own code.
    of_spark = any(file.form == "parquet" for file in job.files)
    session = open_session(BatchSettings(), job.source.s3 if of_spark else None)
    results = SparkResults(session, job)
    try:
        results.compute(progress)
        yield results
    finally:
        results.close()


class SparkResults:
    """The results as data frames of a session."""

    def __init__(self, session: SparkSession, job: BatchJob) -> None:
        self._session = session
        self._job = job
        self._pipeline = job.pipeline
        self._views: dict[str, str] = {}
        """The view of each selection and grouping, by its query's id."""
        self._kept: list[DataFrame] = []
        self._ordering = SparkOrdered(self._sql, self._grouped)
        self._ordered = OrderedQueries(self._ordering, job.pipeline)
        self._records = SparkRecords(session, job)
        self._counts = Counts()

    @property
    def counts(self) -> Counts:
        return self._counts

    def compute(self, progress: Progress) -> None:
        """Compute all results. Called once."""
        total = sum(file.size for file in self._job.files)
        progress(0, total)
        try:
            with spark_errors():
                self._stage()
                self._count()
        except SparkError:
            self.close()
            self._kept.clear()
            self._views.clear()
            if not self._records.leave_out_damaged():
                raise
            with spark_errors():
                self._stage()
                self._count()
        progress(total, total)
        for source in self._pipeline.inputs:
            self._ordered.keep_input(source, self._in_place(source))
        for query in (*self._pipeline.first, *self._pipeline.later):
            self._ordered.compute(query, self._relation, self._group)

    def _group(self, query: Query, relation: str) -> None:
        """Compute a grouping from the rows of a relation."""
        time = None
        if self._pipeline.drops_late(query):
            time = stream_time(query.analysis, {})
            relation = f"SELECT *, _part AS ROWPARTITION FROM ({relation})"
        grouped = spark_selects.grouped(query.analysis, relation, time)
        if query.analysis.window and (self._pipeline.is_ordered or query in self._pipeline.first):
            grouped = f"SELECT * FROM ({grouped}) WHERE {self._job.period.holds(query.analysis.window)}"
        topic = self._pipeline.catalog.sources[query.sink].topic
        keep = bool(self._pipeline.readers(topic))
        self._view(query.id, self._sql(grouped), keep=keep)

    def _grouped(self, query: Query) -> str:
        return f"SELECT * FROM {self._views[query.id]}"

    def table(self, name: str) -> Table:
        """The rows of one target."""
        source = self._pipeline.catalog.sources[name]
        relations = (self._job.chosen(source, relation) for relation in self._relations(source))
        selected = [selects.listed(spark_selects.SYNTAX, source, relation) for relation in relations]
        with spark_errors():
            schema = self._arrow(f"SELECT * FROM ({selected[0]}) LIMIT 0").schema
        order = selects.order(source)
        if order and not all(_arrow_sorts(column.type) for column in source.columns if column.is_key):
            by = ", ".join(map(spark_column, order))
            selected = [f"{query} ORDER BY {by}" for query in selected]
            order = []
        return Table.of_engine(name, schema, self._batches(selected, order))

    def _sql(self, query: str) -> DataFrame:
        """A query's rows; the Python functions that the query calls are registered."""
        register_functions(self._session, query)
        return self._session.sql(query)

    def _arrow(self, query: str) -> pa.Table:
        return self._sql(query).toArrow()

    def _batches(self, queries: list[str], order: list[str]) -> Iterator[pa.RecordBatch]:
        """The rows of several queries, which run one after the other.

        The code for all of them at once would be too long for a method in Java. The rows are sorted here, because
        Spark computes them twice to distribute a sort.
        """
        for query in queries:
            with spark_errors():
                rows = self._arrow(query)
            if order:
                rows = rows.sort_by([(column_name(name), "ascending") for name in order])
            yield from rows.to_batches(50_000)

    def close(self) -> None:
        """Release the kept data."""
        self._ordering.close()
        for frame in self._kept:
            with suppress(Exception):  # the JVM may have ended, which frees it too
                frame.unpersist()
        for view in self._views.values():
            with suppress(Exception):
                self._session.catalog.dropTempView(view)

    def plans(self) -> list[str]:
        """Spark's plans for the kept data, as text, for checks."""
        return [str(frame._jdf.queryExecution().executedPlan().toString()) for frame in self._kept]

    def _stage(self) -> None:
        """Read the needed columns of the archive."""
        for source in self._pipeline.raw_sources():
            selections = self._pipeline.reading(source, self._pipeline.selections)
            relation = self._records.of(source)
            if self._pipeline.is_kept(source):
                kept = self._chosen(relation, self._pipeline.kept_columns(source))
                self._view(source.name, self._sql(kept), keep=True)
                relation = f"SELECT * FROM {self._views[source.name]}"
            for query in selections:
                names = {column.name for column in query.analysis.columns}
                rows = spark_selects.rows(query.analysis, relation, ("_failed",), self._records.place)
                self._view(query.id, self._sql(self._chosen(rows, names)), keep=True)

    def _chosen(self, relation: str, names: set[str]) -> str:
        columns = [*map(spark_column, sorted(names - {"ROWTIME"})), *HIDDEN, *self._records.place]
        return f"SELECT {', '.join(columns)} FROM ({relation})"

    def _count(self) -> None:
        view = next(iter(self._views.values()))
        reasons = self._session.sql(
            f"SELECT _failed, count(*), count_if({self._job.readable}) FROM {view} GROUP BY 1"
        ).collect()
        rows = ((reason, count, used) for reason, count, used in reasons)
        self._counts = counted(rows, self._records.damaged, self._job.files)

    def _relation(self, source: Source) -> str:
        """A source's rows, from the archive or from results."""
        return " UNION ALL ".join(self._relations(source))

    def _relations(self, source: Source) -> list[str]:
        """A source's rows, as one query for the archive and one for each query that writes them."""
        parts = []
        if source.topic == self._pipeline.raw_topic:
            parts.append(f"SELECT * FROM {self._views[source.name]} WHERE {self._job.readable}")
        for query in self._pipeline.writers(source.topic):
            bounds = ["WINDOWSTART", "WINDOWEND"] if query.analysis.window else []
            names = [*(column.name for column in query.analysis.columns), *bounds]
            if selected := self._ordered.final(query):
                rows = selected
            elif query.analysis.is_aggregation:
                rows = self._grouped(query)
            elif query.id in self._views:
                rows = f"SELECT * FROM {self._views[query.id]} WHERE {self._job.readable}"
            else:
                rows = spark_selects.rows(query.analysis, self._relation(query.analysis.source))
            parts.append(spark_selects.as_source(source, rows, names))
        return parts

    def _in_place(self, source: Source) -> str:
        """A stream's records, selected row by row, with their places in the archive."""
        if source.topic == self._pipeline.raw_topic:
            return f"SELECT * FROM {self._views[source.name]} WHERE {self._job.readable}"
        (query,) = self._pipeline.writers(source.topic)
        place = self._records.place
        if query.id in self._views:
            rows = f"SELECT * FROM {self._views[query.id]} WHERE {self._job.readable}"
        else:
            rows = spark_selects.rows(query.analysis, self._in_place(query.analysis.source), carried=place)
        names = [column.name for column in query.analysis.columns]
        return spark_selects.as_source(source, rows, names, place)

    def _view(self, key: str, frame: DataFrame, keep: bool) -> None:
        name = f"step_{len(self._views)}"
        if keep:
            frame.persist()
            self._kept.append(frame)
        frame.createOrReplaceTempView(name)
        self._views[key] = name


def _arrow_sorts(kind: KsqlType) -> bool:
    if isinstance(kind, StructType):
        return all(_arrow_sorts(inner) for _, inner in kind.fields)
    return not isinstance(kind, ArrayType | MapType)
