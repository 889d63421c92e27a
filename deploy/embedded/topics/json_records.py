"""The records of a topic that are JSON: in files of the archive, and in the table of records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import duckdb

from opensea_metrics.deploy.embedded.files import segments
from opensea_metrics.deploy.embedded.files.archive import Register
from opensea_metrics.deploy.embedded.files.lines import FileLines
from opensea_metrics.deploy.embedded.files.segment_files import state
from opensea_metrics.deploy.embedded.files.segments import FILES, Segment
from opensea_metrics.deploy.embedded.files.unread import Unread
from opensea_metrics.deploy.embedded.topics import record_store
from opensea_metrics.deploy.embedded.topics.batches import FileBatch, JsonBatch
from opensea_metrics.deploy.embedded.topics.record_topic import Batch, Positions, ReadPosition
from opensea_metrics.deploy.embedded.topics.topic_lines import lines_of_files, lines_of_records
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.records import rows as records

RECORDS = "records"
"""The feed of the table of records."""
MOST_BYTES = 256 * 1024 * 1024
"""The number of bytes of JSON in a batch."""
_SAMPLE = 64 * 1024
"""The number of bytes of text from which the usual spelling of names is derived."""


@dataclass(frozen=True)
class JsonRecords:
    """The JSON records of the topic ``name``. ``register`` has the files.

    ``with_records`` are the topics that may have records in the table of records; None means any.
    """

    name: str
    register: Register
    with_records: set[str] | None

    def read(
        self, cursor: duckdb.DuckDBPyConnection, source: Source, positions: Positions, most_bytes: int
    ) -> Iterator[Batch]:
        """:meth:`RecordTopic.read_json`."""
        yield from self._files(cursor, source, of_feed(positions, FILES), most_bytes)
        yield from self._records(cursor, source, of_feed(positions, RECORDS))

    def again(
        self,
        cursor: duckdb.DuckDBPyConnection,
        source: Source,
        positions: Positions,
        unread: Iterable[Unread],
    ) -> Batch | None:
        """:meth:`RecordTopic.again`."""
        by_number = {item.seq: item for item in unread}
        known = segments.segments(cursor, self.name, {}, by_number)
        root = self.register.root
        changed = [
            segment
            for segment in known
            if state(root, self.name, segment) != by_number[segment.seq].tried
        ]
        if not changed:
            return None
        before = [by_number[segment.seq] for segment in changed]
        return self.of_files(source, {}, changed, before)

    def _files(
        self,
        cursor: duckdb.DuckDBPyConnection,
        source: Source,
        first: dict[int, int],
        most_bytes: int,
    ) -> Iterator[Batch]:
        if not self.register.end(self.name):
            return
        while pending := segments.segments(cursor, self.name, first):
            chosen = segments.chunk(pending, most_bytes)
            reached = {segment.partition: segment.seq + 1 for segment in chosen}
            first = first | reached
            positions = {ReadPosition(FILES, number): seq for number, seq in reached.items()}
            yield self.of_files(source, positions, chosen)

    def of_files(
        self,
        source: Source,
        positions: Positions,
        chosen: list[Segment],
        before: Iterable[Unread] = (),
    ) -> Batch:
        """The batch of the ``chosen`` segments. ``before`` describes what earlier batches have left of them."""
        rest = list(before)
        files = FileLines(self.register.root, self.name, chosen, rest)
        names = records.spelled(source, files.sample(_SAMPLE))
        lines = partial(lines_of_files, files, source)
        return FileBatch(
            positions, source, names, lines, "_odd",
            files=files, register=self.register, segments=chosen, is_rest=bool(rest),
        )  # fmt: skip

    def ends_of_records(self, cursor: duckdb.DuckDBPyConnection) -> dict[int, int]:
        """For each partition: the offset after the last record of the table of records."""
        return record_store.ends(cursor, self.name) if self._may_have_records() else {}

    def counted_records(
        self, cursor: duckdb.DuckDBPyConnection, positions: Positions
    ) -> list[record_store.PartitionCounts]:
        """:func:`record_store.counted` of what is left to read in the table of records after ``positions``."""
        read = of_feed(positions, RECORDS)
        return record_store.counted(cursor, self.name, read) if self._may_have_records() else []

    def _may_have_records(self) -> bool:
        return self.with_records is None or self.name in self.with_records

    def _records(
        self, cursor: duckdb.DuckDBPyConnection, source: Source, low: dict[int, int]
    ) -> Iterator[Batch]:
        high = self.ends_of_records(cursor)
        if all(low.get(number, 0) >= end for number, end in high.items()):
            return
        lines = lines_of_records(self.name, source, low, high)
        positions = {ReadPosition(RECORDS, number): end for number, end in high.items()}
        yield JsonBatch(positions, source, records.as_declared(source), lambda *_: lines, None)


def of_feed(positions: Positions, feed: str) -> dict[int, int]:
    """The positions of a feed, by partition."""
    return {position.partition: number for position, number in positions.items() if position.feed == feed}
