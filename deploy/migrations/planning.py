"""What is to be applied: a pure function of the files, of the record and of the server."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from opensea_metrics.core.errors import Place
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.files import (
    is_side_by_side,
    knows,
    same_statements,
    statements_to_send,
)
from opensea_metrics.deploy.migrations.impact import CREATES, Impact, Verdict, World, assess
from opensea_metrics.deploy.migrations.live import catalog_of
from opensea_metrics.deploy.migrations.plan import (
    IRREVERSIBLE,
    REVERSIBLE,
    WITH_LOSS,
    MigrationPlan,
    Plan,
    Step,
)
from opensea_metrics.deploy.migrations.server import Server, effect_of
from opensea_metrics.deploy.migrations.sidebyside import Part, expand
from opensea_metrics.deploy.migrations.state import (
    Recorded,
    StatementRecord,
    StatementState,
    VersionRecord,
    VersionState,
)
from opensea_metrics.sql.language.project.project import Migration
from opensea_metrics.sql.language.statements.parser import parse_statement
from opensea_metrics.sql.language.statements.properties import RESET
from opensea_metrics.sql.language.statements.statements import Kind

# For these it matters which queries run.
ENDING = (Kind.DROP_STREAM, Kind.DROP_TABLE, Kind.TERMINATE, Kind.ALTER, Kind.PAUSE, Kind.RESUME)


def make_plan(
    migrations: Sequence[Migration],
    recorded: Recorded,
    server: Server | None = None,
    target: int | None = None,
    one: bool = False,
    out_of_order: bool = False,
    side_by_side: bool = False,
) -> Plan:
    """The plan that brings what is recorded up to ``target`` (None: to the newest file).

    ``one``: the next migration only; ``out_of_order``: also those below an applied one;
    ``side_by_side``: what cannot be replaced in place is built beside the old one. ``server`` has
    been asked to describe everything. Raises MigrationError if the files contradict the record:
    an applied file was changed or is missing, a pending one is older than an applied one, or
    ``target`` is no version of a file.
    """
    server = server or Server()
    by_version = {each.version: each for each in migrations}
    if target is not None and target not in by_version:
        raise MigrationError(f"there is no migration with version {target}")
    applied = [each for each in recorded.versions if each.state is VersionState.MIGRATED]
    for record in applied:
        _check_applied(record, by_version.get(record.version), recorded)
    done = {each.version for each in applied}
    begun = {each.version for each in recorded.statements if each.in_effect}
    newest = max(done | begun, default=0)
    pending = []
    for version, file in sorted(by_version.items()):
        if version in done or (target is not None and version > target):
            continue
        if version < newest and version not in begun and not out_of_order:
            raise MigrationError(
                f"{file.path} is pending, and version {newest} above it is already applied or"
                f" begun: give it a number above {newest}, roll back to below {version} first, or"
                " apply it with --out-of-order"
            )
        pending.append(_remaining(file, recorded.statements_of(version)))
    downs = {each.version for each in migrations if each.down is not None}
    return assessed(pending[:1] if one else pending, recorded, server, downs, side_by_side)


def assessed(
    pending: Iterable[MigrationPlan],
    recorded: Recorded,
    server: Server,
    downs: Collection[int] = (),
    side_by_side: bool = False,
) -> Plan:
    """The plan with the impact of each step on what is on the server; ``downs``: the versions that
    have a down file."""
    pending = tuple(pending)
    steps = [step for each in pending for step in each.steps]
    kinds = {step.statement.kind for step in steps}
    again = any(s.statement.replaces or s.statement.keeps_existing for s in steps)
    with_queries = again or bool(kinds.intersection(ENDING))
    catalog = catalog_of(server, with_queries)
    world = World(catalog, server.topics, is_embedded=server.is_embedded)
    plans = []
    for plan in pending:
        made: list[Step] = []
        for step in plan.steps:
            impact, after = _assessed(step, world, len(made), server)
            expandable = step.statement.replaces and bool(
                impact.verdict is Verdict.REFUSED and impact.clause
            )
            if side_by_side and expandable and step.statement.name in server.described:
                parts = expand(step.statement, recorded, server)
                made.extend(_beside(step, parts, step.number + len(made) - plan.steps.index(step)))
                plan = replace(plan, side_by_side=True)
                continue
            world = after
            number = step.number + len(made) - plan.steps.index(step)
            made.append(replace(step, number=number, impact=impact))
        kind = plan.reversible if plan.version in downs else _reversible(made)
        plans.append(replace(plan, steps=tuple(made), reversible=kind))
    return Plan(tuple(plans), basis_of(recorded, server, steps))


def _assessed(step: Step, world: World, number: int, server: Server) -> tuple[Impact, World]:
    if step.unfinished is not None and effect_of(step.unfinished, server) is not None:
        return Impact(Verdict.UNCHANGED, "nothing: it was carried out, and is recorded now"), world
    impact, after = assess(step.statement, dict(step.properties), world, number)
    if step.logical is not None and impact.verdict is Verdict.NEW:
        impact = replace(impact, verdict=Verdict.SIDE_BY_SIDE)
    return impact, after


def _beside(step: Step, parts: Sequence[Part], first: int) -> list[Step]:
    """The parts of a change side by side, as steps."""
    steps = []
    for number, part in enumerate(parts, first):
        verdict = Verdict.SIDE_BY_SIDE
        if part.statement.kind in (Kind.DROP_STREAM, Kind.DROP_TABLE, Kind.TERMINATE):
            verdict = Verdict.DROPPED
        data = part.data
        if part.awaits:
            data = f"after {', '.join(part.awaits)} caught up: {data}"
        properties = {**dict(step.properties), RESET: "earliest"}
        steps.append(
            Step(
                step.version,
                number,
                part.statement,
                tuple(sorted(properties.items())),
                impact=Impact(verdict, data),
                logical=part.logical,
                awaits=part.awaits,
            )
        )
    return steps


def _reversible(steps: Sequence[Step]) -> str:
    """What a rollback of these steps can do (see rollback)."""
    made = {
        each.statement.name
        for each in steps
        if each.statement.kind in CREATES
        and each.impact.verdict in (Verdict.NEW, Verdict.REBUILD)
    }
    lossy = False
    for step in steps:
        statement, verdict = step.statement, step.impact.verdict
        match statement.kind:
            case Kind.INSERT_VALUES | Kind.ALTER if statement.name not in made:
                return IRREVERSIBLE
            case Kind.TERMINATE if not (statement.name or "").startswith("INSERTQUERY"):
                return IRREVERSIBLE
            case Kind.DROP_STREAM | Kind.DROP_TABLE | Kind.TERMINATE:
                lossy = lossy or verdict is Verdict.DROPPED
            case _ if step.impact.adds_columns:
                return IRREVERSIBLE
    return WITH_LOSS if lossy else REVERSIBLE


def basis_of(recorded: Recorded, server: Server, steps: Iterable[Step]) -> str:
    """What a plan rests on, as a checksum (SHA-256, hex)."""
    names = {name for each in steps for name in (each.statement.name, *each.statement.reads)}
    facts = [
        [[each.version, each.state, each.checksum] for each in recorded.versions],
        [[each.version, each.number, each.state, each.text] for each in recorded.statements],
        sorted([n, server.described[n].statement] for n in names if n and n in server.described),
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _check_applied(record: VersionRecord, file: Migration | None, recorded: Recorded) -> None:
    if file is None:
        raise MigrationError(
            f"version {record.version} ({record.name}) is applied, and its file is missing"
        )
    if knows(record, file):
        return
    if not same_statements(file, recorded.applied_of(record.version)):
        raise MigrationError(
            f"{file.path} was changed after it was applied ('validate' shows how): undo the change"
            " (of the file, or of the settings that it uses) and write a new migration instead,\n"
            f"  or roll version {record.version} back and apply it again"
        )


def _remaining(migration: Migration, records: Sequence[StatementRecord]) -> MigrationPlan:
    if is_side_by_side(records):
        return _recorded(migration, records)
    steps = statements_to_send(migration)
    by_number = {step.number: step for step in steps}
    left = {step.number: step for step in steps}
    for record in records:
        if not record.in_effect:
            continue
        step = by_number.get(record.number)
        if step is None or step.statement.text != record.text:
            place = step.statement.place if step else migration.path
            known = (
                f"statement {record.number} of version {migration.version} is applied, and"
                if record.state is StatementState.DONE
                else f"it is not known whether statement {record.number} of version"
                f" {migration.version} was applied, and it"
            )
            raise MigrationError(
                f"{place}: {known} was changed since: undo the change, or roll the version back"
                " first"
            )
        if record.state is StatementState.DONE:
            del left[record.number]
        else:
            left[record.number] = replace(step, unfinished=record)
    done = len(steps) - len(left)
    return _plan(migration, done, left.values())


def _recorded(migration: Migration, records: Sequence[StatementRecord]) -> MigrationPlan:
    """What is left of a change side by side that was begun."""
    left = [each for each in records if each.state is not StatementState.DONE]
    steps = [
        Step(
            each.version,
            each.number,
            replace(parse_statement(each.text), place=Place(str(migration.path), 1, 1)),
            each.properties,
            each if each.state is StatementState.RUNNING else None,
            logical=each.logical,
            awaits=each.awaits,
        )
        for each in left
        if each.state is not StatementState.UNDONE
    ]
    done = len(records) - len(left)
    return _plan(migration, done, steps, side_by_side=True)


def _plan(
    migration: Migration, done: int, steps: Iterable[Step], side_by_side: bool = False
) -> MigrationPlan:
    return MigrationPlan(
        migration.version,
        migration.name,
        migration.file_md5,
        migration.checksum,
        done,
        tuple(steps),
        side_by_side=side_by_side,
    )
