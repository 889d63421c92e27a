"""Where each version stands: a pure function of the files and of the record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from opensea_metrics.deploy.migrations.files import (
    SETTINGS,
    is_side_by_side,
    knows,
    same_statements,
)
from opensea_metrics.deploy.migrations.state import (
    Recorded,
    StatementRecord,
    StatementState,
    VersionRecord,
    VersionState,
)
from opensea_metrics.sql.language.project.project import Migration


@dataclass(frozen=True)
class VersionStatus:
    """One version; times in milliseconds since 1970. ``total`` is None where the file is missing.

    ``changed``: the file's statements differ from what was applied; ``who`` sent the last one.
    """

    version: int
    name: str
    state: VersionState
    done: int
    total: int | None
    started_on: int | None = None
    completed_on: int | None = None
    error_reason: str | None = None
    changed: bool = False
    who: str | None = None


def make_status(migrations: Sequence[Migration], recorded: Recorded) -> tuple[VersionStatus, ...]:
    """The status of each version that has a file, or has not been rolled back, in order."""
    files = {each.version: each for each in migrations}
    records = {
        each.version: each for each in recorded.versions if each.state is not VersionState.PENDING
    }
    return tuple(
        _status(version, files.get(version), recorded) for version in sorted(files | records)
    )


def _status(version: int, file: Migration | None, recorded: Recorded) -> VersionStatus:
    record = recorded.version(version)
    statements = recorded.statements_of(version)
    done = sum(each.state is StatementState.DONE for each in statements)
    total = None if file is None else sum(s.kind not in SETTINGS for s in file.statements)
    if is_side_by_side(statements):
        total = len(statements)
    if record is None:
        name = file.name if file is not None else ""
        return VersionStatus(version, name, VersionState.PENDING, done, total)
    applied = record.state is VersionState.MIGRATED
    if applied and not done and total is not None:
        done = total  # applied by ksql-migrations, which records no statements
    return VersionStatus(
        version,
        record.name,
        record.state,
        done,
        total,
        record.started_on,
        record.completed_on,
        record.error_reason,
        changed=applied and file is not None and not _is_same(file, record, statements),
        who=next((each.who for each in reversed(statements) if each.who), None),
    )


def _is_same(
    file: Migration, record: VersionRecord, statements: Sequence[StatementRecord]
) -> bool:
    return knows(record, file) or same_statements(file, statements)
