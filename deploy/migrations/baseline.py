"""Versions recorded as applied that this tool did not apply: pure, from files and server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.files import knows, statements_to_send
from opensea_metrics.deploy.migrations.plan import Step
from opensea_metrics.deploy.migrations.server import Server
from opensea_metrics.deploy.migrations.state import (
    MAKES_SOURCE,
    Recorded,
    StatementRecord,
    StatementState,
    VersionRecord,
    VersionState,
)
from opensea_metrics.sql.language.project.project import Migration
from opensea_metrics.sql.language.statements.statements import Kind


@dataclass(frozen=True)
class Baseline:
    """What is to be recorded."""

    versions: tuple[VersionRecord, ...] = ()
    statements: tuple[StatementRecord, ...] = ()


def make_baseline(
    migrations: Sequence[Migration],
    recorded: Recorded,
    server: Server,
    version: int,
    who: str,
    now: int,
) -> Baseline:
    """All files up to ``version`` as applied, those that are recorded as such left out.

    Raises MigrationError if there is no such file, or if streams and tables that should be there by
    then are not on the server.
    """
    if version not in {each.version for each in migrations}:
        raise MigrationError(f"there is no migration with version {version}")
    done = {each.version for each in recorded.versions if each.state is VersionState.MIGRATED}
    files = [each for each in migrations if each.version <= version and each.version not in done]
    begun = {each.version for each in recorded.statements if each.in_effect}
    for each in files:
        if each.version in begun:
            raise MigrationError(
                f"version {each.version} is begun: apply the rest of it, roll it back, or repair"
            )
    previous = recorded.newest_below(files[0].version) if files else None
    versions = []
    for each in files:
        versions.append(
            VersionRecord(
                version=each.version,
                name=each.name,
                state=VersionState.MIGRATED,
                checksum=each.file_md5,
                started_on=now,
                completed_on=now,
                previous=previous,
                rendered=each.checksum,
            )
        )
        previous = each.version
    return Baseline(tuple(versions), statements_of(files, server, who, now))


def make_adoption(
    migrations: Sequence[Migration], recorded: Recorded, server: Server, who: str, now: int
) -> Baseline:
    """The statements of versions that ksql-migrations has applied, so that they can be rolled back
    and compared with the server.

    Raises MigrationError for a file that was changed since, or is missing.
    """
    files = {each.version: each for each in migrations}
    adopted = []
    for record in recorded.versions:
        if record.state is not VersionState.MIGRATED or recorded.applied_of(record.version):
            continue
        file = files.get(record.version)
        if file is None:
            raise MigrationError(f"version {record.version} ({record.name}) is applied: no file of it")
        if not knows(record, file):
            raise MigrationError(
                f"{file.path} was changed after ksql-migrations applied it (its MD5 differs): undo"
                " the change first"
            )
        adopted.append(file)
    return Baseline(statements=statements_of(adopted, server, who, now))


def statements_of(
    files: Sequence[Migration], server: Server, who: str, now: int
) -> tuple[StatementRecord, ...]:
    """The statements of files as done. Topics count as there before: nobody knows who made them,
    so a rollback keeps them."""
    steps = [step for each in files for step in statements_to_send(each)]
    _check_present(steps, server)
    inserting = {
        name: iter(sorted(_ids(server, name, "INSERTQUERY_"), key=_number))
        for name in {each.statement.name or "" for each in steps}
    }
    records = []
    for step in steps:
        statement, name = step.statement, step.statement.name or ""
        query_id = None
        if statement.kind is Kind.INSERT_SELECT:
            query_id = next(inserting[name], None)
        elif statement.starts_query:
            query_id = next(iter(_ids(server, name, "C")), None)
        known = server.described.get(name)
        records.append(
            StatementRecord(
                version=step.version,
                number=step.number,
                kind=statement.kind,
                text=statement.text,
                target=statement.name,
                topic=statement.topic,
                state=StatementState.DONE,
                topic_existed=True,
                query_id=query_id,
                completed_on=now,
                properties=step.properties,
                defined=known.statement if known and statement.kind in MAKES_SOURCE else None,
                who=who,
            )
        )
    return tuple(records)


def _check_present(steps: Sequence[Step], server: Server) -> None:
    names: dict[str, Step] = {}
    for step in steps:
        if step.statement.kind in MAKES_SOURCE:
            names[step.statement.name or ""] = step
        elif step.statement.kind in (Kind.DROP_STREAM, Kind.DROP_TABLE):
            names.pop(step.statement.name or "", None)
    missing = [f"{name} ({names[name].statement.place})" for name in names if name not in server.sources]
    if missing:
        raise MigrationError(
            "not on the server, so these versions cannot count as applied:\n  " + "\n  ".join(missing)
        )


def _ids(server: Server, name: str, prefix: str) -> list[str]:
    return [each for each in server.writers(name) if each.startswith(prefix)]


def _number(query_id: str) -> int:
    digits = query_id.rpartition("_")[2]
    return int(digits) if digits.isdigit() else 0
