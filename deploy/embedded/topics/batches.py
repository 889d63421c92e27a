"""Batches of a stored topic: rows, and JSON records from files or from the table of records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import duckdb

from opensea_metrics.deploy.embedded import health
from opensea_metrics.deploy.embedded.files import segments
from opensea_metrics.deploy.embedded.files.archive import Register
from opensea_metrics.deploy.embedded.files.lines import FileLines
from opensea_metrics.deploy.embedded.files.segments import Segment
from opensea_metrics.deploy.embedded.files.unread import Unread
from opensea_metrics.deploy.embedded.topics import processing_log
from opensea_metrics.deploy.embedded.topics.processing_log import Report
from opensea_metrics.deploy.embedded.topics.record_topic import RECORD, TOMBSTONE, Positions
from opensea_metrics.deploy.embedded.topics.table_feeds import ChangesRead
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.records import rows as records
from opensea_metrics.sql.language.lowering.records.capitals import Capitals, capitals
from opensea_metrics.sql.language.lowering.records.spelling import Spelling

ReadLines = Callable[[duckdb.DuckDBPyConnection, Capitals], str]
"""Creates a relation of lines that can be read once.

Its columns are ``line``, ``path``, ``key``, ``ts`` and ``record_topic.RECORD``. For a table, ``record_topic.TOMBSTONE``
is added, and ``headers`` if the source has a column for headers.
"""

_NO_JSON = (duckdb.InvalidInputException, duckdb.ConversionException, UnicodeDecodeError)
"""The exceptions for a line that is not JSON. DuckDB shortens the line in its message, even within a character."""


class WholeBatch:
    """The base of batches that can always be read completely."""

    @property
    def outcome(self) -> Mapping[int, Unread | None]:
        return {}

    @property
    def reports(self) -> Sequence[Report]:
        return ()

    @property
    def paths(self) -> Iterable[str]:
        return ()

    @property
    def whole_segments(self) -> Sequence[Segment] | None:
        return None

    def keep(self, cursor: duckdb.DuckDBPyConnection, query_id: str) -> None:
        """Do nothing: no record stays unread."""

    def kept(self, query_id: str) -> None:
        """Do nothing: these records have no state outside the query's transaction."""


@dataclass(frozen=True)
class RowBatch(WholeBatch):
    """The rows of a feed, in ``relation``. ``changes`` describes them if they are changes of a table."""

    positions: Positions
    relation: str
    changes: ChangesRead | None = None
    is_decoded = True

    def read(
        self, cursor: duckdb.DuckDBPyConnection, consume: Callable[[str], None]
    ) -> None:
        consume(self.relation)


@dataclass(frozen=True)
class JsonBatch(WholeBatch):
    """JSON records of a source. ``lines`` creates a relation of them."""

    positions: Positions
    source: Source
    names: Spelling
    lines: ReadLines
    odd: str | None
    is_decoded = False

    def undecoded(self, cursor: duckdb.DuckDBPyConnection) -> str:
        """A relation of the records as they are stored (see :data:`ReadLines`)."""
        return self.lines(cursor, capitals(self.names.capitalized))

    def read(
        self, cursor: duckdb.DuckDBPyConnection, consume: Callable[[str], None]
    ) -> None:
        """Call ``consume`` with the records. If a line is not JSON, call it again with a slower relation."""
        odd = self.odd if self.names.is_lower else None
        carried = (*RECORD, TOMBSTONE) if self.source.is_table else RECORD
        for all_json in (True, False):
            given = self.undecoded(cursor)
            try:
                consume(records.decoded(given, self.source, self.names, odd, carried, all_json))
            except _NO_JSON:
                if not all_json:
                    raise
            else:
                return


@dataclass(frozen=True)
class FileBatch(JsonBatch):
    """JSON records from segments of files. ``files`` knows which segments were read completely."""

    files: FileLines
    register: Register
    segments: Sequence[Segment]
    is_rest: bool

    @property
    def outcome(self) -> Mapping[int, Unread | None]:
        return self.files.outcome

    @property
    def reports(self) -> Sequence[Report]:
        return self.files.reports

    @property
    def paths(self) -> Iterable[str]:
        return self.files.paths

    @property
    def whole_segments(self) -> Sequence[Segment] | None:
        """The segments that were read. None unless all of them were read from beginning to end."""
        return None if self.is_rest or self.files.unread else self.segments

    def keep(self, cursor: duckdb.DuckDBPyConnection, query_id: str) -> None:
        """Save which parts of the files the query has not read, and report them."""
        outcome = self.outcome
        cursor.execute(
            "DELETE FROM meta.unread WHERE query = ? AND list_contains(?::BIGINT[], seq)",
            [query_id, list(outcome)],
        )
        rows = [item for item in outcome.values() if item is not None]
        if rows:
            values = ((item.seq, item.taken, item.checksum, item.tried, item.why.value) for item in rows)
            cursor.execute(
                "INSERT INTO meta.unread SELECT ?, unnest(?::BIGINT[]), unnest(?::BIGINT[]),"
                " unnest(?::BIGINT[]), unnest(?::BIGINT[]), unnest(?::VARCHAR[])",
                [query_id, *map(list, zip(*values, strict=True))],
            )
        topic = self.source.topic
        segments.keep_read(cursor, topic, self.files.read)
        processing_log.report(cursor, processing_log.reader(query_id), topic, self.reports)

    def kept(self, query_id: str) -> None:
        """Tell the register which files were read to their end, and log a warning about the others."""
        self.register.note_read(self.source.topic, self.files.read)
        if reports := self.reports:
            first = reports[0]
            health.tell(
                "some files cannot be read, or only in part; see KSQL_PROCESSING_LOG",
                query=query_id, reports=str(len(reports)), first=first.path, reason=first.reason,
            )  # fmt: skip
