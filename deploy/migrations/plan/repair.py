"""Records that are written without executing statements: baseline, adoption and repair.

Pure functions of the record, the files and the server.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from opensea_metrics.deploy.client.snapshot import Server
from opensea_metrics.deploy.client.topics import PRIVATE_PREFIX
from opensea_metrics.deploy.migrations.effects import effect_of
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.plan.drift import Expected, expected
from opensea_metrics.deploy.migrations.plan.files import file_matches_record, statements_match
from opensea_metrics.deploy.migrations.plan.steps import ApplyStep, record_of, steps_of
from opensea_metrics.deploy.migrations.record.records import (
    CREATES,
    DROPS,
    Recorded,
    StatementRecord,
    StatementState,
    VersionRecord,
    VersionState,
    is_side_by_side,
)
from opensea_metrics.sql.language.project.project import Migration
from opensea_metrics.sql.language.statements.statements import Kind


class RepairReason(StrEnum):
    """Why a record is written, or a stream dropped."""

    EXECUTED = "executed"
    NOT_EXECUTED = "not executed"
    GONE = "gone"
    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    COMMENTS_CHANGED = "comments changed"
    LEFT_OVER = "left over"


@dataclass(frozen=True)
class Correction:
    """One record to write, or one stream to drop (``name``) that an interrupted run left.

    ``done`` of ``total`` statements of the version are applied; for a version only. If a version has two corrections,
    the last one counts.
    """

    reason: RepairReason
    name: str = ""
    statement: StatementRecord | None = None
    version: VersionRecord | None = None
    done: int = 0
    total: int = 0


def make_repair(recorded: Recorded, migrations: Sequence[Migration], server: Server) -> tuple[Correction, ...]:
    """The corrections that make the record match the server: of statements, of versions, and then of the server.

    A statement of unknown outcome is searched for on the server. A statement whose object is gone counts as undone,
    so that apply executes it again. If only comments of a file have changed, its new checksum is recorded.
    """
    wanted = expected(recorded)
    statements = [correction for s in recorded.statements if (correction := _statement(s, wanted, server))]
    corrected = {(s.version, s.number): s for record in statements if (s := record.statement)}
    now = tuple(corrected.get((s.version, s.number), s) for s in recorded.statements)
    files = {file.version: file for file in migrations}
    after = replace(recorded, statements=now)
    versions = [
        correction
        for version in recorded.versions
        for correction in _version(version, after.statements_of(version.version), files.get(version.version))
    ]
    left = sorted(name for name in server.sources if name.startswith(PRIVATE_PREFIX))
    return (*statements, *versions, *(Correction(RepairReason.LEFT_OVER, name) for name in left))


def _statement(record: StatementRecord, wanted: Expected, server: Server) -> Correction | None:
    undone = replace(record, state=StatementState.UNDONE)
    if record.state is StatementState.RUNNING:
        effect = effect_of(record, server)
        if effect is None:
            return Correction(RepairReason.NOT_EXECUTED, statement=undone)
        done = replace(record, state=StatementState.DONE, query_id=effect.query_id)
        return Correction(RepairReason.EXECUTED, statement=done)
    name, query_id = record.target or "", record.query_id or ""
    is_gone = wanted.sources.get(name) is record and name not in server.sources
    has_ended = wanted.queries.get(query_id) is record and query_id not in server.queries
    if record.state is StatementState.DONE and (is_gone or (has_ended and not record.created_source)):
        return Correction(RepairReason.GONE, statement=undone)
    return None


def _version(
    record: VersionRecord, statements: Sequence[StatementRecord], file: Migration | None
) -> Iterator[Correction]:
    if record.state is VersionState.PENDING or not statements:
        return
    done = [record for record in statements if record.state is StatementState.DONE]
    total = len(statements)
    if file is not None and not is_side_by_side(statements):
        total = len(steps_of(file))
    is_complete = len(done) >= total
    state = VersionState.MIGRATED if is_complete else VersionState.ERROR
    if record.state is not state:
        reason = None if is_complete else f"{len(done)} of {total} statements are applied"
        record = replace(record, state=state, error_reason=reason)
        why = RepairReason.COMPLETE if is_complete else RepairReason.INCOMPLETE
        yield Correction(why, version=record, done=len(done), total=total)
    if file is not None and not file_matches_record(file, record) and statements_match(file, done):
        record = replace(record, checksum=file.file_md5, rendered=file.checksum)
        yield Correction(RepairReason.COMMENTS_CHANGED, version=record)


def make_baseline(
    migrations: Sequence[Migration], recorded: Recorded, server: Server, version: int, who: str, now: int
) -> Recorded:
    """All files up to ``version`` as applied, except those that are recorded as applied already.

    Raises MigrationError if there is no such file, or if a stream or table of these files is not on the server.
    """
    if version not in {file.version for file in migrations}:
        raise MigrationError(f"no migration has version {version}\n  hint: see status for the versions")
    applied = {version.version for version in recorded.applied}
    files = [file for file in migrations if file.version <= version and file.version not in applied]
    for file in files:
        if file.version in recorded.begun:
            raise MigrationError(
                f"version {file.version} is begun\n  hint: apply the rest of it, roll it back, or repair"
            )
    previous = max((version for version in applied if files and version < files[0].version), default=None)
    versions = []
    for file in files:
        record = record_of(file, VersionState.MIGRATED)
        versions.append(replace(record, started_on=now, completed_on=now, previous=previous))
        previous = file.version
    return Recorded(tuple(versions), _statements_of(files, server, who, now))


def make_adoption(migrations: Sequence[Migration], recorded: Recorded, server: Server, who: str, now: int) -> Recorded:
    """The statements of versions that ksql-migrations applied. So a rollback and diff know these versions.

    Raises MigrationError for a file that is missing, or was changed after it was applied.
    """
    files = {file.version: file for file in migrations}
    adopted = []
    for record in recorded.applied:
        if recorded.in_effect_of(record.version):
            continue
        file = files.get(record.version)
        if file is None:
            raise MigrationError(
                f"version {record.version} ({record.name}) is applied, and its file is missing"
                "\n  hint: restore the file"
            )
        if not file_matches_record(file, record):
            raise MigrationError(
                f"{file.path} was changed after ksql-migrations applied it (its MD5 differs)"
                "\n  hint: undo the change first"
            )
        adopted.append(file)
    return Recorded(statements=_statements_of(adopted, server, who, now))


def _statements_of(files: Sequence[Migration], server: Server, who: str, now: int) -> tuple[StatementRecord, ...]:
    """The statements of files as done. Nobody knows who created the topics, so a rollback keeps them."""
    steps = [step for file in files for step in steps_of(file)]
    _check_present(steps, server)
    inserts = {step.statement.name: _queries(server, step.statement.name, "INSERTQUERY_") for step in steps}
    records = []
    for step in steps:
        statement, name = step.statement, step.statement.name or ""
        query_id = None
        if statement.kind is Kind.INSERT_SELECT:
            query_id = next(inserts[name], None)
        elif statement.starts_query:
            query_id = next(_queries(server, name, "C"), None)
        known = server.described.get(name) if statement.kind in CREATES else None
        defined = known.statement if known else None
        done = replace(step.record, state=StatementState.DONE, topic_existed=True, completed_on=now, who=who)
        records.append(replace(done, query_id=query_id, defined=defined))
    return tuple(records)


def _check_present(steps: Sequence[ApplyStep], server: Server) -> None:
    places = {}
    for step in steps:
        if step.statement.kind in CREATES:
            places[step.statement.name or ""] = step.statement.place
        elif step.statement.kind in DROPS:
            places.pop(step.statement.name or "", None)
    missing = [f"{name} ({place})" for name, place in places.items() if name not in server.sources]
    if missing:
        raise MigrationError(
            "these versions cannot count as applied, because their objects are not on the server:\n  "
            + "\n  ".join(missing)
        )


def _queries(server: Server, name: str | None, prefix: str) -> Iterator[str]:
    """The ids of the queries that write into an object, in the order of their numbers."""
    ids = [query_id for query_id in server.writers(name) if query_id.startswith(prefix)]
    return iter(sorted(ids, key=lambda query_id: [int(digits) for digits in re.findall(r"\d+$", query_id)]))
