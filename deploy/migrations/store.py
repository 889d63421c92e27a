"""The record of migrations, kept in ksqlDB itself (its form: ``ledger``).

A write is an INSERT INTO the stream, a read a pull query on the table, which lags behind. All
events of a stream are in one partition, so a reader that sees a marker written by itself sees all
that was written before it: see ``settle``. Only the holder of the lock writes.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import Any, TypeVar

import tenacity

from opensea_metrics.deploy.client import ClientError, GuardFailed, KsqlClient, KsqlError
from opensea_metrics.deploy.migrations import ledger as ledgers
from opensea_metrics.deploy.migrations.certainty import certainly
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.ledger import (
    CURRENT,
    HEARTBEAT,
    LEDGERS,
    MARKER,
    METADATA,
    NONE_VERSION,
    STATEMENTS,
    VERSIONS,
    Ledger,
)
from opensea_metrics.deploy.migrations.server import Effect
from opensea_metrics.deploy.migrations.state import Recorded, StatementRecord, VersionRecord

T = TypeVar("T")
WRITTEN_AT_ONCE = 20  # rows in one request


@dataclass(frozen=True)
class Store:
    """The record on one server; ``patience``: seconds to wait for one's own writes."""

    client: KsqlClient
    patience: float = 120.0

    def of(self, client: KsqlClient) -> Store:
        """The same over another client of the same server."""
        return replace(self, client=client)

    def read(self) -> Recorded:
        """What is recorded; empty where this tool and ksql-migrations never ran."""
        tables = {each.name for each in self.client.tables()}
        versions = self._rows(VERSIONS, tables)
        journal = self._rows(STATEMENTS, tables)
        rendered = dict(
            self._read(STATEMENTS, row, ledgers.rendered_of) for row in journal if ledgers.is_rendered(row)
        )
        version_of = partial(ledgers.version_of, rendered=rendered)
        records = [self._read(VERSIONS, row, version_of) for row in versions]
        statements = [
            self._read(STATEMENTS, row, ledgers.statement_of)
            for row in journal
            if not ledgers.is_rendered(row)
        ]
        return Recorded(
            tuple(sorted(records, key=attrgetter("version"))),
            tuple(sorted(statements, key=attrgetter("version", "number"))),
        )

    def _read(self, ledger: Ledger, row: Mapping[str, Any], of: Callable[[Mapping[str, Any]], T]) -> T:
        """What a row records. Raises MigrationError for one that neither this tool nor ksql-migrations wrote."""
        try:
            if wrong := [name for name, value in row.items() if not isinstance(value, str | None)]:
                raise ValueError(f"{wrong[0]} is not text")
            return of(row)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            key = str(row.get(ledger.key.upper()))
            raise MigrationError(
                f"{self.client.url}: {ledger.table} has a row that cannot be read,"
                f" {ledger.key} = {key[:40]!r}: {type(error).__name__}: {str(error)[:200]}\n"
                f"  hint: find out who wrote it, and INSERT a right row with that key INTO {ledger.stream}"
            ) from error

    def create(self) -> None:
        """Create what is missing of the streams and tables, under the lock.

        Of two that create a table at once on ksqlDB 7.9.1, one is refused and takes the topic of the
        other with it (observed): the table then never shows anything.
        """
        names = {each.name for each in (*self.client.streams(), *self.client.tables())}
        if names >= METADATA:
            return
        prefix = ledgers.topic_prefix(self.client.info().service_id)
        for ledger in LEDGERS:
            # One by one: what ksql-migrations has made has other properties, and stays as it is.
            if ledger.stream not in names:
                self._make(ledger.stream, ledger.create_stream(prefix), {})
            if ledger.table not in names:
                # By default a new query reads from the latest offset, which is found when it
                # starts: what was written before would be missed.
                earliest = {"auto.offset.reset": "earliest"}
                self._make(ledger.table, ledger.create_table(prefix), earliest)

    def settle(self) -> None:
        """Wait until the tables show all that was written. Raises MigrationError if they do not."""
        token = uuid.uuid4().hex
        marker = {"state": MARKER, "error_reason": token}
        self._insert(*(ledger.insert(MARKER, marker) for ledger in LEDGERS))
        for ledger in LEDGERS:
            self._await(ledger, token)

    def write_version(self, record: VersionRecord) -> None:
        """Record a version, and what is current now: the version itself unless it is PENDING."""
        row = ledgers.version_row(record)
        texts = [VERSIONS.insert(CURRENT, row), VERSIONS.insert(str(record.version), row)]
        if record.rendered:
            key = ledgers.rendered_key(record)
            texts.insert(0, STATEMENTS.insert(key, ledgers.rendered_row(record)))
        self._insert(*texts)

    def write_rolled_back(self, record: VersionRecord, now_current: VersionRecord | None) -> None:
        """Record that a version is PENDING again, and which one is current thereby."""
        self.write_version(record)
        if now_current is not None:
            self.write_version(now_current)
        else:
            nothing = {"version": NONE_VERSION, "state": "PENDING"}
            self._insert(VERSIONS.insert(CURRENT, nothing))

    def write_statement(self, record: StatementRecord) -> None:
        """Record a statement."""
        self.write_statements([record])

    def write_statements(self, records: Iterable[StatementRecord]) -> None:
        """Record several statements."""
        rows = [(ledgers.statement_key(each), ledgers.statement_row(each)) for each in records]
        for start in range(0, len(rows), WRITTEN_AT_ONCE):
            chunk = rows[start : start + WRITTEN_AT_ONCE]
            self._insert(*(STATEMENTS.insert(key, row) for key, row in chunk))

    def beat(self, token: str, now: int) -> None:
        """Record that the holder of the lock was alive at ``now`` (ms since 1970); once, no retry."""
        values = {"state": HEARTBEAT, "error_reason": token, "completed_on": str(now)}
        self.client.execute(STATEMENTS.insert(HEARTBEAT, values))

    def last_beat(self) -> tuple[str, int] | None:
        """The token and the time of the newest :meth:`beat`."""
        if STATEMENTS.table not in {each.name for each in self.client.tables()}:
            return None
        rows = self.client.pull(
            f"SELECT error_reason, completed_on FROM {STATEMENTS.table}"
            f" WHERE {STATEMENTS.key} = '{HEARTBEAT}';"
        )
        return (rows[0]["ERROR_REASON"], int(rows[0]["COMPLETED_ON"])) if rows else None

    def topic(self) -> str | None:
        """The topic of the journal, None as long as there is none."""
        streams = {each.name: each for each in self.client.streams()}
        return streams[STATEMENTS.stream].topic if STATEMENTS.stream in streams else None

    def _make(self, name: str, text: str, properties: Mapping[str, str]) -> None:
        certainly(self.client, text, properties, partial(self._made, name))

    def _made(self, name: str) -> Effect | None:
        known = {each.name for each in (*self.client.streams(), *self.client.tables())}
        return Effect() if name in known else None

    def _rows(self, ledger: Ledger, tables: set[str]) -> list[dict[str, Any]]:
        if ledger.table not in tables:
            return []
        rows = self.client.pull(f"SELECT * FROM {ledger.table};")
        return [
            row for row in rows if row.get(ledger.key.upper()) not in (CURRENT, MARKER, HEARTBEAT)
        ]

    def _insert(self, *texts: str) -> None:
        # The same row written twice is the same record: it may be repeated without harm.
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_may_pass),
            wait=tenacity.wait_random_exponential(
                multiplier=self.client.wait / 2, max=10 * self.client.wait
            ),
            stop=tenacity.stop_after_delay(self.patience),
            reraise=True,
        )
        retrying(self.client.execute, " ".join(texts))

    def _await(self, ledger: Ledger, token: str) -> None:
        text = f"SELECT error_reason FROM {ledger.table} WHERE {ledger.key} = '{MARKER}';"
        deadline = time.monotonic() + self.patience
        while [row["ERROR_REASON"] for row in self.client.pull(text)] != [token]:
            if time.monotonic() > deadline:
                raise MigrationError(
                    f"{ledger.table} does not show what was written to {ledger.stream}"
                    f" {self.patience:g} s ago\n  hint: see its query's state in SHOW QUERIES, and its"
                    " topic in SHOW TOPICS; if either is gone, DROP the table: the next run makes it"
                    " again from the stream"
                )
            time.sleep(self.client.wait / 5)


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, KsqlError):
        return error.status >= 500
    return isinstance(error, ClientError) and not isinstance(error, GuardFailed)
