"""Files compared with the record: the status of each version, and the changes of files after they were applied."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from opensea_metrics.core.quoting import ksqldb_text
from opensea_metrics.deploy.client.snapshot import Server, catalog_of
from opensea_metrics.deploy.migrations.plan.impact import Impact, World, assess
from opensea_metrics.deploy.migrations.plan.steps import SETTINGS, ApplyStep, steps_of
from opensea_metrics.deploy.migrations.record.records import (
    CREATES,
    Properties,
    Recorded,
    StatementRecord,
    StatementState,
    VersionRecord,
    VersionState,
    is_side_by_side,
)
from opensea_metrics.sql.language.project.project import Migration


@dataclass(frozen=True)
class VersionStatus:
    """One version; times are milliseconds since 1970. ``total`` is None if the file is missing.

    ``changed``: the file's statements differ from the applied ones. ``who`` sent the last statement.
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


def file_matches_record(file: Migration, record: VersionRecord) -> bool:
    """True if a file with the current settings renders to the recorded text.

    For a version that ksql-migrations applied: True if the file has the same bytes.
    """
    if record.rendered:
        return record.rendered == file.checksum
    # Older releases of ksql-migrations record the bytes of the MD5, read as UTF-8 text.
    old_form = bytes.fromhex(file.file_md5).decode("utf-8", errors="replace")
    return record.checksum == file.file_md5 or _as_text(record.checksum) == _as_text(old_form)


def statements_match(file: Migration, records: Sequence[StatementRecord]) -> bool:
    """True if the file has the recorded statements. Comments do not count."""
    steps = [(step.statement.text, step.properties) for step in steps_of(file)]
    return steps == [(record.text, record.properties) for record in records]


def is_as_applied(file: Migration, record: VersionRecord, statements: Sequence[StatementRecord]) -> bool:
    """True if an applied file has not changed, or only in its comments."""
    return file_matches_record(file, record) or statements_match(file, statements)


def make_status(migrations: Sequence[Migration], recorded: Recorded) -> tuple[VersionStatus, ...]:
    """The status of each version that has a file or is not rolled back, in order."""
    files = {file.version: file for file in migrations}
    records = {version.version: version for version in recorded.versions}
    not_pending = {version for version, record in records.items() if record.state is not VersionState.PENDING}
    shown = files.keys() | not_pending
    return tuple(_status(version, files.get(version), records.get(version), recorded) for version in sorted(shown))


def _status(version: int, file: Migration | None, record: VersionRecord | None, recorded: Recorded) -> VersionStatus:
    statements = recorded.statements_of(version)
    done = sum(record.state is StatementState.DONE for record in statements)
    applied = record is not None and record.state is VersionState.MIGRATED
    is_same = file is None or (record is not None and file_matches_record(file, record))
    if is_side_by_side(statements):
        total: int | None = len(statements)
    elif file is not None and is_same and applied and done:
        total = done  # without parsing the file
    else:
        total = None if file is None else sum(s.kind not in SETTINGS for s in file.statements)
    if record is None:
        return VersionStatus(version, file.name if file else "", VersionState.PENDING, done, total)
    if applied and not done and total is not None:
        done = total  # applied by ksql-migrations, which records no statements
    is_same = is_same or (file is not None and statements_match(file, statements))
    return VersionStatus(
        version,
        record.name,
        record.state,
        done,
        total,
        record.started_on,
        record.completed_on,
        record.error_reason,
        changed=applied and not is_same,
        who=next((record.who for record in reversed(statements) if record.who), None),
    )


class FileChangeKind(StrEnum):
    """What happened to a file."""

    MISSING = "missing"
    CHANGED = "changed"  # the record does not have the version's statements
    STATEMENT_CHANGED = "statement changed"


@dataclass(frozen=True)
class FileChange:
    """A changed statement (``number``) of an applied file, or a changed file (None).

    ``where``: the place of the statement, the path of the file, or the name of a version without a file. ``diff``:
    lines of a unified diff, from the applied text to the file's. ``impact``: of replacing the definition on the server
    by the new one, if the statement is a definition.
    """

    version: int
    kind: FileChangeKind
    where: str
    number: int | None = None
    diff: tuple[str, ...] = ()
    impact: Impact | None = None


def changed_files(migrations: Sequence[Migration], recorded: Recorded, server: Server) -> tuple[FileChange, ...]:
    """All changes of applied versions; all streams and tables of ``server`` are described."""
    files = {file.version: file for file in migrations}
    file_changes: list[FileChange] = []
    for record in recorded.applied:
        file = files.get(record.version)
        if file is None:
            file_changes.append(FileChange(record.version, FileChangeKind.MISSING, record.name))
            continue
        statements = recorded.in_effect_of(record.version)
        if is_as_applied(file, record, statements):
            continue
        if statements:
            file_changes.extend(_statements(file, statements, server))
        else:
            file_changes.append(FileChange(record.version, FileChangeKind.CHANGED, str(file.path)))
    return tuple(file_changes)


def _statements(file: Migration, records: Sequence[StatementRecord], server: Server) -> Iterator[FileChange]:
    steps = {step.number: step for step in steps_of(file)}
    sent = {record.number: record for record in records}
    world = World(catalog_of(server, with_queries=True), server.topics)
    for number in sorted(steps.keys() | sent.keys()):
        step, record = steps.get(number), sent.get(number)
        before = _lines(record.text, record.properties) if record else []
        after = _lines(step.statement.text, step.properties) if step else []
        if before == after:
            continue
        title = f"{file.path.name}, statement {number}"
        diff = difflib.unified_diff(before, after, f"{title}, applied", f"{title}, now", lineterm="")
        where = str(step.statement.place if step else file.path)
        impact = _impact(step, record, world) if step and record else None
        kind = FileChangeKind.STATEMENT_CHANGED
        yield FileChange(file.version, kind, where, number, tuple(diff), impact)


def _impact(step: ApplyStep, record: StatementRecord, world: World) -> Impact | None:
    statement = step.statement
    if statement.kind not in CREATES or statement.name != record.target:
        return None
    return assess(statement.replacing(), world, 0)[0]


def _lines(text: str, properties: Properties) -> list[str]:
    settings = [f"SET {ksqldb_text(name)} = {ksqldb_text(value)};" for name, value in properties]
    return [*settings, *text.split("\n")]


def _as_text(checksum: str) -> str:
    # Two decoders may write different numbers of replacement characters.
    return re.sub("\ufffd+", "\ufffd", checksum)
