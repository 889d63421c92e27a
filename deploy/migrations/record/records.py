"""The record of migrations as data: one row for each version, and one for each statement.

Each field names its column in ksqlDB, where all values are text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Any, NamedTuple, get_type_hints

from opensea_metrics.sql.language.statements.statements import Kind

CREATES_STREAM = (Kind.CREATE_STREAM, Kind.CREATE_STREAM_AS)
CREATES = (*CREATES_STREAM, Kind.CREATE_TABLE, Kind.CREATE_TABLE_AS)
DROPS = (Kind.DROP_STREAM, Kind.DROP_TABLE)
NO_VERSION, NO_ERROR = "<none>", "N/A"  # as ksql-migrations writes them

Properties = tuple[tuple[str, str], ...]


class VersionState(StrEnum):
    """The states of ksql-migrations. A version that was rolled back is PENDING again."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    MIGRATED = "MIGRATED"
    ERROR = "ERROR"


ROLLING_BACK = "being rolled back"
"""The reason of a version that is not rolled back completely begins with this."""


class StatementState(StrEnum):
    """RUNNING is written before a statement is sent. If it is still there later, the outcome is unknown.

    The statements of a change side by side are written as PLANNED before the first one is sent.
    """

    PLANNED = "PLANNED"
    RUNNING = "RUNNING"
    DONE = "DONE"
    ERROR = "ERROR"
    UNDONE = "UNDONE"


class ColumnText(NamedTuple):
    """How the text of a column becomes the value of a field, and how the value becomes the text."""

    read: Callable[[Any], Any]
    write: Callable[[Any], str] = str


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{str(value)[:40]} is not text")
    return value


def _read_pairs(text: str | None) -> Properties:
    pairs = json.loads(text).items() if text else ()
    return tuple(sorted((key, _text(value)) for key, value in pairs))


NUMBER = ColumnText(int)
TEXT = ColumnText(_text)
NAME = ColumnText(lambda text: text or "")
OPTIONAL = ColumnText(lambda text: text or None, lambda value: value or "")
MOMENT = ColumnText(lambda text: int(text) if text else None, lambda value: "" if value is None else str(value))
FLAG = ColumnText(lambda text: text == "true", lambda value: str(value).lower())
REASON = ColumnText(lambda text: None if text == NO_ERROR else text or None, lambda value: value or NO_ERROR)
PREVIOUS = ColumnText(
    lambda text: int(text) if text and text != NO_VERSION else None,
    lambda value: NO_VERSION if value is None else str(value),
)
KIND = ColumnText(Kind.__getitem__, lambda kind: str(kind.name))
WORDS = ColumnText(lambda text: tuple(text.split()), " ".join)
PAIRS = ColumnText(_read_pairs, lambda pairs: json.dumps(dict(pairs)) if pairs else "")
NAMES = ColumnText(
    lambda text: tuple(map(_text, json.loads(text))) if text else (), lambda names: json.dumps(names) if names else ""
)


@dataclass(frozen=True)
class VersionRecord:
    """A row of MIGRATION_SCHEMA_VERSIONS. Times are milliseconds since 1970 (UTC).

    ``previous``: the newest version that was applied before, None for the first.
    ``checksum``: the MD5 of the file, which ksql-migrations compares. ``rendered``: the SHA-256 of the
    rendered text, which also depends on the settings; '' if this tool did not apply the version.
    """

    version: Annotated[int, "version", NUMBER]
    name: Annotated[str, "name", NAME]
    state: Annotated[VersionState, "state", ColumnText(VersionState)]
    checksum: Annotated[str, "checksum", NAME]
    started_on: Annotated[int | None, "started_on", MOMENT] = None
    completed_on: Annotated[int | None, "completed_on", MOMENT] = None
    previous: Annotated[int | None, "previous", PREVIOUS] = None
    error_reason: Annotated[str | None, "error_reason", REASON] = None
    rendered: str = ""

    @property
    def is_being_rolled_back(self) -> bool:
        """True if a rollback of the version has begun and has not finished."""
        return (self.error_reason or "").startswith(ROLLING_BACK)


@dataclass(frozen=True)
class StatementRecord:
    """A row of MIGRATION_STATEMENTS: a statement, and the state of the server before it was sent.

    ``number`` counts from 1 within the version. ``properties`` come from SET statements. ``target`` is the
    stream, table or query that the statement creates, changes, writes into or ends.

    The state before: ``target_existed``, ``topic_existed``, ``writers`` (ids of the queries that wrote into
    the target) and ``previous`` (the definition of the target, or the text of the query). They tell whether
    the statement was executed, which objects it created, and how to undo it.

    The state after: ``query_id``, and ``defined``, the server's own text of the created object.
    ``logical``: the name in the files of an object that was built side by side. ``awaits``: the streams and
    tables whose queries had to catch up first. ``functions``: the user-defined functions that the statement
    calls, with the checksums of their sources.
    """

    version: Annotated[int, "version", NUMBER]
    number: Annotated[int, "statement_number", NUMBER]
    kind: Annotated[Kind, "statement_kind", KIND]
    text: Annotated[str, "statement_text", TEXT]
    target: Annotated[str | None, "target_name", OPTIONAL]
    topic: Annotated[str | None, "topic_name", OPTIONAL]
    state: Annotated[StatementState, "state", ColumnText(StatementState)]
    target_existed: Annotated[bool, "target_existed", FLAG] = False
    topic_existed: Annotated[bool, "topic_existed", FLAG] = False
    writers: Annotated[tuple[str, ...], "writers", WORDS] = ()
    query_id: Annotated[str | None, "query_id", OPTIONAL] = None
    started_on: Annotated[int | None, "started_on", MOMENT] = None
    completed_on: Annotated[int | None, "completed_on", MOMENT] = None
    error_reason: Annotated[str | None, "error_reason", REASON] = None
    properties: Annotated[Properties, "statement_properties", PAIRS] = ()
    previous: Annotated[str | None, "previous_text", OPTIONAL] = None
    defined: Annotated[str | None, "defined_text", OPTIONAL] = None
    who: Annotated[str | None, "applied_by", OPTIONAL] = None
    logical: Annotated[str | None, "logical_name", OPTIONAL] = None
    functions: Annotated[Properties, "called_functions", PAIRS] = ()
    awaits: Annotated[tuple[str, ...], "awaits", NAMES] = ()

    def is_before(self, other: StatementRecord) -> bool:
        """True if the statement comes before the other one in the files."""
        return (self.version, self.number) < (other.version, other.number)

    @property
    def in_effect(self) -> bool:
        """True if the statement was executed, or may have been."""
        return self.state in (StatementState.DONE, StatementState.RUNNING)

    @property
    def created_source(self) -> bool:
        """True if the stream or table exists because of this statement."""
        return self.kind in CREATES and not self.target_existed

    @property
    def created_topic(self) -> bool:
        """True if the topic exists because of this statement."""
        return self.created_source and self.topic is not None and not self.topic_existed


@dataclass(frozen=True)
class Recorded:
    """The whole record, ordered by version and number."""

    versions: tuple[VersionRecord, ...] = ()
    statements: tuple[StatementRecord, ...] = ()

    @property
    def applied(self) -> tuple[VersionRecord, ...]:
        """The versions that are applied completely."""
        return tuple(version for version in self.versions if version.state is VersionState.MIGRATED)

    @property
    def begun(self) -> set[int]:
        """The versions of which a statement is in effect."""
        return {record.version for record in self.statements if record.in_effect}

    @property
    def physical_names(self) -> dict[str, str]:
        """For objects that were built side by side: the name in the files → the newest name."""
        return {
            record.logical: record.target
            for record in self.statements
            if record.in_effect and record.logical and record.target and record.kind in CREATES
        }

    def statements_of(self, version: int) -> tuple[StatementRecord, ...]:
        """The recorded statements of a version."""
        return tuple(record for record in self.statements if record.version == version)

    def in_effect_of(self, version: int) -> tuple[StatementRecord, ...]:
        """The statements of a version that were executed, or may have been."""
        return tuple(record for record in self.statements_of(version) if record.in_effect)

    def not_executed_of(self, version: int) -> tuple[StatementRecord, ...]:
        """The statements of a version that an interrupted run has left: planned, or refused by the server."""
        left = (StatementState.PLANNED, StatementState.ERROR)
        return tuple(record for record in self.statements_of(version) if record.state in left)


def is_side_by_side(records: Sequence[StatementRecord]) -> bool:
    """True if the record has the statements of a version, because the file does not say them."""
    return any(record.in_effect and record.logical for record in records)


Record = VersionRecord | StatementRecord


_HINTS = {kind: get_type_hints(kind, include_extras=True) for kind in (VersionRecord, StatementRecord)}
STORED: Mapping[type[Record], Mapping[str, tuple[str, ColumnText]]] = {
    kind: {name: hint.__metadata__ for name, hint in hints.items() if hasattr(hint, "__metadata__")}
    for kind, hints in _HINTS.items()
}
"""The columns of the fields that have one, in order, for each kind of record."""


def row_of(record: Record) -> dict[str, str]:
    """The columns of a record."""
    return {column: form.write(getattr(record, name)) for name, (column, form) in STORED[type(record)].items()}


def version_of(row: Mapping[str, Any], rendered: Mapping[tuple[int, str], str]) -> VersionRecord:
    """Read a row of MIGRATION_SCHEMA_VERSIONS; ``rendered``: see RecordStore.read."""
    record = VersionRecord(**_values(VersionRecord, row))
    version = int(row["VERSION_KEY"])
    return replace(record, version=version, rendered=rendered.get((version, record.checksum), ""))


def statement_of(row: Mapping[str, Any]) -> StatementRecord:
    """Read a row of MIGRATION_STATEMENTS."""
    return StatementRecord(**_values(StatementRecord, row))


def _values(kind: type[Record], row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: form.read(row[column.upper()]) for name, (column, form) in STORED[kind].items()}
