"""Numbers records in the order in which a query reads them. An aggregation needs this order."""

from __future__ import annotations

import duckdb

from opensea_metrics.deploy.embedded.topics.record_topic import UNREADABLE, ReadPosition

DECODED = ReadPosition("decoded")
"""Not a position, but a counter: the number of JSON records that a query has read."""


class Numbered:
    """A batch as a ``relation`` with a column ``_off``.

    JSON records are decoded into a temporary table and numbered. ``next`` is the number after the last record, and
    ``failed`` is the number of records that could not be read.
    """

    def __init__(self, cursor: duckdb.DuckDBPyConnection, table: str, following: int) -> None:
        self._cursor = cursor
        self._table = table
        self._begin = following
        self.next = following
        self.failed = 0
        self.relation = ""

    def take(self, decoded: str) -> None:
        """Number JSON records (see :mod:`sql.language.lowering.records.rows`). They replace those of the last call."""
        table = self._table
        self._cursor.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {decoded}")
        count, failed = self._cursor.execute(f"SELECT count(*), count(_failed) FROM {table}").fetchone()  # type: ignore[misc]
        self.next, self.failed = self._begin + int(count), int(failed)
        self.relation = (
            f"SELECT * EXCLUDE ({', '.join(UNREADABLE)}), {self._begin} + rowid AS _off "
            f"FROM {table} WHERE _failed IS NULL"
        )

    def take_rows(self, relation: str) -> None:
        """Use rows that already have numbers."""
        self.relation = relation
