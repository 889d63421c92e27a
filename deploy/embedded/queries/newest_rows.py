"""The rows of a table that a statement declares over a topic: the newest value of each key. NULL deletes the key."""

from __future__ import annotations

import duckdb

from opensea_metrics.core.quoting import column as column_of
from opensea_metrics.deploy.embedded.topics import feeds
from opensea_metrics.deploy.embedded.topics.record_topic import TOMBSTONE
from opensea_metrics.sql.language.catalog.sources import Source

_DELTA = "newest_delta"


class NewestRows:
    """A temporary table of the newest rows, for one query of a client.

    Its ``_off`` grows with each change of a key, and ``end`` is the next ``_off``.
    """

    def __init__(self, cursor: duckdb.DuckDBPyConnection, source: Source, table: str) -> None:
        self._cursor = cursor
        self._table = table
        self._keys = [column_of(column.name) for column in source.columns if column.is_key]
        self._keys += ["WINDOWSTART", "WINDOWEND"] if source.window else []
        self.end = 0
        cursor.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {feeds.nothing(source)}")

    def take(self, relation: str) -> None:
        """Merge records in the order of their ``_off``.

        A record with :data:`TOMBSTONE` deletes its key. Records without a key are left out.
        """
        cursor, table, keys = self._cursor, self._table, ", ".join(self._keys)
        has_key = " AND ".join(f"{key} IS NOT NULL" for key in self._keys)
        cursor.execute(
            f"CREATE OR REPLACE TEMP TABLE {_DELTA} AS SELECT * FROM ({relation}) WHERE {has_key}"
            f" QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY _off DESC) = 1"
        )
        same = " AND ".join(f"old.{key} = new.{key}" for key in self._keys)
        cursor.execute(f"DELETE FROM {table} AS old USING {_DELTA} AS new WHERE {same}")
        columns = [name for name, *_ in cursor.execute(f"DESCRIBE {_DELTA}").fetchall()]
        excluded, alive = "", ""
        if TOMBSTONE in columns:
            excluded, alive = f" EXCLUDE ({TOMBSTONE})", f" WHERE NOT {TOMBSTONE}"
        number = f"{self.end} + row_number() OVER (ORDER BY _off) - 1 AS _off"
        cursor.execute(
            f"INSERT INTO {table} BY NAME SELECT *{excluded} REPLACE ({number}) FROM {_DELTA}{alive}"
        )
        (self.end,) = cursor.execute(f"SELECT coalesce(max(_off) + 1, {self.end}) FROM {table}").fetchone()  # type: ignore[misc]

    def since(self, number: int) -> str:
        """The rows whose ``_off`` is at least a number."""
        return f"SELECT * FROM {self._table} WHERE _off >= {number}"
