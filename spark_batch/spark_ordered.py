"""Ordered queries on Spark: relations are kept in memory or on disks of the workers, as views of a session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from opensea_metrics.spark_batch.spark_errors import spark_errors
from opensea_metrics.sql.language.catalog.catalog import Query
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.ordered import plan
from opensea_metrics.sql.language.lowering.spark import selects
from opensea_metrics.sql.language.lowering.spark.ordered import SYNTAX
from opensea_metrics.sql.language.queries.analysis import Analysis

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class SparkOrdered:
    """Computes relations in a session. ``run`` gives the rows of a query, and ``result`` those of a grouping."""

    items = SYNTAX

    def __init__(self, run: Callable[[str], DataFrame], result: Callable[[Query], str]) -> None:
        self._run = run
        self._result = result
        self._kept: dict[str, DataFrame] = {}

    def keep(self, name: str, relation: str) -> None:
        """Compute a relation at once, and forget how.

        Relations read each other several times, so a plan with those below it would grow with every join. If a
        cluster loses a worker with its part of a relation, the run fails.
        """
        with spark_errors():
            frame = self._run(relation).localCheckpoint()
            frame.createOrReplaceTempView(name)
        self._kept[name] = frame

    def release(self, name: str) -> None:
        """Spark frees the memory when no relation refers to it any more."""
        self._kept.pop(name).sparkSession.catalog.dropTempView(name)

    def rows(self, analysis: Analysis, relation: str, carried: Sequence[str]) -> str:
        return selects.rows(analysis, relation, carried=carried)

    def changes(self, analysis: Analysis, items: str) -> str:
        return selects.changes(analysis, plan.relation(SYNTAX, analysis, items))

    def history(self, analysis: Analysis, relation: str) -> str:
        return selects.history(analysis, relation)

    def as_source(self, source: Source, relation: str, available: Sequence[str], carried: Sequence[str]) -> str:
        return selects.as_source(source, relation, available, carried)

    def final(self, query: Query) -> str:
        return self._result(query)

    def close(self) -> None:
        """Release what was kept."""
        for name in list(self._kept):
            with suppress(Exception):  # the JVM may have ended, which frees it too
                self.release(name)
