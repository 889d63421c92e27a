"""A repair of the record, so that it matches the server again: pure, from the record, the files and the server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from opensea_metrics.deploy.client.snapshot import Server
from opensea_metrics.deploy.migrations.effects import effect_of
from opensea_metrics.deploy.migrations.plan.drift import expected
from opensea_metrics.deploy.migrations.plan.files import file_matches_record, statements_match
from opensea_metrics.deploy.migrations.plan.steps import steps_of
from opensea_metrics.deploy.migrations.record.records import (
    Recorded,
    StatementRecord,
    StatementState,
    VersionRecord,
    VersionState,
    is_side_by_side,
)
from opensea_metrics.deploy.migrations.run.topics import PRIVATE_PREFIX
from opensea_metrics.sql.language.project.project import Migration


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

    ``done`` of ``total`` statements of the version are applied; for a version only.
    """

    reason: RepairReason
    name: str = ""
    statement: StatementRecord | None = None
    version: VersionRecord | None = None
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Repair:
    """All corrections: of statements, of versions, and then of the server."""

    corrections: tuple[Correction, ...] = ()

    @property
    def records(self) -> Recorded:
        """The records to write. If a version has two, the last one counts."""
        return Recorded(
            tuple(correction.version for correction in self.corrections if correction.version),
            tuple(correction.statement for correction in self.corrections if correction.statement),
        )

    @property
    def drops(self) -> tuple[str, ...]:
        """The streams to drop."""
        return tuple(correction.name for correction in self.corrections if correction.reason is RepairReason.LEFT_OVER)


def make_repair(recorded: Recorded, migrations: Sequence[Migration], server: Server) -> Repair:
    """The repair that makes the record match the server.

    A statement of unknown outcome is searched for on the server. A statement whose object is gone counts as undone,
    so that apply executes it again. If only comments of a file have changed, its new checksum is recorded.
    """
    statements = [correction for s in recorded.statements if (correction := _statement(s, recorded, server))]
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
    return Repair((*statements, *versions, *(Correction(RepairReason.LEFT_OVER, name) for name in left)))


def _statement(record: StatementRecord, recorded: Recorded, server: Server) -> Correction | None:
    undone = replace(record, state=StatementState.UNDONE)
    if record.state is StatementState.RUNNING:
        effect = effect_of(record, server)
        if effect is None:
            return Correction(RepairReason.NOT_EXECUTED, statement=undone)
        done = replace(record, state=StatementState.DONE, query_id=effect.query_id)
        return Correction(RepairReason.EXECUTED, statement=done)
    if record.state is not StatementState.DONE:
        return None
    wanted = expected(recorded)
    name, query_id = record.target or "", record.query_id or ""
    is_gone = wanted.sources.get(name) is record and name not in server.sources
    has_ended = wanted.queries.get(query_id) is record and query_id not in server.queries
    if is_gone or (has_ended and not record.created_source):
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
