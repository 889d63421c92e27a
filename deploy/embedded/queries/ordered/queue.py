"""The queue of an ordered query: records that have arrived and that the query has not processed yet.

A queue has a table for each source. Its columns are those of the source that the query reads, ``_seq`` (the number of
the record among those of its reader), ``_part``, ``_time`` and ``_gone`` (see
:mod:`sql.language.lowering.duckdb.ordered`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from opensea_metrics.core.quoting import column as column_of
from opensea_metrics.deploy.embedded.topics import feeds
from opensea_metrics.deploy.embedded.topics.log_tables import state_table
from opensea_metrics.deploy.embedded.topics.readers import Reader
from opensea_metrics.deploy.embedded.topics.record_topic import TOMBSTONE
from opensea_metrics.sql.language.lowering.duckdb import ordered

_TURNS = "max(_time) OVER (PARTITION BY _part ORDER BY _seq ROWS UNBOUNDED PRECEDING)"
"""The records of a partition wait for those before them, so each takes its turn at the greatest time so far."""
_PARTITIONS = 1 << 16
_NUMBERS = 1 << 44


@dataclass(frozen=True)
class Queue:
    """The part of a query's queue for one source."""

    reader: Reader

    @property
    def table(self) -> str:
        return state_table(f"{self.reader.query.id} queue {self.reader.number}")

    @property
    def input(self) -> ordered.Input:
        return ordered.inputs(self.reader.query.analysis)[self.reader.number]

    def records(self, relation: str, number: str, has_tombstones: bool) -> str:
        """The records of a relation of the source as the queue has them. ``number`` is SQL for their ``_seq``."""
        source = self.input
        columns = [f"{column_of(name)} AS {written}" for name, written in source.columns]
        gone = f"coalesce({TOMBSTONE}, false)" if has_tombstones else "false"
        order = [f"{number} AS _seq", "ROWPARTITION AS _part", "ROWTIME AS _time", f"{gone} AS _gone"]
        return f"SELECT {', '.join([*columns, *order])} FROM ({relation})"

    def create(self, cursor: duckdb.DuckDBPyConnection, rows: str | None = None) -> None:
        """Create the table, with the ``rows`` that have arrived already."""
        nothing = self.records(feeds.nothing(self.reader.source), "0::BIGINT", has_tombstones=False)
        cursor.execute(f"CREATE OR REPLACE TABLE {self.table} AS {rows or nothing}")

    def add(self, cursor: duckdb.DuckDBPyConnection, rows: str) -> None:
        cursor.execute(f"INSERT INTO {self.table} BY NAME {rows}")

    def size(self, cursor: duckdb.DuckDBPyConnection) -> int:
        (count,) = cursor.execute(f"SELECT count(*) FROM {self.table}").fetchone()  # type: ignore[misc]
        return int(count)

    def items(self, arrived: str | None) -> str:
        """All records, of the queue and those that have just ``arrived``, as items. Their ``_n`` says their turn.

        A table's record without a key takes its turn too. :func:`take` then leaves it out.
        """
        rows = f"SELECT * FROM {self.table}"
        if arrived:
            rows = f"{rows} UNION ALL BY NAME {arrived}"
        sources = len(self.reader.query.analysis.sources)
        turn = f"({_TURNS}::HUGEINT * {sources} + {self.reader.number}) * {_PARTITIONS} + _part"
        items = f"SELECT * EXCLUDE (_seq), ({turn}) * {_NUMBERS} + _seq AS _n, 0::BIGINT AS _s, _seq FROM ({rows})"
        if not self.reader.source.is_table:
            return items
        return f"SELECT *, {self.input.key_sql} AS _key FROM ({items})"


def take(
    cursor: duckdb.DuckDBPyConnection, queues: Sequence[Queue], arrived: Sequence[str | None], most: int | None
) -> list[str]:
    """Move the first ``most`` records of all sources into temporary tables of items. Returns the tables.

    With ``most`` nothing may have arrived that is not in the queue. Without it, all records are taken.
    """
    tables = [f"items_{queue.reader.number}" for queue in queues]
    if most is None:
        for queue, table, rows in zip(queues, tables, arrived, strict=True):
            kept = " WHERE _key IS NOT NULL" if queue.reader.source.is_table else ""
            cursor.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT * FROM ({queue.items(rows)}){kept}")
            cursor.execute(f"DELETE FROM {queue.table}")
        return tables
    for queue, table in zip(queues, tables, strict=True):
        cursor.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {queue.items(None)} ORDER BY _n LIMIT {most}")
    numbers = " UNION ALL ".join(f"SELECT _n FROM {table}" for table in tables)
    (last,) = cursor.execute(
        f"SELECT max(_n) FROM (SELECT _n FROM ({numbers}) ORDER BY _n LIMIT {most})"
    ).fetchone()  # type: ignore[misc]
    for queue, table in zip(queues, tables, strict=True):
        cursor.execute(f"DELETE FROM {table} WHERE _n > {last}")
        cursor.execute(f"DELETE FROM {queue.table} WHERE _seq IN (SELECT _seq FROM {table})")
        if queue.reader.source.is_table:
            cursor.execute(f"DELETE FROM {table} WHERE _key IS NULL")
    return tables
