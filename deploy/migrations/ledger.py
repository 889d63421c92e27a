"""The streams and tables in ksqlDB that hold the record, and the form of their rows.

``MIGRATION_EVENTS`` and ``MIGRATION_SCHEMA_VERSIONS`` are those of Confluent's ksql-migrations
7.9.1, with its names, columns and topics (``<service id>ksql_<name>``), so that a server that was
managed with it is understood, and its ``info`` shows what this tool did. Beside them,
``MIGRATION_STATEMENT_EVENTS`` and ``MIGRATION_STATEMENTS`` hold the statements of each version.

Source: MetadataUtil.java, InitializeMigrationCommand.java and ApplyMigrationCommand.java in
https://github.com/confluentinc/ksql/tree/master/ksqldb-tools
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opensea_metrics.core.quoting import ksqldb_text
from opensea_metrics.deploy.migrations.state import (
    StatementRecord,
    StatementState,
    VersionRecord,
    VersionState,
)
from opensea_metrics.sql.language.statements.statements import Kind

NONE_VERSION = "<none>"
NO_ERROR = "N/A"
# Keys that are no version's and no statement's.
CURRENT = "CURRENT"
MARKER = "MARKER"
HEARTBEAT = "HEARTBEAT"


@dataclass(frozen=True)
class Ledger:
    """A stream of events, and the table of the latest event per key."""

    stream: str
    table: str
    key: str
    columns: tuple[str, ...]

    def create_stream(self, prefix: str) -> str:
        """The statement; ``prefix`` of the topic's name."""
        columns = ", ".join(f"{name} STRING" for name in self.columns)
        # No RETENTION_MS in ksql-migrations: there the stream loses its events after seven days,
        # and the table cannot be made anew from it.
        return (
            f"CREATE STREAM IF NOT EXISTS {self.stream} ({self.key} STRING KEY, {columns})"
            f" WITH (KAFKA_TOPIC={ksqldb_text(prefix + self.stream)}, VALUE_FORMAT='JSON', PARTITIONS=1,"
            " RETENTION_MS=-1);"
        )

    def create_table(self, prefix: str) -> str:
        """The statement; ``prefix`` of the topic's name."""
        columns = ", ".join(f"LATEST_BY_OFFSET({name}) AS {name}" for name in self.columns)
        return (
            f"CREATE TABLE IF NOT EXISTS {self.table} WITH (KAFKA_TOPIC={ksqldb_text(prefix + self.table)})"
            f" AS SELECT {self.key}, {columns} FROM {self.stream} GROUP BY {self.key};"
        )

    def insert(self, key: str, values: Mapping[str, str]) -> str:
        """The statement that records ``values`` under ``key``."""
        # LATEST_BY_OFFSET passes over NULLs, so every column is written, if need be as ''.
        row = [key, *(values.get(name, "") for name in self.columns)]
        names = ", ".join((self.key, *self.columns))
        return f"INSERT INTO {self.stream} ({names}) VALUES ({', '.join(map(ksqldb_text, row))});"


VERSIONS = Ledger(
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
STATEMENTS = Ledger(
    "MIGRATION_STATEMENT_EVENTS",
    "MIGRATION_STATEMENTS",
    "statement_key",
    (
        "version",
        "statement_number",
        "statement_kind",
        "statement_text",
        "statement_properties",
        "target_name",
        "topic_name",
        "state",
        "target_existed",
        "topic_existed",
        "writers",
        "previous_text",
        "defined_text",
        "query_id",
        "logical_name",
        "awaits",
        "called_functions",
        "applied_by",
        "started_on",
        "completed_on",
        "error_reason",
    ),
)
LEDGERS = (VERSIONS, STATEMENTS)
METADATA = frozenset(name for ledger in LEDGERS for name in (ledger.stream, ledger.table))


def topic_prefix(service_id: str) -> str:
    """What the names of the record's topics begin with, as those of ksql-migrations."""
    return f"{service_id}ksql_"


def version_row(record: VersionRecord) -> dict[str, str]:
    """The columns of a version."""
    return {
        "version": str(record.version),
        "name": record.name,
        "state": str(record.state),
        "checksum": record.checksum,
        "started_on": _text(record.started_on),
        "completed_on": _text(record.completed_on),
        "previous": NONE_VERSION if record.previous is None else str(record.previous),
        "error_reason": record.error_reason or NO_ERROR,
    }


def version_of(row: Mapping[str, Any], rendered: Mapping[tuple[int, str], str]) -> VersionRecord:
    """The version of a row of MIGRATION_SCHEMA_VERSIONS; ``rendered``: see :func:`rendered_of`."""
    version, checksum, previous = int(row["VERSION_KEY"]), row["CHECKSUM"] or "", row["PREVIOUS"]
    return VersionRecord(
        version,
        row["NAME"] or "",
        VersionState(row["STATE"]),
        checksum,
        _moment(row["STARTED_ON"]),
        _moment(row["COMPLETED_ON"]),
        None if previous in (NONE_VERSION, "", None) else int(previous),
        _reason(row),
        rendered.get((version, checksum), ""),
    )


def rendered_key(record: VersionRecord) -> str:
    """The key in MIGRATION_STATEMENTS of what a version was rendered to, before its statements."""
    return f"{record.version}/0"


def rendered_row(record: VersionRecord) -> dict[str, str]:
    """The columns of that row. The checksum says of which file it is: ksql-migrations may have
    applied the version anew, and knows nothing of this row."""
    return {
        "version": str(record.version),
        "statement_number": "0",
        "statement_text": record.rendered,
        "previous_text": record.checksum,
    }


def is_rendered(row: Mapping[str, Any]) -> bool:
    """True if a row of MIGRATION_STATEMENTS is one of ``rendered_row``."""
    return bool(row.get("STATEMENT_NUMBER") == "0")


def rendered_of(row: Mapping[str, Any]) -> tuple[tuple[int, str], str]:
    """The version and the checksum of a file, and the SHA-256 of what it was rendered to."""
    return (int(row["VERSION"]), row["PREVIOUS_TEXT"]), row["STATEMENT_TEXT"]


def statement_key(record: StatementRecord) -> str:
    """The key of a statement's row."""
    return f"{record.version}/{record.number}"


def statement_row(record: StatementRecord) -> dict[str, str]:
    """The columns of a statement."""
    return {
        "version": str(record.version),
        "statement_number": str(record.number),
        "statement_kind": record.kind.name,
        "statement_text": record.text,
        "statement_properties": json.dumps(dict(record.properties)) if record.properties else "",
        "target_name": record.target or "",
        "topic_name": record.topic or "",
        "state": str(record.state),
        "target_existed": str(record.target_existed).lower(),
        "topic_existed": str(record.topic_existed).lower(),
        "writers": " ".join(record.writers),
        "previous_text": record.previous or "",
        "defined_text": record.defined or "",
        "query_id": record.query_id or "",
        "logical_name": record.logical or "",
        "awaits": json.dumps(record.awaits) if record.awaits else "",
        "called_functions": json.dumps(dict(record.functions)) if record.functions else "",
        "applied_by": record.who or "",
        "started_on": _text(record.started_on),
        "completed_on": _text(record.completed_on),
        "error_reason": record.error_reason or NO_ERROR,
    }


def statement_of(row: Mapping[str, Any]) -> StatementRecord:
    """The statement of a row of MIGRATION_STATEMENTS."""
    return StatementRecord(
        version=int(row["VERSION"]),
        number=int(row["STATEMENT_NUMBER"]),
        kind=Kind[row["STATEMENT_KIND"]],
        text=_text_of(row["STATEMENT_TEXT"]),
        target=row["TARGET_NAME"] or None,
        topic=row["TOPIC_NAME"] or None,
        state=StatementState(row["STATE"]),
        target_existed=row["TARGET_EXISTED"] == "true",
        topic_existed=row["TOPIC_EXISTED"] == "true",
        writers=tuple(row["WRITERS"].split()),
        query_id=row["QUERY_ID"] or None,
        started_on=_moment(row["STARTED_ON"]),
        completed_on=_moment(row["COMPLETED_ON"]),
        error_reason=_reason(row),
        properties=_pairs(row["STATEMENT_PROPERTIES"]),
        previous=row["PREVIOUS_TEXT"] or None,
        defined=row["DEFINED_TEXT"] or None,
        who=row["APPLIED_BY"] or None,
        logical=row["LOGICAL_NAME"] or None,
        functions=_pairs(row["CALLED_FUNCTIONS"]),
        awaits=tuple(map(_text_of, json.loads(row["AWAITS"]))) if row["AWAITS"] else (),
    )


def _pairs(text: str | None) -> tuple[tuple[str, str], ...]:
    pairs = json.loads(text).items() if text else ()
    return tuple(sorted((name, _text_of(value)) for name, value in pairs))


def _text_of(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{str(value)[:40]} is not text")
    return value


def _reason(row: Mapping[str, Any]) -> str | None:
    reason = row["ERROR_REASON"]
    return None if reason in (NO_ERROR, "", None) else str(reason)


def _text(moment: int | None) -> str:
    return "" if moment is None else str(moment)


def _moment(text: str | None) -> int | None:
    return int(text) if text else None
