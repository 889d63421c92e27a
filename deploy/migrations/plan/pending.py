"""The plan of an apply: a pure function of the files, the record and the server."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from opensea_metrics.core.errors import Place
from opensea_metrics.deploy.client.snapshot import Server, catalog_of
from opensea_metrics.deploy.migrations.effects import effect_of, recorded_types
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.plan.files import is_as_applied
from opensea_metrics.deploy.migrations.plan.impact import DataEffect, Impact, Verdict, World, assess
from opensea_metrics.deploy.migrations.plan.side_by_side import expand
from opensea_metrics.deploy.migrations.plan.steps import (
    ApplyStep,
    Plan,
    Reversibility,
    VersionPlan,
    check_has_statements,
    planned,
    record_of,
    steps_of,
)
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
from opensea_metrics.sql.language.statements.parser import parse_statement
from opensea_metrics.sql.language.statements.statements import Kind

# For these it matters which queries run.
ENDING = (*DROPS, Kind.TERMINATE, Kind.ALTER, Kind.PAUSE, Kind.RESUME)


@dataclass(frozen=True)
class ApplyChoice:
    """Which pending versions are applied, and how.

    All versions up to ``target`` (None: up to the newest file). ``one``: only the next version. ``out_of_order``: also
    versions below an applied one. ``side_by_side``: build an object beside the old one if ksqlDB does not replace it.
    """

    target: int | None = None
    one: bool = False
    out_of_order: bool = False
    side_by_side: bool = False


ALL = ApplyChoice()


def make_plan(
    migrations: Sequence[Migration], recorded: Recorded, server: Server | None = None, choice: ApplyChoice = ALL
) -> Plan:
    """The plan that applies the pending versions; all streams and tables of ``server`` are described.

    Raises MigrationError if files and record contradict one another. Then an applied file was changed or is missing, a
    pending version is below an applied one, or no file has the target version. Raises SqlError if a pending file has no
    statements.
    """
    server, target = server or Server(), choice.target
    files = {file.version: file for file in migrations}
    if target is not None and target not in files:
        raise MigrationError(f"no migration has version {target}\n  hint: see status for the versions")
    for record in recorded.applied:
        _check_applied(record, files.get(record.version), recorded)
    applied, begun = {version.version for version in recorded.applied}, recorded.begun
    newest = max(applied | begun, default=0)
    rolling_back = {record.version for record in recorded.versions if record.is_being_rolled_back}
    pending = []
    for version, file in sorted(files.items()):
        if version in applied or (target is not None and version > target):
            continue
        if version < newest and version not in begun and not choice.out_of_order:
            raise MigrationError(
                f"{file.path} is pending, and version {newest} above it is already applied or begun\n  hint: give"
                f" the file a number above {newest}, roll back to below version {version} first, or apply it with"
                " --out-of-order"
            )
        pending.append(_remaining(file, recorded.statements_of(version), version in rolling_back))
    return _assessed(pending[:1] if choice.one else pending, files, recorded, server, choice.side_by_side)


def _assessed(
    pending: Sequence[VersionPlan[ApplyStep]],
    files: Mapping[int, Migration],
    recorded: Recorded,
    server: Server,
    side_by_side: bool,
) -> Plan:
    """The plan with the impact of each step."""
    steps = [step for version in pending for step in version.steps]
    statements = [step.statement for step in steps]
    with_queries = any(s.kind in ENDING or s.replaces or s.keeps_existing for s in statements)
    catalog = replace(catalog_of(server, with_queries), types=recorded_types(recorded))
    world = World(catalog, server.topics, is_embedded=server.is_embedded)
    versions: list[VersionPlan[ApplyStep]] = []
    for plan in pending:
        judged: list[ApplyStep] = []
        more = 0  # statements that changes side by side have added
        for step in plan.steps:
            step = replace(step, record=replace(step.record, number=step.record.number + more))
            impact, after = _assess(step, world, len(judged), server)
            step = replace(step, impact=impact)
            is_beside, is_there = side_by_side and step.is_refused_replacement, step.statement.name in server.described
            if is_beside and not is_there and versions:
                before = [step for version in versions for step in version.steps]
                later = tuple(waiting.version for waiting in pending[len(versions) :])
                return Plan(tuple(versions), basis_of(recorded, server, before), later)
            if is_beside and is_there:
                beside = expand(step, recorded, server)
                judged.extend(beside)
                more += len(beside) - 1
                plan = replace(plan, side_by_side=True)
            else:
                judged.append(step)
                world = after
        if files[plan.version].down is None:
            plan = replace(plan, reversible=_reversible(judged))
        versions.append(replace(plan, steps=tuple(judged)))
    return Plan(tuple(versions), basis_of(recorded, server, steps))


def basis_of(recorded: Recorded, server: Server, steps: Iterable[ApplyStep]) -> str:
    """A checksum (SHA-256, hex) of the record, and of the definitions on the server that the steps name."""
    names = {name for step in steps for name in (step.statement.name, *step.statement.reads)}
    facts = [
        [[version.version, version.state, version.checksum] for version in recorded.versions],
        [[record.version, record.number, record.state, record.text] for record in recorded.statements],
        sorted([n, server.described[n].statement] for n in names if n and n in server.described),
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _assess(step: ApplyStep, world: World, number: int, server: Server) -> tuple[Impact, World]:
    if step.record.state is StatementState.RUNNING and effect_of(step.record, server) is not None:
        return Impact(Verdict.UNCHANGED, DataEffect.ALREADY_EXECUTED), world
    impact, after = assess(step.statement, world, number)
    if step.record.logical is not None and impact.verdict is Verdict.NEW:
        impact = replace(impact, verdict=Verdict.SIDE_BY_SIDE)
    return impact, after


def _reversible(steps: Sequence[ApplyStep]) -> Reversibility:
    """Whether a rollback can undo these steps (see rollback)."""
    created = {
        step.statement.name
        for step in steps
        if step.statement.kind in CREATES and step.impact.verdict in (Verdict.NEW, Verdict.REBUILD)
    }
    with_loss = False
    for step in steps:
        statement = step.statement
        match statement.kind:
            case Kind.INSERT_VALUES | Kind.ALTER if statement.name not in created:
                return Reversibility.IRREVERSIBLE
            case Kind.TERMINATE if not (statement.name or "").startswith("INSERTQUERY"):
                return Reversibility.IRREVERSIBLE
            case Kind.DROP_STREAM | Kind.DROP_TABLE | Kind.TERMINATE:
                with_loss = with_loss or step.impact.verdict is Verdict.DROPPED
            case kind if kind in CREATES and step.impact.adds_columns:
                return Reversibility.IRREVERSIBLE
    return Reversibility.WITH_LOSS if with_loss else Reversibility.REVERSIBLE


def _check_applied(record: VersionRecord, file: Migration | None, recorded: Recorded) -> None:
    if file is None:
        raise MigrationError(
            f"version {record.version} ({record.name}) is applied, and its file is missing\n"
            "  hint: restore the file, or roll the version back with the file in place"
        )
    if not is_as_applied(file, record, recorded.in_effect_of(record.version)):
        raise MigrationError(
            f"{file.path} was changed after it was applied ('validate' shows how)\n"
            "  hint: undo the change in the file, or in the settings and macros that it uses. Then write a new"
            " migration: opensea-metrics new NAME, new --window SIZE or new NAME --change FAMILY (docs/recipes.md)."
            f" Or roll version {record.version} back and apply it again"
        )


def _remaining(file: Migration, records: Sequence[StatementRecord], is_rolling_back: bool) -> VersionPlan[ApplyStep]:
    """The steps of a file that are left. Raises SqlError for a file without statements."""
    if is_side_by_side(records):
        # Statements of an earlier and longer plan are recorded as undone, too.
        if is_rolling_back and any(record.state is StatementState.UNDONE for record in records):
            raise MigrationError(
                f"version {file.version} was built side by side, and a rollback of it has not finished\n"
                "  hint: roll it back again, and then apply it"
            )
        return _recorded(file, records)
    steps = {step.record.number: step for step in steps_of(file)}
    left = dict(steps)
    for record in records:
        if not record.in_effect:
            continue
        step = steps.get(record.number)
        if step is None or step.statement.text != record.text:
            is_done = record.state is StatementState.DONE
            place = step.statement.place if step else file.path
            raise MigrationError(
                f"{place}: statement {record.number} of version {file.version} was changed after it was"
                f" {'applied' if is_done else 'sent, and it is not known whether it was applied'}\n"
                "  hint: undo the change, or roll the version back first"
            )
        if record.state is StatementState.DONE:
            del left[record.number]
        else:
            left[record.number] = replace(step, record=record)
    check_has_statements(file)
    return VersionPlan(record_of(file, VersionState.RUNNING), tuple(left.values()), len(steps) - len(left))


def _recorded(file: Migration, records: Sequence[StatementRecord]) -> VersionPlan[ApplyStep]:
    """The steps that are left of a change side by side, which the record holds."""
    done, steps = 0, []
    for record in records:
        if record.state is StatementState.DONE:
            done += 1
        elif record.state is not StatementState.UNDONE:
            statement = replace(parse_statement(record.text), place=Place(str(file.path), 1, 1))
            if record.state is not StatementState.RUNNING:
                fresh = planned(statement, record.version, record.number, record.properties)
                record = replace(fresh, logical=record.logical, awaits=record.awaits)
            steps.append(ApplyStep(statement, record))
    return VersionPlan(record_of(file, VersionState.RUNNING), tuple(steps), done, side_by_side=True)
