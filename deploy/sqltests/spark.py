"""Runs test cases on Spark, with the SQL that ``recompute --engine spark`` runs.

Spark computes the rows of a query from all records at once. So it has no intermediate changes of a table's rows, it
drops no late records, and it joins records in the order of their times. It refuses features that Spark cannot compute
exactly, and names them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from opensea_metrics.core.quoting import spark_column
from opensea_metrics.deploy.sqltests.comparison import Row, TableState, row_of
from opensea_metrics.deploy.sqltests.evaluator import Evaluator
from opensea_metrics.deploy.sqltests.inserted_records import InsertedRecords
from opensea_metrics.deploy.sqltests.targets import keys_of
from opensea_metrics.spark_batch.ordered import OrderedQueries
from opensea_metrics.spark_batch.pipeline import pipeline_of_records
from opensea_metrics.spark_batch.settings import BatchSettings
from opensea_metrics.spark_batch.spark_errors import spark_errors
from opensea_metrics.spark_batch.spark_ordered import SparkOrdered
from opensea_metrics.spark_batch.spark_session import open_session
from opensea_metrics.sql.language.catalog.catalog import Catalog, Query
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering import support
from opensea_metrics.sql.language.lowering.refusals import SPARK, Unsupported
from opensea_metrics.sql.language.lowering.spark import selects as spark_selects
from opensea_metrics.sql.language.lowering.spark.setup import register_functions
from opensea_metrics.sql.language.queries.analysis import Analysis
from opensea_metrics.sql.language.statements.statements import Kind, Statement

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_SUPPORTED = (
    Kind.CREATE_STREAM, Kind.CREATE_TABLE, Kind.CREATE_STREAM_AS, Kind.CREATE_TABLE_AS, Kind.INSERT_SELECT,
    Kind.INSERT_VALUES, Kind.CREATE_TYPE, Kind.DROP_TYPE, Kind.SET, Kind.UNSET,
)  # fmt: skip


class SparkTarget:
    """A Spark session. The evaluator's DuckDB reads the records, as Spark's workers do in a recompute."""

    engine = "spark"
    patience = 0.0
    is_ordered = True

    def __init__(
        self,
        evaluator: Evaluator,
        session: SparkSession | None = None,
    ) -> None:
        """Raises UdfError if Spark is not installed or does not start."""
        self._session = session or open_session(BatchSettings(), None)
        self._evaluator = evaluator
        self.begin(())

    def begin(self, asserted: Collection[str]) -> None:
        self.catalog = Catalog()
        self._records = InsertedRecords(self._evaluator, self._session)
        self._number = 0
        self._ordered: list[SparkOrdered] = []

    def reset_properties(self) -> None:
        """SET has no effect on Spark, which always reads all records."""

    def execute(self, statement: Statement) -> None:
        if statement.kind not in _SUPPORTED:
            raise Unsupported(statement.kind.value.upper(), SPARK, statement.place)
        self._number += 1
        before, after = self.catalog, applied(self.catalog, statement, self._number)
        for name, source in after.sources.items():
            if source is not before.sources.get(name):
                support.check_types(source, SPARK, statement.place)
        for id_, query in after.queries.items():
            if id_ not in before.queries:
                self._check(query.analysis, statement)
                support.check_replaced_rows(after, query.analysis, SPARK)
                support.check_ordered(after, query, statement.place, SPARK)
        if statement.kind is Kind.INSERT_VALUES:
            self._records.insert(self.catalog, statement, self._number)
        self.catalog = after

    def _check(self, analysis: Analysis, statement: Statement) -> None:
        if statement.replaces and statement.name in self.catalog.sources:
            raise Unsupported("CREATE OR REPLACE of a query", SPARK, statement.place)
        if analysis.emit == "FINAL":
            raise Unsupported("EMIT FINAL in a test", SPARK, statement.place)
        support.check_query(analysis, SPARK)

    def stream(self, source: Source) -> Sequence[Row]:
        with spark_errors():
            query = self._relation(source)
            register_functions(self._session, query)
            rows = self._session.sql(f"SELECT * FROM ({query}) ORDER BY _off").collect()
        kinds = {column.name: column.type for column in source.columns}
        names = [*kinds, *(["WINDOWSTART", "WINDOWEND"] if source.window else []), "ROWTIME"]
        return [row_of(kinds, dict(zip(names, map(_plain, row[: len(names)]), strict=True))) for row in rows]

    def table(self, source: Source) -> TableState:
        return TableState(keys_of(source), self.stream(source))

    def asserted(self, source: Source) -> None:
        """Changes are not known, so there is nothing to forget."""

    def end(self) -> None:
        for ordered in self._ordered:
            ordered.close()
        for name in self._session.catalog.listTables():
            if name.isTemporary:
                self._session.catalog.dropTempView(name.name)

    def close(self) -> None:
        """The session ends with the process."""

    def _relation(self, source: Source) -> str:
        """The rows of a source: its columns, the window's bounds, ROWTIME and ``_off``."""
        names = [spark_column(column.name) for column in source.columns]
        names += ["WINDOWSTART", "WINDOWEND"] if source.window else []
        listed = ", ".join([*names, "ROWTIME", "_off"])
        return " UNION ALL ".join(f"SELECT {listed} FROM ({part})" for part in self._parts(source))

    def _parts(self, source: Source) -> Iterator[str]:
        writers = [query for query in self.catalog.queries.values() if self._topic(query.sink) == source.topic]
        if not writers:
            yield self._records.relation(source)
        for query in writers:
            analysis = query.analysis
            bounds = ["WINDOWSTART", "WINDOWEND"] if analysis.window else []
            available = [*(column.name for column in analysis.columns), *bounds]
            if analysis.is_ordered:
                rows = self._in_order(query)
            elif analysis.is_aggregation:
                rows = self._grouped(analysis, self._relation(analysis.source))
            else:
                rows = spark_selects.rows(analysis, self._relation(analysis.source))
            yield spark_selects.as_source(source, rows, available)

    def _in_order(self, wanted: Query) -> str:
        """The rows of a join, or of a query over a table."""
        above = self.catalog.above(wanted)
        queries = {id_: query for id_, query in self.catalog.queries.items() if id_ in above or query == wanted}
        pipeline = pipeline_of_records(Catalog(self.catalog.sources, queries))
        if self._records.are_out_of_order({source.topic for source in pipeline.inputs}):
            raise Unsupported("a JOIN of records that come out of order", SPARK, wanted.analysis.statement.place)
        grouped: dict[str, str] = {}
        engine = SparkOrdered(self._run, lambda query: grouped[query.id])
        self._ordered.append(engine)
        ordered = OrderedQueries(engine, pipeline)
        for source in pipeline.inputs:
            ordered.keep_input(source, f"SELECT *, 0 AS _hour, 0 AS _part FROM ({self._records.relation(source)})")
        for query in pipeline.later:
            if not query.analysis.is_aggregation:
                ordered.select(query)
            elif not query.analysis.is_ordered:
                ordered.keep_history(query)
                grouped[query.id] = self._grouped(query.analysis, ordered.rows(query.analysis.source))
            else:
                with ordered.grouped(query) as rows:
                    name = f"grouped_{len(grouped)}"
                    engine.keep(name, self._grouped(query.analysis, rows))
                    grouped[query.id] = f"SELECT * FROM {name}"
        return ordered.final(wanted) or grouped[wanted.id]

    def _run(self, query: str) -> DataFrame:
        register_functions(self._session, query)
        return self._session.sql(query)

    def _grouped(self, analysis: Analysis, relation: str) -> str:
        self._check_late(analysis, relation)
        return spark_selects.grouped(analysis, relation)

    def _topic(self, sink: str) -> str:
        return self.catalog.sources[sink].topic

    def _check_late(self, analysis: Analysis, relation: str) -> None:
        """Raises Unsupported if ksqlDB would drop a record because it arrives after its window's grace period."""
        window = analysis.window
        if window is None:
            return
        register_functions(self._session, relation)
        last = 0
        for (time,) in self._session.sql(f"SELECT ROWTIME FROM ({relation}) ORDER BY _off").collect():
            last = max(last, time)
            # Near the end of a session's retention, ksqlDB may not merge a record. Records of one session are close.
            begins = time - window.size if window.is_session else time - time % window.advance
            if begins + window.size + window.grace <= last:
                feature = "a record after its window's grace period"
                raise Unsupported(feature, SPARK, analysis.statement.place)


def _plain(value: Any) -> Any:
    """A value in which Spark's Row objects are replaced."""
    if hasattr(value, "asDict"):
        return {name: _plain(inner) for name, inner in value.asDict().items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return value
