"""The error for statements that ksqlDB supports and an engine does not."""

from __future__ import annotations

from opensea_metrics.core.errors import Place, SqlError

EMBEDDED = "the embedded server"
DUCKDB = "recompute on DuckDB"
SPARK = "recompute on Spark"
ARCHIVE = "archive check and archive compact"

_NEXT = {
    EMBEDDED: "run the statement on a ksqlDB server (--server URL or KSQLDB_URL), or write it differently",
    DUCKDB: "recompute other tables, and read this one from a ksqlDB server",
    SPARK: "recompute other tables, and read this one from a ksqlDB server",
    ARCHIVE: "declare the stream differently, or leave the archive as it is",
}


class Unsupported(SqlError):
    """An engine does not support a statement that ksqlDB supports.

    ``feature`` is the missing feature, as the subject of a sentence: ``ROUND``, ``JOIN``.
    ``engine`` is one of the names above.
    """

    def __init__(self, feature: str, engine: str, place: Place | None) -> None:
        super().__init__(
            f"{feature} is not supported by {engine}. ksqlDB supports it.", place, _NEXT[engine]
        )
        self.feature = feature
