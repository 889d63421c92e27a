"""A record that no longer fits, mended: what is written is a pure function of record and server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from opensea_metrics.deploy.migrations.actions import PRIVATE_PREFIX
from opensea_metrics.deploy.migrations.drift import expected
from opensea_metrics.deploy.migrations.files import (
    is_side_by_side,
    knows,
    same_statements,
    statements_to_send,
)
from opensea_metrics.deploy.migrations.server import Server, effect_of
from opensea_metrics.deploy.migrations.state import (
    Recorded,
    StatementRecord,
    StatementState,
    VersionRecord,
    VersionState,
)
from opensea_metrics.sql.language.project.project import Migration


@dataclass(frozen=True)
class Repair:
    """What is to be written, and why; ``drops`` are streams that an interrupted run left."""

    statements: tuple[StatementRecord, ...] = ()
    versions: tuple[VersionRecord, ...] = ()
    drops: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


def make_repair(
    recorded: Recorded, migrations: Sequence[Migration], server: Server
) -> Repair:
    """The repair that makes the record say what is on the server.

    A statement of unknown outcome is looked for; what is gone from the server counts as undone, so
    that apply makes it again; checksums follow files of which only comments have changed.
    """
    reasons: list[str] = []
    statements = [
        mended
        for each in recorded.statements
        if (mended := _statement(each, recorded, server, reasons)) is not each
    ]
    by_key = {(each.version, each.number): each for each in statements}
    now = replace(
        recorded,
        statements=tuple(by_key.get((s.version, s.number), s) for s in recorded.statements),
    )
    files = {each.version: each for each in migrations}
    versions = [
        version
        for each in recorded.versions
        if (version := _version(each, now, files.get(each.version), reasons)) is not each
    ]
    drops = sorted(name for name in server.sources if name.startswith(PRIVATE_PREFIX))
    reasons += [f"{name}: left by an interrupted run, is dropped" for name in drops]
    return Repair(tuple(statements), tuple(versions), tuple(drops), tuple(reasons))


def _statement(
    record: StatementRecord, recorded: Recorded, server: Server, reasons: list[str]
) -> StatementRecord:
    where = f"V{record.version:03} statement {record.number} ({record.kind.value} {record.target})"
    if record.state is StatementState.RUNNING:
        effect = effect_of(record, server)
        if effect is not None:
            reasons.append(f"{where}: was carried out")
            return replace(record, state=StatementState.DONE, query_id=effect.query_id)
        reasons.append(f"{where}: was not carried out")
        return replace(record, state=StatementState.UNDONE)
    if record.state is not StatementState.DONE:
        return record
    wanted = expected(recorded)
    name = record.target or ""
    gone = wanted.sources.get(name) is record and name not in server.sources
    query_id = record.query_id or ""
    ended = wanted.queries.get(query_id) is record and query_id not in server.queries
    if gone or (ended and not record.made_source):
        reasons.append(f"{where}: is gone from the server; apply will make it again")
        return replace(record, state=StatementState.UNDONE)
    return record


def _version(
    record: VersionRecord, now: Recorded, file: Migration | None, reasons: list[str]
) -> VersionRecord:
    statements = now.statements_of(record.version)
    if record.state is VersionState.PENDING or not statements:
        return record
    where = f"V{record.version:03} {record.name}"
    done = [each for each in statements if each.state is StatementState.DONE]
    by_file = file is not None and not is_side_by_side(statements)
    total = len(statements_to_send(file)) if file is not None and by_file else len(statements)
    mended = record
    if len(done) >= total and record.state is not VersionState.MIGRATED:
        reasons.append(f"{where}: all {total} statements are applied")
        mended = replace(mended, state=VersionState.MIGRATED, error_reason=None)
    elif len(done) < total and record.state is not VersionState.ERROR:
        reason = f"{len(done)} of {total} statements are applied"
        reasons.append(f"{where}: {reason}")
        mended = replace(mended, state=VersionState.ERROR, error_reason=reason)
    if file is not None and not knows(record, file) and same_statements(file, done):
        reasons.append(f"{where}: only comments of the file have changed; its checksum is taken over")
        mended = replace(mended, checksum=file.file_md5, rendered=file.checksum)
    return mended
