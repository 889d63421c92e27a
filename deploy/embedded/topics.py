"""What a topic is: partitions of records that are read from positions on, and appended to.

A record has a partition, an offset, a timestamp, a key, headers and a value. A reader remembers where it is by
*positions*: for each partition, how far it has read each of the topic's *feeds*. A feed is a sequence of records
that only grows, such as the files of a topic, or what a query writes into it. What a position counts is the
topic's own business: who reads only keeps it and gives it back.

:mod:`deploy.embedded.stored_topic` has the topics of a data directory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import duckdb

from opensea_metrics.sql.language.catalog.sources import Source

if TYPE_CHECKING:  # lines imports processing_log, which appends records
    from opensea_metrics.deploy.embedded.archive import Segment
    from opensea_metrics.deploy.embedded.lines import Unread
    from opensea_metrics.deploy.embedded.processing_log import Report

RECORD = ("ROWPARTITION", "ROWOFFSET")
"""What relations of records have beside the columns of their source, ROWTIME and ``_off``."""


UNREADABLE = ("_failed", "_line", "_path")
"""Columns of decoded JSON: for a record that cannot be read why, its text, and where it stood."""


TOMBSTONE = "_tombstone"
"""A column of decoded JSON of a table: whether the record has no value, which deletes its key."""


class ReadPosition(NamedTuple):
    """What a reader remembers a number of."""

    feed: str
    partition: int = 0


Positions = Mapping[ReadPosition, int]
"""Up to where (exclusive) a reader has read; what is missing is at the beginning."""


class TopicRecord(NamedTuple):
    """A record to be appended: its time (epoch ms), key (None: none) and value (None: a tombstone) as JSON objects,
    and its partition."""

    time: int
    key: str | None
    value: str | None
    partition: int = 0


@dataclass(frozen=True)
class PartitionOffsets:
    """A partition's first offset, the one after its last record, and the next one that a reader reads."""

    partition: int
    first: int
    end: int
    reached: int


class Batch(Protocol):
    """Some records of a topic, in the order in which they are to be read."""

    @property
    def positions(self) -> Positions:
        """Where a reader is that has read them, in the partitions that they are of."""
        ...

    @property
    def is_decoded(self) -> bool:
        """Whether they are rows already; else they are JSON, and some may be unreadable."""
        ...

    def read(self, cursor: duckdb.DuckDBPyConnection, consume: Callable[[str], None]) -> None:
        """Call ``consume`` with a relation of the records: the source's columns, ROWTIME and :data:`RECORD`; of rows
        ``_off`` too, and of JSON what :func:`sql.language.lowering.records.rows.decoded` gives.

        It may be called again: so it must do its work in one transaction.
        """
        ...

    def keep(self, cursor: duckdb.DuckDBPyConnection, query_id: str) -> None:
        """Write down what a persistent query could not read of them, within its transaction."""
        ...

    def kept(self, query_id: str) -> None:
        """To be called after that transaction."""
        ...

    @property
    def outcome(self) -> Mapping[int, Unread | None]:
        """What a reader has left of the topic before, or leaves now, once they are read: None if nothing any more."""
        ...

    @property
    def reports(self) -> Sequence[Report]:
        """What users should know of them, once they are read."""
        ...

    @property
    def paths(self) -> Iterable[str]:
        """The files that they are of, as reports name them."""
        ...

    @property
    def whole_segments(self) -> Sequence[Segment] | None:
        """Of records of files, once they are read: the segments that they are all records of; else None."""
        ...


class RecordTopic(Protocol):
    """A topic, as a reader with the columns of ``source`` sees it."""

    @property
    def name(self) -> str: ...

    def partitions(self, cursor: duckdb.DuckDBPyConnection) -> int:
        """How many partitions it has."""
        ...

    def ends(self, cursor: duckdb.DuckDBPyConnection) -> Positions:
        """The positions after all records that there are."""
        ...

    def read(
        self, cursor: duckdb.DuckDBPyConnection, source: Source, positions: Positions, most_bytes: int
    ) -> Iterator[Batch]:
        """The records from positions on, in batches of about that many bytes of JSON."""
        ...

    def again(
        self,
        cursor: duckdb.DuckDBPyConnection,
        source: Source,
        positions: Positions,
        unread: Iterable[Unread],
    ) -> Batch | None:
        """What a reader could not read before, as far as that may go better now."""
        ...

    def offsets(
        self, cursor: duckdb.DuckDBPyConnection, positions: Positions, keeps_rows: bool
    ) -> list[PartitionOffsets]:
        """Each partition's offsets, for a reader that has read up to some positions.

        One that keeps nothing of rows is never behind them: a SELECT over rows is computed when it is read.
        """
        ...

    def append(self, cursor: duckdb.DuckDBPyConnection, records: Sequence[TopicRecord]) -> None:
        """Add records in their order, within the caller's transaction."""
        ...

    def ensure(
        self,
        cursor: duckdb.DuckDBPyConnection,
        partitions: int,
        replicas: int,
        retention: int | None,
    ) -> None:
        """Create it; one that exists stays as it is. ``retention`` (ms; None or negative: for ever) says how old its
        records may become."""
        ...

    def delete(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Delete it, and the records that the server holds of it."""
        ...
