"""Ordered queries on DuckDB: relations are kept in tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import duckdb

from opensea_metrics.spark_batch.statement_runner import StatementRunner
from opensea_metrics.sql.language.catalog.catalog import Query
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.duckdb import groupings, selects
from opensea_metrics.sql.language.lowering.ordered.items import OrderedSyntax
from opensea_metrics.sql.language.queries.analysis import Analysis


class DuckDbOrdered:
    """Computes relations in a database. ``result`` names the table of a grouping's rows."""

    def __init__(
        self, database: duckdb.DuckDBPyConnection, runner: StatementRunner, result: Callable[[Query], str]
    ) -> None:
        self._database = database
        self._runner = runner
        self._result = result

    @property
    def items(self) -> OrderedSyntax:
        from opensea_metrics.sql.language.lowering.duckdb import ordered  # most runs need no order

        return ordered.SYNTAX

    def keep(self, name: str, relation: str) -> None:
        self._runner.number(self._database, f"CREATE TABLE {name} AS {relation}")

    def release(self, name: str) -> None:
        self._database.execute(f"DROP TABLE {name}")

    def rows(self, analysis: Analysis, relation: str, carried: Sequence[str]) -> str:
        return selects.rows(analysis, relation, carried=carried)

    def changes(self, analysis: Analysis, items: str) -> str:
        from opensea_metrics.sql.language.lowering.duckdb import ordered

        return ordered.changes(analysis, f"SELECT * FROM {items}")

    def history(self, analysis: Analysis, relation: str) -> str:
        from opensea_metrics.sql.language.lowering.duckdb import history

        grouping = groupings.grouping(analysis)
        rows = f"SELECT *, _part AS ROWPARTITION FROM ({relation})"
        state = f"SELECT *, 0::BIGINT AS _off FROM ({grouping.partial(rows, None)}) LIMIT 0"
        self._database.execute(f"CREATE OR REPLACE TEMP TABLE no_state AS {state}")
        nothing = "SELECT * FROM no_state"
        computed = partial(history.all_changes, self._database, grouping, nothing, rows, "changes_of_state")
        changes = self._runner.enough(computed)
        named = "SELECT * EXCLUDE (_tombstone, ROWPARTITION, ROWOFFSET), ROWPARTITION AS _part, _tombstone AS _gone"
        return f"{named} FROM ({changes})"

    def as_source(self, source: Source, relation: str, available: Sequence[str], carried: Sequence[str]) -> str:
        return selects.as_source(source, relation, available, carried)

    def final(self, query: Query) -> str:
        return f"SELECT * FROM {self._result(query)}"
