"""What is recorded of migrations: one record per version, one per statement."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from opensea_metrics.sql.language.statements.statements import Kind

MAKES_STREAM = (Kind.CREATE_STREAM, Kind.CREATE_STREAM_AS)
MAKES_TABLE = (Kind.CREATE_TABLE, Kind.CREATE_TABLE_AS)
MAKES_SOURCE = MAKES_STREAM + MAKES_TABLE


class VersionState(StrEnum):
    """The states of ksql-migrations. A version that was rolled back is PENDING again."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    MIGRATED = "MIGRATED"
    ERROR = "ERROR"


class StatementState(StrEnum):
    """RUNNING is written before a statement is sent: found later, its outcome is unknown.

    PLANNED is written of statements that follow from others (side by side), before the first.
    """

    PLANNED = "PLANNED"
    RUNNING = "RUNNING"
    DONE = "DONE"
    ERROR = "ERROR"
    UNDONE = "UNDONE"


@dataclass(frozen=True)
class VersionRecord:
    """A row of MIGRATION_SCHEMA_VERSIONS; times in milliseconds since 1970 (UTC).

    ``previous`` is the version that was the newest applied one before, None for the first.
    ``checksum`` is the one that ksql-migrations compares: the MD5 of the file. ``rendered`` is the
    SHA-256 of the rendered text, which depends on the settings, too; '' if this tool did not apply it.
    """

    version: int
    name: str
    state: VersionState
    checksum: str
    started_on: int | None = None
    completed_on: int | None = None
    previous: int | None = None
    error_reason: str | None = None
    rendered: str = ""


@dataclass(frozen=True)
class StatementRecord:
    """A row of MIGRATION_STATEMENTS: a statement, and how things were before it was sent.

    ``number`` counts from 1 within the version; ``properties`` are those that SET gave it;
    ``target`` is the stream, table or query that the statement makes, changes, writes into or ends.
    ``target_existed``, ``topic_existed``, ``writers`` (ids of the queries that wrote into the
    target) and ``previous`` (what defined the target, or was the query's text) are of the moment
    before: from them follows what the statement itself has made, whether it was carried out, and
    what undoing it means. ``defined`` is the server's own text of what was made, to see later
    whether it was altered. ``logical`` is the name in the files of what was built side by side,
    ``awaits`` are the streams and tables whose queries had to catch up first.
    ``functions``: the user-defined functions that it calls, with the checksums of their sources.
    """

    version: int
    number: int
    kind: Kind
    text: str
    target: str | None
    topic: str | None
    state: StatementState
    target_existed: bool = False
    topic_existed: bool = False
    writers: tuple[str, ...] = ()
    query_id: str | None = None
    started_on: int | None = None
    completed_on: int | None = None
    error_reason: str | None = None
    properties: tuple[tuple[str, str], ...] = ()
    previous: str | None = None
    defined: str | None = None
    who: str | None = None
    logical: str | None = None
    functions: tuple[tuple[str, str], ...] = ()
    awaits: tuple[str, ...] = ()

    @property
    def in_effect(self) -> bool:
        """True if the statement was carried out, or may have been."""
        return self.state in (StatementState.DONE, StatementState.RUNNING)

    @property
    def made_source(self) -> bool:
        """True if the stream or table exists because of this statement."""
        return self.kind in MAKES_SOURCE and not self.target_existed

    @property
    def made_topic(self) -> bool:
        """True if the topic exists because of this statement."""
        return self.made_source and self.topic is not None and not self.topic_existed


@dataclass(frozen=True)
class Recorded:
    """All that is recorded, in order of version and of number."""

    versions: tuple[VersionRecord, ...] = ()
    statements: tuple[StatementRecord, ...] = ()

    def version(self, version: int) -> VersionRecord | None:
        """The record of a version, None if nothing was ever recorded of it."""
        return next((each for each in self.versions if each.version == version), None)

    def statements_of(self, version: int) -> tuple[StatementRecord, ...]:
        """The recorded statements of a version."""
        return tuple(each for each in self.statements if each.version == version)

    def applied_of(self, version: int) -> tuple[StatementRecord, ...]:
        """Those of a version's recorded statements that were carried out, or may have been."""
        return tuple(each for each in self.statements_of(version) if each.in_effect)

    def newest_below(self, version: float) -> int | None:
        """The newest applied version below ``version``."""
        applied = (
            each.version
            for each in self.versions
            if each.state is VersionState.MIGRATED and each.version < version
        )
        return max(applied, default=None)
