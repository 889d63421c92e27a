"""Event times of records: the column that the TIMESTAMP property names, as epoch ms."""

from __future__ import annotations

from opensea_metrics.core.quoting import text
from opensea_metrics.core.types import STRING, TIMESTAMP
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.refusals import SPARK, Unsupported


def event_time(source: Source, value: str) -> str:
    """The event time in DuckDB's SQL, from the column's value. NULL for a text that does not match the format."""
    kind = source.timestamp_type
    if kind == TIMESTAMP:
        return f"epoch_ms({value})"
    if kind == STRING:
        return f"time_of_text({value}, {text(source.timestamp_format or '')})"
    return value


def spark_event_time(source: Source, value: str) -> str:
    """The event time in Spark's SQL. Raises Unsupported for a text."""
    kind = source.timestamp_type
    if kind == TIMESTAMP:
        return f"unix_millis(CAST({value} AS TIMESTAMP))"
    if kind == STRING:
        raise Unsupported(f"TIMESTAMP_FORMAT of {source.name}, whose topic a query writes,", SPARK, None)
    return value
