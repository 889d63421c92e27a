"""Changes of files since they were applied, and the impact that they would have on a server."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from opensea_metrics.deploy.migrations.plan.impact import Impact, World, assess
from opensea_metrics.deploy.migrations.plan.status import file_matches_record, statements_match
from opensea_metrics.deploy.migrations.plan.steps import ApplyStep, steps_of
from opensea_metrics.deploy.migrations.record.records import (
    CREATES,
    Properties,
    Recorded,
    StatementRecord,
)
from opensea_metrics.deploy.migrations.server import Server, catalog_of
from opensea_metrics.sql.project import Migration
from opensea_metrics.sql.quoting import ksqldb_text


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


def changed_files(
    migrations: Sequence[Migration], recorded: Recorded, server: Server
) -> tuple[FileChange, ...]:
    """All changes of applied versions; all streams and tables of ``server`` are described."""
    files = {each.version: each for each in migrations}
    file_changes: list[FileChange] = []
    for record in recorded.applied:
        file = files.get(record.version)
        if file is None:
            file_changes.append(FileChange(record.version, FileChangeKind.MISSING, record.name))
            continue
        statements = recorded.in_effect_of(record.version)
        if file_matches_record(file, record) or statements_match(file, statements):
            continue
        if statements:
            file_changes.extend(_statements(file, statements, server))
        else:
            file_changes.append(FileChange(record.version, FileChangeKind.CHANGED, str(file.path)))
    return tuple(file_changes)


def _statements(
    file: Migration, records: Sequence[StatementRecord], server: Server
) -> Iterator[FileChange]:
    steps = {each.number: each for each in steps_of(file)}
    sent = {each.number: each for each in records}
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
