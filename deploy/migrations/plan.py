"""What is to be applied: a pure function of the files and of the record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploy.migrations.errors import MigrationError
from deploy.migrations.state import (
    Recorded,
    StatementRecord,
    StatementState,
    VersionState,
)
from sql.errors import SqlError
from sql.project import Migration
from sql.statements import Kind, Statement

# SET and UNSET are not sent: they become properties of the statements after them.
SETTINGS = (Kind.SET, Kind.UNSET)
ANSWERING = (Kind.SELECT, Kind.SHOW, Kind.DESCRIBE, Kind.EXPLAIN)


@dataclass(frozen=True)
class Step:
    """One statement to send, with the properties that SET gives it.

    ``unfinished`` is its record if an earlier run sent it and did not learn the outcome.
    """

    version: int
    number: int
    statement: Statement
    properties: tuple[tuple[str, str], ...] = ()
    unfinished: StatementRecord | None = None


@dataclass(frozen=True)
class MigrationPlan:
    """The steps of one migration that are left; the first ``done`` statements are applied."""

    migration: Migration
    done: int
    steps: tuple[Step, ...]

    @property
    def total(self) -> int:
        """How many statements the whole migration has."""
        return self.done + len(self.steps)


@dataclass(frozen=True)
class Plan:
    """Migrations in the order in which they are applied; empty if there is nothing to do."""

    migrations: tuple[MigrationPlan, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, in order."""
        return tuple(step for each in self.migrations for step in each.steps)


def make_plan(
    migrations: Sequence[Migration], recorded: Recorded, target: int | None = None
) -> Plan:
    """The plan that brings what is recorded up to ``target`` (None: to the newest file).

    Raises MigrationError if the files contradict the record: an applied file was changed or is
    missing, a pending one is older than an applied one, or ``target`` is no version of a file.
    """
    by_version = {each.version: each for each in migrations}
    if target is not None and target not in by_version:
        raise MigrationError(f"there is no migration with version {target}")
    pending = []
    applied = [each for each in recorded.versions if each.state is VersionState.MIGRATED]
    for record in applied:
        file = by_version.get(record.version)
        if file is None:
            raise MigrationError(
                f"version {record.version} ({record.name}) is applied, and its file is missing"
            )
        if file.checksum != record.checksum:
            raise MigrationError(
                f"{file.path} was changed after it was applied: undo the change (of the file, or"
                " of the settings that it uses) and write a new migration instead,\n"
                f"  or roll version {record.version} back and apply it again"
            )
    done = {each.version for each in applied}
    begun = {each.version for each in recorded.statements if each.in_effect}
    newest = max(done | begun, default=0)
    for version, file in sorted(by_version.items()):
        if version in done or (target is not None and version > target):
            continue
        if version < newest:
            raise MigrationError(
                f"{file.path} is pending, and version {newest} above it is already applied or"
                f" begun: give it a number above {newest}, or roll back to below {version} first"
            )
        pending.append(_remaining(file, recorded.statements_of(version)))
    return Plan(tuple(pending))


def statements_to_send(migration: Migration) -> tuple[Step, ...]:
    """All statements of a migration that a server gets.

    Raises SqlError for a statement that has no place in a migration.
    """
    properties: dict[str, str] = {}
    steps: list[Step] = []
    for statement in migration.statements:
        if statement.kind in ANSWERING:
            raise SqlError(f"a migration holds no {statement.kind.value}", statement.place)
        if statement.kind in SETTINGS:
            _set(properties, statement)
        else:
            now = tuple(sorted(properties.items()))
            steps.append(Step(migration.version, len(steps) + 1, statement, now))
    return tuple(steps)


def _remaining(migration: Migration, records: Sequence[StatementRecord]) -> MigrationPlan:
    steps = statements_to_send(migration)
    by_number = {record.number: record for record in records}
    done = 0
    while (record := by_number.get(done + 1)) and record.state is StatementState.DONE:
        if done >= len(steps) or steps[done].statement.text != record.text:
            place = steps[done].statement.place if done < len(steps) else migration.path
            raise MigrationError(
                f"{place}: statement {record.number} of version {migration.version} is applied,"
                " and was changed since: undo the change, or roll the version back first"
            )
        done += 1
    left = list(steps[done:])
    if record and left and record.state is StatementState.RUNNING:
        if left[0].statement.text != record.text:
            raise MigrationError(
                f"{left[0].statement.place}: it is not known whether statement {record.number} of"
                f" version {migration.version} was applied, and it was changed since:"
                " undo the change, or roll the version back first"
            )
        first = left[0]
        left[0] = Step(first.version, first.number, first.statement, first.properties, record)
    return MigrationPlan(migration, done, tuple(left))


def _set(properties: dict[str, str], statement: Statement) -> None:
    name, value = statement.ast.this, statement.ast.args.get("value")
    if value is None:
        properties.pop(str(name.this), None)
    else:
        properties[str(name.this)] = str(value.this)
