"""Stream time by partition of the records, which decides which rows are late."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

from opensea_metrics.core.types import name_of
from opensea_metrics.sql.language.queries.analysis import Analysis


@dataclass(frozen=True)
class StreamTime:
    """Stream time: the greatest ROWTIME (epoch ms) ``seen`` so far in each partition of the records.

    A query that groups by columns other than its source's key has one stream time, that of partition 0. In Kafka
    Streams each partition of the repartitioned records has a task, and each task sees nearly all times. Rows of
    several partitions are merged as in Kafka Streams: the partition whose next record is the oldest comes next.
    """

    seen: Mapping[int, int]
    is_by_partition: bool = False

    @property
    def partition(self) -> str:
        """The partition whose stream time a row advances."""
        return "ROWPARTITION" if self.is_by_partition else "0"

    @property
    def order(self) -> str:
        """The rows of :meth:`merged` up to one of them, as a window of DuckDB's SQL."""
        return f"{self._ordered} ROWS UNBOUNDED PRECEDING"

    @property
    def earlier(self) -> str:
        """The rows of :meth:`merged` before one of them, as a window of DuckDB's SQL."""
        return f"{self._ordered} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"

    @property
    def place(self) -> str:
        """A number for each row of :meth:`merged`, in the order in which Kafka Streams reads the rows of a group."""
        return f"row_number() OVER (ORDER BY {'_off' if self.is_by_partition else '_turn, ROWPARTITION, _off'})"

    @property
    def _ordered(self) -> str:
        if self.is_by_partition:
            return "PARTITION BY ROWPARTITION ORDER BY _off"
        return "ORDER BY _turn, ROWPARTITION, _off"

    def merged(self, rows: str) -> str:
        """The rows with the additional columns that :attr:`order` needs."""
        if self.is_by_partition:
            return rows
        turn = "max(ROWTIME) OVER (PARTITION BY ROWPARTITION ORDER BY _off ROWS UNBOUNDED PRECEDING)"
        return f"SELECT *, {turn} AS _turn FROM ({rows})"

    @property
    def before(self) -> str:
        """The stream time of a row's partition before all rows of the relation."""
        if not self.is_by_partition:
            return str(self.seen.get(0, 0))
        cases = "".join(f" WHEN {number} THEN {time}" for number, time in self.seen.items())
        return f"CASE ROWPARTITION{cases} ELSE 0 END" if cases else "0"


def stream_time(analysis: Analysis, seen: Mapping[int, int]) -> StreamTime:
    """The stream time of a grouped SELECT whose partitions have ``seen`` these times."""
    keys = [column.name for column in analysis.source.columns if column.is_key]
    groups = [name_of(key.this) if isinstance(key, exp.Column) else None for key in analysis.group]
    return StreamTime(seen, is_by_partition=bool(keys) and groups == keys)
