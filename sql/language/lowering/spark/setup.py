"""What a Spark session needs before it runs lowered SQL: Python functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opensea_metrics.core.quoting import spark_quoted
from opensea_metrics.sql.language.lowering.rare import table
from opensea_metrics.udfs import spark as udfs

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def register_functions(session: SparkSession, query: str) -> None:
    """Register the functions that a query calls with a session. Registering one takes Spark some milliseconds."""
    called = [definition for name, definition in table.definitions().items() if spark_quoted(name) in query]
    udfs.register_scalars(session, called)
