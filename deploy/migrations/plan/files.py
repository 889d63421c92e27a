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
from opensea_metrics.deploy.migrations.plan.steps import SETTINGS, record_of, steps_of
from opensea_metrics.deploy.migrations.record.records import (
    CREATES,
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
    """The record of a version, and its file. ``total`` is None if the file is missing.

    ``changed``: the file's statements differ from the applied ones. ``who`` sent the last statement.
    """

    record: VersionRecord
    done: int
    total: int | None
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
    steps = [(step.record.text, step.record.properties) for step in steps_of(file)]
    return steps == [(record.text, record.properties) for record in records]


def is_as_applied(file: Migration, record: VersionRecord, statements: Sequence[StatementRecord]) -> bool:
    """True if an applied file has not changed, or only in its comments."""
    return file_matches_record(file, record) or statements_match(file, statements)


def make_status(migrations: Sequence[Migration], recorded: Recorded) -> tuple[VersionStatus, ...]:
    """The status of each version that has a file or is not rolled back, in order."""
    files = {file.version: file for file in migrations}
    records = {file.version: record_of(file, VersionState.PENDING) for file in migrations}
    for record in recorded.versions:
        if record.version in files or record.state is not VersionState.PENDING:
            records[record.version] = record
    return tuple(_status(records[version], files.get(version), recorded) for version in sorted(records))


def _status(record: VersionRecord, file: Migration | None, recorded: Recorded) -> VersionStatus:
    statements = recorded.statements_of(record.version)
    done = sum(record.state is StatementState.DONE for record in statements)
    applied = record.state is VersionState.MIGRATED
    is_same = file is None or file_matches_record(file, record)
    if is_side_by_side(statements):
        total: int | None = len(statements)
    elif file is not None and is_same and applied and done:
        total = done  # without parsing the file
    else:
        total = None if file is None else sum(s.kind not in SETTINGS for s in file.statements)
    if applied and not done and total is not None:
        done = total  # applied by ksql-migrations, which records no statements
    changed = applied and file is not None and not is_same and not statements_match(file, statements)
    who = next((record.who for record in reversed(statements) if record.who), None)
    return VersionStatus(record, done, total, changed, who)


class FileChangeKind(StrEnum):
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
    steps = {step.record.number: step for step in steps_of(file)}
    sent = {record.number: record for record in records}
    world = World(catalog_of(server, with_queries=True), server.topics)
    for number in sorted(steps.keys() | sent.keys()):
        step, record = steps.get(number), sent.get(number)
        before = _lines(record) if record else []
        after = _lines(step.record) if step else []
        if before == after:
            continue
        title = f"{file.path.name}, statement {number}"
        diff = difflib.unified_diff(before, after, f"{title}, applied", f"{title}, now", lineterm="")
        where = str(step.statement.place if step else file.path)
        impact = None
        if step and record and step.statement.kind in CREATES and step.statement.name == record.target:
            impact, _ = assess(step.statement.replacing(), world, 0)
        yield FileChange(file.version, FileChangeKind.STATEMENT_CHANGED, where, number, tuple(diff), impact)


def _lines(record: StatementRecord) -> list[str]:
    settings = [f"SET {ksqldb_text(name)} = {ksqldb_text(value)};" for name, value in record.properties]
    return [*settings, *record.text.split("\n")]


def _as_text(checksum: str) -> str:
    # Two decoders may write different numbers of replacement characters.
    return re.sub("\ufffd+", "\ufffd", checksum)
