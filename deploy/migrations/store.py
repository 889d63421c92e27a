"""The record of migrations, kept in ksqlDB itself.

``MIGRATION_EVENTS`` and ``MIGRATION_SCHEMA_VERSIONS`` are those of Confluent's ksql-migrations
7.9.1, with its names, columns and topics (``<service id>ksql_<name>``), so that a server that was
managed with it is understood, and its ``info`` shows what this tool did. Beside them,
``MIGRATION_STATEMENT_EVENTS`` and ``MIGRATION_STATEMENTS`` hold the statements of each version.

A write is an INSERT INTO the stream, a read a pull query on the table, which lags behind. All
events of a stream are in one partition, so a reader that sees a marker written by itself sees all
that was written before it: see ``settle``.

Source: MetadataUtil.java, InitializeMigrationCommand.java and ApplyMigrationCommand.java in
https://github.com/confluentinc/ksql/tree/master/ksqldb-tools
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import tenacity

from deploy.client import ClientError, KsqlClient, KsqlError, literal
from deploy.migrations.errors import MigrationError
from deploy.migrations.state import (
    Recorded,
    StatementRecord,
    StatementState,
    VersionRecord,
    VersionState,
)
from sql.statements import Kind

NONE_VERSION = "<none>"
NO_ERROR = "N/A"
CURRENT = "CURRENT"
MARKER = "MARKER"


@dataclass(frozen=True)
class _Ledger:
    """A stream of events, and the table of the latest event per key."""

    stream: str
    table: str
    key: str
    columns: tuple[str, ...]

    def create_stream(self, prefix: str) -> str:
        columns = ", ".join(f"{name} STRING" for name in self.columns)
        # No RETENTION_MS in ksql-migrations: there the stream loses its events after seven days,
        # and the table cannot be made anew from it.
        return (
            f"CREATE STREAM IF NOT EXISTS {self.stream} ({self.key} STRING KEY, {columns})"
            f" WITH (KAFKA_TOPIC='{prefix}{self.stream}', VALUE_FORMAT='JSON', PARTITIONS=1,"
            " RETENTION_MS=-1);"
        )

    def create_table(self, prefix: str) -> str:
        columns = ", ".join(f"LATEST_BY_OFFSET({name}) AS {name}" for name in self.columns)
        return (
            f"CREATE TABLE IF NOT EXISTS {self.table} WITH (KAFKA_TOPIC='{prefix}{self.table}')"
            f" AS SELECT {self.key}, {columns} FROM {self.stream} GROUP BY {self.key};"
        )

    def insert(self, key: str, values: Mapping[str, str]) -> str:
        # LATEST_BY_OFFSET passes over NULLs, so every column is written, if need be as ''.
        row = [key, *(values.get(name, "") for name in self.columns)]
        names = ", ".join((self.key, *self.columns))
        return f"INSERT INTO {self.stream} ({names}) VALUES ({', '.join(map(literal, row))});"


VERSIONS = _Ledger(
    "MIGRATION_EVENTS",
    "MIGRATION_SCHEMA_VERSIONS",
    "version_key",
    (
        "version",
        "name",
        "state",
        "checksum",
        "started_on",
        "completed_on",
        "previous",
        "error_reason",
    ),
)
STATEMENTS = _Ledger(
    "MIGRATION_STATEMENT_EVENTS",
    "MIGRATION_STATEMENTS",
    "statement_key",
    (
        "version",
        "number",
        "kind",
        "statement_text",
        "target",
        "topic_name",
        "state",
        "target_existed",
        "topic_existed",
        "writers",
        "query_id",
        "started_on",
        "completed_on",
        "error_reason",
    ),
)
LEDGERS = (VERSIONS, STATEMENTS)
METADATA = frozenset(name for ledger in LEDGERS for name in (ledger.stream, ledger.table))


@dataclass(frozen=True)
class Store:
    """The record on one server; ``patience``: seconds to wait for one's own writes."""

    client: KsqlClient
    patience: float = 120.0

    def read(self) -> Recorded:
        """What is recorded; empty where this tool and ksql-migrations never ran."""
        tables = {each.name for each in self.client.tables()}
        versions = self._rows(VERSIONS, tables)
        statements = self._rows(STATEMENTS, tables)
        return Recorded(
            tuple(sorted(map(_version, versions), key=attrgetter("version"))),
            tuple(sorted(map(_statement, statements), key=attrgetter("version", "number"))),
        )

    def open(self) -> None:
        """Create what is missing of the streams and tables, and wait until they are usable."""
        names = {each.name for each in (*self.client.streams(), *self.client.tables())}
        prefix = "" if names >= METADATA else f"{self.client.info().service_id}ksql_"
        for ledger in LEDGERS:
            # One by one: what ksql-migrations has made has other properties, and stays as it is.
            if ledger.stream not in names:
                self.client.execute(ledger.create_stream(prefix))
            if ledger.table not in names:
                # By default a new query reads from the latest offset, which is found when it
                # starts: what was written before would be missed.
                earliest = {"auto.offset.reset": "earliest"}
                self.client.execute(ledger.create_table(prefix), earliest)
        self.settle()

    def settle(self) -> None:
        """Wait until the tables show all that was written. Raises MigrationError if they do not."""
        token = uuid.uuid4().hex
        for ledger in LEDGERS:
            self._insert(ledger, MARKER, {"state": MARKER, "error_reason": token})
        for ledger in LEDGERS:
            self._await(ledger, token)

    def write_version(self, record: VersionRecord) -> None:
        """Record a version, and what is current now: the version itself unless it is PENDING."""
        row = {
            "version": str(record.version),
            "name": record.name,
            "state": str(record.state),
            "checksum": record.checksum,
            "started_on": _text(record.started_on),
            "completed_on": _text(record.completed_on),
            "previous": NONE_VERSION if record.previous is None else str(record.previous),
            "error_reason": record.error_reason or NO_ERROR,
        }
        self._insert(VERSIONS, CURRENT, row)
        self._insert(VERSIONS, str(record.version), row)

    def write_rolled_back(self, record: VersionRecord, now_current: VersionRecord | None) -> None:
        """Record that a version is PENDING again, and which one is current thereby."""
        self.write_version(record)
        if now_current is not None:
            self.write_version(now_current)
        else:
            self._insert(VERSIONS, CURRENT, {"version": NONE_VERSION, "state": "PENDING"})

    def write_statement(self, record: StatementRecord) -> None:
        """Record a statement."""
        row = {
            "version": str(record.version),
            "number": str(record.number),
            "kind": record.kind.name,
            "statement_text": record.text,
            "target": record.target or "",
            "topic_name": record.topic or "",
            "state": str(record.state),
            "target_existed": str(record.target_existed).lower(),
            "topic_existed": str(record.topic_existed).lower(),
            "writers": " ".join(record.writers),
            "query_id": record.query_id or "",
            "started_on": _text(record.started_on),
            "completed_on": _text(record.completed_on),
            "error_reason": record.error_reason or NO_ERROR,
        }
        self._insert(STATEMENTS, f"{record.version}/{record.number}", row)

    def _rows(self, ledger: _Ledger, tables: set[str]) -> list[dict[str, Any]]:
        if ledger.table not in tables:
            return []
        rows = self.client.pull(f"SELECT * FROM {ledger.table};")
        return [row for row in rows if row[ledger.key.upper()] not in (CURRENT, MARKER)]

    def _insert(self, ledger: _Ledger, key: str, values: Mapping[str, str]) -> None:
        # The same row written twice is the same record: it may be repeated without harm.
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_may_pass),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=5),
            stop=tenacity.stop_after_delay(self.patience),
            reraise=True,
        )
        retrying(self.client.execute, ledger.insert(key, values))

    def _await(self, ledger: _Ledger, token: str) -> None:
        text = f"SELECT error_reason FROM {ledger.table} WHERE {ledger.key} = '{MARKER}';"
        deadline = time.monotonic() + self.patience
        while [row["ERROR_REASON"] for row in self.client.pull(text)] != [token]:
            if time.monotonic() > deadline:
                raise MigrationError(
                    f"{ledger.table} does not show what was written to {ledger.stream}"
                    f" {self.patience:g} s ago\n  hint: see its query's state in SHOW QUERIES"
                )
            time.sleep(0.1)


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, KsqlError):
        return error.status >= 500
    return isinstance(error, ClientError)


def _text(moment: int | None) -> str:
    return "" if moment is None else str(moment)


def _moment(text: str | None) -> int | None:
    return int(text) if text else None


def _version(row: Mapping[str, Any]) -> VersionRecord:
    previous, reason = row["PREVIOUS"], row["ERROR_REASON"]
    return VersionRecord(
        int(row["VERSION_KEY"]),
        row["NAME"],
        VersionState(row["STATE"]),
        row["CHECKSUM"],
        _moment(row["STARTED_ON"]),
        _moment(row["COMPLETED_ON"]),
        None if previous in (NONE_VERSION, "", None) else int(previous),
        None if reason in (NO_ERROR, "", None) else reason,
    )


def _statement(row: Mapping[str, Any]) -> StatementRecord:
    reason = row["ERROR_REASON"]
    return StatementRecord(
        version=int(row["VERSION"]),
        number=int(row["NUMBER"]),
        kind=Kind[row["KIND"]],
        text=row["STATEMENT_TEXT"],
        target=row["TARGET"] or None,
        topic=row["TOPIC_NAME"] or None,
        state=StatementState(row["STATE"]),
        target_existed=row["TARGET_EXISTED"] == "true",
        topic_existed=row["TOPIC_EXISTED"] == "true",
        writers=tuple(row["WRITERS"].split()),
        query_id=row["QUERY_ID"] or None,
        started_on=_moment(row["STARTED_ON"]),
        completed_on=_moment(row["COMPLETED_ON"]),
        error_reason=None if reason in (NO_ERROR, "", None) else reason,
    )
