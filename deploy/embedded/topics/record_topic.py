"""The interface of a topic: partitions of records. Readers start at positions, and writers append records.

A record has a partition, an offset, a timestamp, a key, headers and a value. A reader remembers *positions*: for each
partition, how far it has read each of the topic's *feeds*. A feed is a sequence of records that only grows, such as
the files of a topic, or the rows that a query writes. Only the topic knows the meaning of a position: readers just
save a position and pass it back.

:mod:`deploy.embedded.topics.stored_topic` implements the topics of a data directory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import duckdb

from opensea_metrics.sql.language.catalog.sources import Source

if TYPE_CHECKING:  # lines imports processing_log, which appends records
    from opensea_metrics.deploy.embedded.files.segments import Segment
    from opensea_metrics.deploy.embedded.files.unread import Unread
    from opensea_metrics.deploy.embedded.topics.processing_log import Report

RECORD = ("ROWPARTITION", "ROWOFFSET")
"""Columns of relations of records, in addition to the columns of the source, ROWTIME and ``_off``."""


UNREADABLE = ("_failed", "_line", "_path")
"""Columns of decoded JSON that describe an unreadable record: the reason, its text, and its file."""


TOMBSTONE = "_tombstone"
"""A column of a table's records: true if the record has no value, which deletes its key.

Queries over a stream do not see records without a value. So a stream's decoded JSON counts them as unreadable.
"""


class ReadPosition(NamedTuple):
    """A feed in a partition, for which a reader remembers a number."""

    feed: str
    partition: int = 0


Positions = Mapping[ReadPosition, int]
"""How far (exclusive) a reader has read each feed. A missing entry means that it has read nothing yet."""


class TopicRecord(NamedTuple):
    """A record to append.

    ``time`` is in epoch ms. ``key`` and ``value`` are JSON objects. A ``key`` of None means that the record has no
    key, and a ``value`` of None that it is a tombstone.
    """

    time: int
    key: str | None
    value: str | None
    partition: int = 0


@dataclass(frozen=True)
class PartitionOffsets:
    """A partition's first offset, the offset after its last record, and the next offset that a reader reads."""

    partition: int
    first: int
    end: int
    reached: int


class Batch(Protocol):
    """Some records of a topic, in reading order."""

    @property
    def positions(self) -> Positions:
        """The positions of a reader after it has read the batch, in the batch's partitions."""
        ...

    @property
    def is_decoded(self) -> bool:
        """True if the records are rows. Otherwise they are JSON, and some may be unreadable."""
        ...

    def read(self, cursor: duckdb.DuckDBPyConnection, consume: Callable[[str], None]) -> None:
        """Call ``consume`` with a relation of the records.

        The relation has the source's columns, ROWTIME and :data:`RECORD`. Rows also have ``_off``, and JSON records
        have the columns that :func:`sql.language.lowering.records.rows.decoded` adds. ``consume`` may be called twice,
        so it must do its work in one transaction.
        """
        ...

    def keep(self, cursor: duckdb.DuckDBPyConnection, query_id: str) -> None:
        """Save which records a persistent query could not read, within the query's transaction."""
        ...

    def kept(self, query_id: str) -> None:
        """Finish the work of :meth:`keep`. Called after the query's transaction."""
        ...

    @property
    def outcome(self) -> Mapping[int, Unread | None]:
        """After the batch is read: the segments that were unread before this batch, or are unread now.

        The value is None if a segment is now read to its end.
        """
        ...

    @property
    def reports(self) -> Sequence[Report]:
        """After the batch is read: the problems that users should know about."""
        ...

    @property
    def paths(self) -> Iterable[str]:
        """The files of the records, as reports name them."""
        ...

    @property
    def whole_segments(self) -> Sequence[Segment] | None:
        """After the batch is read: its segments, if it holds exactly the records of whole segments. Otherwise None."""
        ...


class RecordTopic(Protocol):
    """A topic as seen by a reader with the columns of ``source``."""

    @property
    def name(self) -> str: ...

    def partitions(self) -> int:
        """The number of partitions."""
        ...

    def ends(self, cursor: duckdb.DuckDBPyConnection) -> Positions:
        """The positions after all existing records."""
        ...

    def read(
        self, cursor: duckdb.DuckDBPyConnection, source: Source, positions: Positions, most_bytes: int
    ) -> Iterator[Batch]:
        """The records at ``positions`` and after, in batches of about ``most_bytes`` bytes of JSON."""
        ...

    def read_json(
        self, cursor: duckdb.DuckDBPyConnection, source: Source, positions: Positions, most_bytes: int
    ) -> Iterator[Batch]:
        """The batches of :meth:`read` that hold JSON."""
        ...

    def again(
        self,
        cursor: duckdb.DuckDBPyConnection,
        source: Source,
        positions: Positions,
        unread: Iterable[Unread],
    ) -> Batch | None:
        """The records that a reader could not read before, if their files have changed since then.

        None if no file has changed.
        """
        ...

    def offsets(
        self, cursor: duckdb.DuckDBPyConnection, positions: Positions, keeps_rows: bool
    ) -> list[PartitionOffsets]:
        """The offsets of each partition, for a reader that has read up to ``positions``.

        A reader that does not keep rows is never behind a feed of rows, because a SELECT over rows is computed when
        it is read.
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
        """Create the topic. A topic that exists stays unchanged.

        ``retention`` is the greatest age of its records in ms. None or a negative number means no limit.
        """
        ...

    def delete(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Delete the topic, and the records that the server stores for it."""
        ...
