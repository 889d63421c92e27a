"""Reads and writes the record of migrations, which ksqlDB itself holds.

``MIGRATION_EVENTS`` and ``MIGRATION_SCHEMA_VERSIONS`` are those of Confluent's ksql-migrations 7.9.1, with the
same names, columns and topics (``<service id>ksql_<name>``). So this tool understands a server that was managed
with ksql-migrations, and the ``info`` of ksql-migrations shows what this tool did. Beside them,
``MIGRATION_STATEMENT_EVENTS`` and ``MIGRATION_STATEMENTS`` hold the statements of each version.

A write is an INSERT INTO the stream. A read is a pull query on the table, which lags behind. All events of a
stream are in one partition. So a reader that sees its own marker sees everything written before the marker
(see ``settle``). Only the holder of the lock writes.

Source: MetadataUtil.java, InitializeMigrationCommand.java and ApplyMigrationCommand.java in
https://github.com/confluentinc/ksql/tree/master/ksqldb-tools
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from operator import attrgetter
from typing import Any, TypeVar

from opensea_metrics.core.quoting import ksqldb_text
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.client.delivery import Delivered, Search, deliver, effect_if
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.record.records import (
    NO_VERSION,
    STORED,
    Recorded,
    StatementRecord,
    VersionRecord,
    row_of,
    statement_of,
    version_of,
)

T = TypeVar("T")
Row = Mapping[str, Any]
ROWS_IN_ONE_REQUEST = 20
# Keys that stand for neither a version nor a statement.
CURRENT, MARKER, HEARTBEAT = "CURRENT", "MARKER", "HEARTBEAT"
RENDERED = "0"  # the number of the row with the checksum of a version's rendered text


@dataclass(frozen=True)
class RecordTable:
    """A stream of events, and the table of the latest event for each key."""

    stream: str
    table: str
    key: str
    kind: type[VersionRecord | StatementRecord]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns besides the key."""
        return tuple(column for column, _ in STORED[self.kind].values())

    def creating(self, prefix: str) -> Iterator[tuple[str, str, dict[str, str]]]:
        """The stream and the table: their names, statements and properties. Names of topics begin with ``prefix``."""
        columns = ", ".join(f"{name} STRING" for name in self.columns)
        # ksql-migrations sets no RETENTION_MS. Its stream loses its events after seven days, and then the
        # table cannot be created again from the stream.
        stream = (
            f"CREATE STREAM IF NOT EXISTS {self.stream} ({self.key} STRING KEY, {columns})"
            f" WITH (KAFKA_TOPIC={ksqldb_text(prefix + self.stream)}, VALUE_FORMAT='JSON', PARTITIONS=1,"
            " RETENTION_MS=-1);"
        )
        yield self.stream, stream, {}
        columns = ", ".join(f"LATEST_BY_OFFSET({name}) AS {name}" for name in self.columns)
        table = (
            f"CREATE TABLE IF NOT EXISTS {self.table} WITH (KAFKA_TOPIC={ksqldb_text(prefix + self.table)})"
            f" AS SELECT {self.key}, {columns} FROM {self.stream} GROUP BY {self.key};"
        )
        # By default, a query reads from the offset that is the latest when the query starts. It would miss
        # the events before that.
        yield self.table, table, {"auto.offset.reset": "earliest"}

    def insert(self, key: str, values: Mapping[str, str]) -> str:
        """The statement that records ``values`` under ``key``."""
        # LATEST_BY_OFFSET skips NULLs, so every column gets a value, which may be ''.
        row = [key, *(values.get(name, "") for name in self.columns)]
        names = ", ".join((self.key, *self.columns))
        return f"INSERT INTO {self.stream} ({names}) VALUES ({', '.join(map(ksqldb_text, row))});"


VERSIONS = RecordTable("MIGRATION_EVENTS", "MIGRATION_SCHEMA_VERSIONS", "version_key", VersionRecord)
STATEMENTS = RecordTable("MIGRATION_STATEMENT_EVENTS", "MIGRATION_STATEMENTS", "statement_key", StatementRecord)
TABLES = (VERSIONS, STATEMENTS)
RECORD_NAMES = frozenset(name for table in TABLES for name in (table.stream, table.table))


def topic_prefix(client: KsqlClient) -> str:
    """The prefix of the record's topics, which ksql-migrations uses too."""
    return f"{client.info().service_id}ksql_"


@dataclass(frozen=True)
class RecordStore:
    """The record on one server.

    Rows are noted first. They are written in front of the next statement, in the same request: see :meth:`deliver`.
    """

    client: KsqlClient
    _noted: list[str] = field(default_factory=list, init=False, repr=False, compare=False)

    def read(self) -> Recorded:
        """The whole record; empty if neither this tool nor ksql-migrations ever ran."""
        tables = {source.name for source in self.client.tables()}
        versions, rows = (self._rows(table, tables) for table in TABLES)
        numbered = [(row.get("STATEMENT_NUMBER"), row) for row in rows]
        rendered = dict(self._read(STATEMENTS, row, _rendered_of) for number, row in numbered if number == RENDERED)
        records = [self._read(VERSIONS, row, partial(version_of, rendered=rendered)) for row in versions]
        sent = [self._read(STATEMENTS, row, statement_of) for number, row in numbered if number != RENDERED]
        return Recorded(
            tuple(sorted(records, key=attrgetter("version"))), tuple(sorted(sent, key=attrgetter("version", "number")))
        )

    def create(self) -> None:
        """Create the missing streams and tables, under the lock.

        If two clients create a table at the same time, ksqlDB 7.9.1 refuses one of them and deletes the topic
        of the other one (observed). The table then never shows anything.
        """
        names = self._names()
        if names >= RECORD_NAMES:
            return
        prefix = topic_prefix(self.client)
        for name, text, properties in chain.from_iterable(table.creating(prefix) for table in TABLES):
            # One by one: the objects of ksql-migrations have other properties, and stay as they are.
            if name not in names:
                deliver(self.client, text, properties, effect_if(partial(self._exists, name)))

    def settle(self) -> None:
        """Write what is noted, and wait until the tables show every write. Raises MigrationError if they do not."""
        token = uuid.uuid4().hex
        marker = {"state": MARKER, "error_reason": token}
        self._noted.extend(table.insert(MARKER, marker) for table in TABLES)
        self.write()
        for table in TABLES:
            text = f"SELECT error_reason FROM {table.table} WHERE {table.key} = '{MARKER}';"
            deadline = time.monotonic() + self.client.patience
            while [row["ERROR_REASON"] for row in self.client.pull(text)] != [token]:
                if time.monotonic() > deadline:
                    raise MigrationError(
                        f"{table.table} does not show a row that was written to {table.stream}"
                        f" {self.client.patience:g} s ago\n  hint: look at its query in SHOW QUERIES and at its"
                        " topic in SHOW TOPICS. If one of them is gone, DROP the table: the next run creates it"
                        " again from the stream"
                    )
                time.sleep(self.client.wait / 5)

    def note_version(self, record: VersionRecord, current: VersionRecord | None) -> None:
        """Note a version, and the current version; None if no version is applied."""
        if record.rendered:
            rendered = {
                "version": str(record.version),
                "statement_number": RENDERED,
                "statement_text": record.rendered,
                # ksql-migrations may apply another file later. It does not know this row.
                "previous_text": record.checksum,
            }
            self._noted.append(STATEMENTS.insert(f"{record.version}/{RENDERED}", rendered))
        now = {"version": NO_VERSION, "state": "PENDING"} if current is None else row_of(current)
        self._noted.extend([VERSIONS.insert(CURRENT, now), VERSIONS.insert(str(record.version), row_of(record))])

    def note_statements(self, records: Iterable[StatementRecord]) -> None:
        self._noted.extend(STATEMENTS.insert(f"{record.version}/{record.number}", row_of(record)) for record in records)

    def write(self) -> None:
        """Write what is noted."""
        while self._noted:
            # A row that is written twice is the same record.
            deliver(self.client, " ".join(self._noted[:ROWS_IN_ONE_REQUEST]))
            del self._noted[:ROWS_IN_ONE_REQUEST]

    def deliver(self, text: str, properties: Mapping[str, str], search: Search) -> Delivered:
        """Deliver a statement, after what is noted. If the server refuses the statement, the rows stay noted."""
        if len(self._noted) > ROWS_IN_ONE_REQUEST:
            self.write()
        delivered = deliver(self.client.preceded_by(" ".join(self._noted)), text, properties, search)
        self._noted.clear()
        return delivered

    def write_heartbeat(self, token: str, now: int) -> None:
        """Record that the holder of the lock was alive at ``now`` (ms since 1970). Sent once, not repeated."""
        values = {"state": HEARTBEAT, "error_reason": token, "completed_on": str(now)}
        self.client.execute(STATEMENTS.insert(HEARTBEAT, values))

    def last_heartbeat(self) -> tuple[str, int] | None:
        """The token and the time of the newest heartbeat."""
        if STATEMENTS.table not in {source.name for source in self.client.tables()}:
            return None
        rows = self.client.pull(
            f"SELECT error_reason, completed_on FROM {STATEMENTS.table} WHERE {STATEMENTS.key} = '{HEARTBEAT}';"
        )
        return (rows[0]["ERROR_REASON"], int(rows[0]["COMPLETED_ON"])) if rows else None

    def topic(self) -> str | None:
        """The topic of the statements' events, None if it does not exist yet."""
        streams = {source.name: source for source in self.client.streams()}
        return streams[STATEMENTS.stream].topic if STATEMENTS.stream in streams else None

    def _names(self) -> set[str]:
        return {source.name for source in (*self.client.streams(), *self.client.tables())}

    def _exists(self, name: str) -> bool:
        return name in self._names()

    def _rows(self, table: RecordTable, tables: set[str]) -> list[dict[str, Any]]:
        if table.table not in tables:
            return []
        rows = self.client.pull(f"SELECT * FROM {table.table};")
        return [row for row in rows if row.get(table.key.upper()) not in (CURRENT, MARKER, HEARTBEAT)]

    def _read(self, table: RecordTable, row: Row, read: Callable[[Row], T]) -> T:
        """Read a row. Raises MigrationError for a row that neither this tool nor ksql-migrations wrote."""
        try:
            if wrong := [name for name, value in row.items() if not isinstance(value, str | None)]:
                raise ValueError(f"{wrong[0]} is not text")
            return read(row)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            key = str(row.get(table.key.upper()))
            raise MigrationError(
                f"{self.client.url}: {table.table} has a row that cannot be read,"
                f" {table.key} = {key[:40]!r}: {type(error).__name__}: {str(error)[:200]}\n"
                f"  hint: find out who wrote it, and INSERT a correct row with that key INTO {table.stream}"
            ) from error


def _rendered_of(row: Row) -> tuple[tuple[int, str], str]:
    """The version and the checksum of a file, and the SHA-256 of its rendered text."""
    return (int(row["VERSION"]), row["PREVIOUS_TEXT"]), row["STATEMENT_TEXT"]
