"""Joins, queries over tables, and all changes of groupings, in DuckDB: from records that are there in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import duckdb

from opensea_metrics.core.quoting import column as column_of
from opensea_metrics.core.quoting import quoted
from opensea_metrics.spark_batch.memory import Memory
from opensea_metrics.spark_batch.pipeline import QueryPipeline
from opensea_metrics.sql.language.catalog.catalog import Query
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.duckdb import history, ordered, selects
from opensea_metrics.sql.language.lowering.duckdb.items import ITEMS
from opensea_metrics.sql.language.lowering.ordered import plan, tables

CARRIED = ("_part", "_gone")
"""Columns of rows in order, in addition to those of their source, ROWTIME and ``_off``: see ``ordered.items``."""


def input_table(source: Source) -> str:
    """The table of a stream's records in order."""
    return quoted(f"input {source.name}")


@dataclass(frozen=True)
class DuckDbOrdered:
    """Computes ordered queries into tables of a database. ``result`` names the table of a query's rows.

    A table's rows that are not grouped are there with all their changes. ``_is_newest`` marks the newest rows.
    """

    database: duckdb.DuckDBPyConnection
    memory: Memory
    pipeline: QueryPipeline
    result: Callable[[Query], str]

    def keep_input(self, source: Source, part: str) -> None:
        """Add a table with some of a stream's records to those before it, and drop it."""
        table = quoted(f"records {source.name}")
        self._run(f"CREATE TABLE IF NOT EXISTS {table} AS SELECT * FROM {part} LIMIT 0")
        self._run(f"INSERT INTO {table} SELECT * FROM {part}")
        self._run(f"DROP TABLE {part}")

    def finish_inputs(self) -> None:
        """Number the records of all inputs in the order in which a server reads them: by hour, partition, offset."""
        for source in self.pipeline.inputs:
            table = quoted(f"records {source.name}")
            rows = f"SELECT * EXCLUDE (_off, _hour), _off AS _offset, _hour FROM {table}"
            numbered = ITEMS.numbered(rows, "_hour, _part, _offset")
            self._run(f"CREATE TABLE {input_table(source)} AS SELECT * EXCLUDE (_offset, _hour) FROM ({numbered})")
            self._run(f"DROP TABLE {table}")

    def rows(self, source: Source) -> str:
        """A source's rows in their order. Those of a table are its changes, or its newest rows if these are enough."""
        if source.name in [given.name for given in self.pipeline.inputs]:
            return f"SELECT *, false AS _gone FROM {input_table(source)}"
        (query,) = self.pipeline.writers(source.topic)
        analysis = query.analysis
        if query.id in self.pipeline.histories and analysis.is_aggregation:
            rows = f"SELECT * FROM {self._history(query)}"
        elif analysis.is_aggregation:
            rows = f"SELECT *, 0 AS _part, false AS _gone FROM {self.result(query)}"
        elif analysis.is_ordered:
            rows = f"SELECT * FROM {self.result(query)}"
        else:
            rows = selects.rows(analysis, self.rows(analysis.source), carried=CARRIED)
        names = [column.name for column in analysis.columns]
        return selects.as_source(source, rows, names, carried=CARRIED)

    @contextmanager
    def items(self, query: Query, number: int) -> Iterator[str]:
        """The items of an ordered query, as the table from which its SELECT reads."""
        analysis = query.analysis
        planned = plan.planned(ITEMS, analysis, list(map(self.rows, analysis.sources)), f"ordered_{number}")
        names = [name for name, _ in planned.steps]
        for name, sql in planned.steps:
            self._run(f"CREATE TABLE {name} AS {sql}")
        items = planned.result
        is_signed = analysis.is_aggregation and items.is_table
        relation = plan.relation(ITEMS, analysis, f"({tables.signed(ITEMS, items)})" if is_signed else items.table)
        yield relation
        for name in names:
            self._run(f"DROP TABLE {name}")

    @contextmanager
    def grouped(self, query: Query, number: int) -> Iterator[str]:
        """The rows that a grouping over several sources or a table reads, in their order."""
        with self.items(query, number) as relation:
            rows = quoted(f"rows {query.id}")
            self._run(f"CREATE TABLE {rows} AS {ITEMS.numbered(relation, '_n, _s')}")
            if query.id in self.pipeline.histories:
                self.keep_history(query, f"SELECT * FROM {rows}")
        yield f"SELECT * FROM {rows}"
        self._run(f"DROP TABLE {rows}")

    def select(self, query: Query, number: int) -> None:
        """Compute a query without groups."""
        with self.items(query, number) as relation:
            analysis, result = query.analysis, self.result(query)
            if not analysis.gives_table:
                rows = selects.rows(analysis, ITEMS.numbered(relation, "_n, _s"), carried=("_part",))
                self._run(f"CREATE TABLE {result} AS SELECT *, false AS _gone FROM ({rows})")
                return
            changes = ordered.changes(analysis, relation)
            keys = ", ".join(column_of(column.name) for column in analysis.columns if column.is_key)
            newest = f"row_number() OVER (PARTITION BY {keys} ORDER BY _off DESC) = 1 AND NOT _gone"
            numbered = ITEMS.numbered(f"SELECT *, _time AS ROWTIME FROM ({changes})", "_n, _s")
            rows = f"SELECT * EXCLUDE (_n, _s, _time), {newest} AS _is_newest FROM ({numbered})"
            self._run(f"CREATE TABLE {result} AS {rows}")

    def keep_history(self, query: Query, relation: str) -> None:
        """Compute all changes of a grouping's rows from the rows of a relation, which have ``_part``."""
        grouping = selects.grouping(query.analysis)
        rows = f"SELECT *, _part AS ROWPARTITION FROM ({relation})"
        state = f"SELECT *, 0::BIGINT AS _off FROM ({grouping.partial(rows, None)}) LIMIT 0"
        self._run(f"CREATE TEMP TABLE no_state AS {state}")
        changes = self.memory.enough(
            partial(history.all_changes, self.database, grouping, "no_state", rows, "changes_of_state")
        )
        named = "SELECT * EXCLUDE (_tombstone, ROWPARTITION, ROWOFFSET), ROWPARTITION AS _part, _tombstone AS _gone"
        self._run(f"CREATE TABLE {self._history(query)} AS {named} FROM ({changes})")
        self._run("DROP TABLE no_state")
        self._run("DROP TABLE changes_of_state")

    def _history(self, query: Query) -> str:
        return quoted(f"history {query.id}")

    def _run(self, statement: str) -> None:
        self.memory.enough(partial(self.database.execute, statement))
