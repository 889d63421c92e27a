"""The records that a test inserts, as rows of Spark. DuckDB reads them, as Spark's workers do in a recompute."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from opensea_metrics.core.quoting import column as column_of
from opensea_metrics.core.quoting import spark_column, text
from opensea_metrics.core.types import BIGINT, spark
from opensea_metrics.deploy.sqltests.evaluator import Evaluator
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.insert_values import stored
from opensea_metrics.sql.language.catalog.inserts import insert_columns
from opensea_metrics.sql.language.catalog.sources import Column, Source
from opensea_metrics.sql.language.lowering.records import rows as records
from opensea_metrics.sql.language.lowering.refusals import SPARK, Unsupported
from opensea_metrics.sql.language.queries.scope import Scope
from opensea_metrics.sql.language.statements.statements import Statement
from opensea_metrics.sql.language.values.topic_json import dump

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_TIME = ":time"
"""A column with the record's time, for sources without TIMESTAMP."""


@dataclass(frozen=True)
class _InsertedRecord:
    """A record: the columns of its key and its value, its time (epoch ms), and its number among all records."""

    fields: dict[str, Any]
    time: int
    number: int


class InsertedRecords:
    """The inserted records of all topics."""

    def __init__(self, evaluator: Evaluator, session: SparkSession) -> None:
        self._evaluator = evaluator
        self._session = session
        self._records: dict[str, list[_InsertedRecord]] = {}

    def insert(self, catalog: Catalog, statement: Statement, number: int) -> None:
        """Keep the record of an INSERT VALUES. ``number`` is its number among all statements.

        Raises SqlError for values that do not fit, and Unsupported for a source that a query writes.
        """
        source = catalog.sources[statement.name or ""]
        if any(catalog.sources[query.sink].topic == source.topic for query in catalog.queries.values()):
            raise Unsupported(f"INSERT VALUES into {source.name}, which a query writes,", SPARK, statement.place)
        scope = Scope(statement, {})
        fields: dict[str, Any] = {}
        columns = insert_columns(catalog, statement, lambda part: self._evaluator.value(part, scope))
        for column, value in zip(columns, statement.ast.expressions, strict=True):
            fields[column.name] = stored(source.name, column, self._evaluator.value(value, scope), value, scope)
        time = fields.pop("ROWTIME", 0)
        self._records.setdefault(source.topic, []).append(_InsertedRecord(fields, time, number))

    def are_out_of_order(self, topics: Collection[str]) -> bool:
        """Whether a server would not join the records of topics in the order of their times.

        A server processes a record when it arrives.
        """
        records = sorted(
            (record.number, record.time, topic) for topic in topics for record in self._records.get(topic, [])
        )
        return len(topics) > 1 and any(
            time < before or (time == before and earlier != later)
            for (_, before, earlier), (_, time, later) in pairwise(records)
        )

    def relation(self, source: Source) -> str:
        """A query of a topic's records, as a source declares them: its columns, ROWTIME and ``_off``."""
        # The archive's reader takes no keys. So key and value are read as one object.
        columns = [Column(column.name, column.type) for column in source.columns]
        whole = replace(source, columns=(*columns, Column(_TIME, BIGINT)), timestamp=source.timestamp or _TIME)
        given = self._records.get(source.topic, [])
        lines = " UNION ALL ".join(
            f"SELECT {text(dump({**record.fields, _TIME: record.time}).decode())} AS line, '' AS path,"
            f" 0::BIGINT AS ts, {number}::BIGINT AS _off"
            for number, record in enumerate(given)
        ) or "SELECT NULL::VARCHAR AS line, '' AS path, 0::BIGINT AS ts, 0::BIGINT AS _off WHERE false"
        decoded = records.decoded(lines, whole, records.as_declared(whole), carried=("_off",))
        names = ", ".join(column_of(column.name) for column in columns)
        table = self._evaluator.database.sql(
            f"SELECT {names}, ROWTIME, _off FROM ({decoded}) WHERE _failed IS NULL"
        ).to_arrow_table()
        schema = [f"{spark_column(column.name)} {spark(column.type)}" for column in columns]
        view = f"inserted_{len(given)}_{source.name.encode().hex()}"
        frame = self._session.createDataFrame(table, schema=", ".join([*schema, "ROWTIME BIGINT", "_off BIGINT"]))
        frame.createOrReplaceTempView(view)
        return f"SELECT * FROM {view}"
