"""Records numbered in the order in which a query reads them: an aggregation needs that order."""

from __future__ import annotations

import duckdb

from opensea_metrics.deploy.embedded.topics import UNREADABLE, ReadPosition

DECODED = ReadPosition("decoded")
"""No position but a counter: of the JSON records that a query has read."""


class Numbered:
    """A batch as a ``relation`` with ``_off``: JSON records are decoded into a temporary table, and numbered from
    ``next`` on; ``failed`` of them could not be read."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, table: str, following: int) -> None:
        self._cursor = cursor
        self._table = table
        self._begin = following
        self.next = following
        self.failed = 0
        self.relation = ""

    def take(self, decoded: str) -> None:
        """Take JSON records (see :mod:`sql.language.lowering.records.rows`); what was taken before is forgotten."""
        table = self._table
        self._cursor.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {decoded}")
        count, failed = self._cursor.execute(f"SELECT count(*), count(_failed) FROM {table}").fetchone()  # type: ignore[misc]
        self.next, self.failed = self._begin + int(count), int(failed)
        self.relation = (
            f"SELECT * EXCLUDE ({', '.join(UNREADABLE)}), {self._begin} + rowid AS _off "
            f"FROM {table} WHERE _failed IS NULL"
        )

    def take_rows(self, relation: str) -> None:
        """Take rows that are numbered already."""
        self.relation = relation
