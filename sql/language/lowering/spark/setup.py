"""What a Spark session needs before it runs lowered SQL: Python functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opensea_metrics.core.definition import OF_LIST
from opensea_metrics.core.quoting import spark_quoted
from opensea_metrics.sql.language.lowering.rare import table
from opensea_metrics.udfs import registry
from opensea_metrics.udfs import spark as udfs

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def register_functions(session: SparkSession, query: str) -> None:
    """Register the functions that a query calls with a session. Registering one takes Spark some milliseconds."""
    udfs.register_definitions(
        session,
        (
            definition
            for name, definition in [*table.definitions().items(), *registry.functions().items()]
            if spark_quoted(name) in query or spark_quoted(name + OF_LIST) in query
        ),
    )
