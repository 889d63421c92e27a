"""Plans carried out: each statement recorded before it is sent and after, each outcome certain."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter

from sqlglot import exp

from opensea_metrics.deploy.migrations import catchup
from opensea_metrics.deploy.migrations.certainty import Refusal, certainly
from opensea_metrics.deploy.migrations.errors import StepFailed
from opensea_metrics.deploy.migrations.plan import MigrationPlan, Plan, Step
from opensea_metrics.deploy.migrations.server import Effect, Server, effect_of, look
from opensea_metrics.deploy.migrations.state import (
    Recorded,
    StatementRecord,
    StatementState,
    VersionRecord,
    VersionState,
)
from opensea_metrics.deploy.migrations.topics import delete_topic
from opensea_metrics.deploy.migrations.work import Progress, Work, now
from opensea_metrics.sql.language.statements.statements import Kind, Statement, terminating

_DROPS = (Kind.DROP_STREAM, Kind.DROP_TABLE)


def apply(plan: Plan, recorded: Recorded, work: Work) -> tuple[StatementRecord, ...]:
    """Carry out a plan made from ``recorded``; gives what was recorded of its statements.

    Raises StepFailed at the first refusal, GuardFailed if the lock is lost.
    """
    done: list[StatementRecord] = []
    versions = [each for each in recorded.versions if each.state is VersionState.MIGRATED]
    for each in plan.migrations:
        versions.append(_apply_one(each, versions, work, done))
    work.store.settle()
    return tuple(done)


def _apply_one(
    plan: MigrationPlan,
    applied: Sequence[VersionRecord],
    work: Work,
    done: list[StatementRecord],
) -> VersionRecord:
    version = VersionRecord(
        version=plan.version,
        name=plan.name,
        state=VersionState.RUNNING,
        checksum=plan.checksum,
        rendered=plan.rendered,
        started_on=now(),
        previous=max((v.version for v in applied if v.version < plan.version), default=None),
    )
    work.store.write_version(version)
    if plan.side_by_side:
        work.store.write_statements(_planned(step) for step in plan.steps if not step.unfinished)
    for step in plan.steps:
        what = describe(step.statement)
        news = Progress(version.version, plan.name, step.number, plan.total, what)
        work.report(news)
        started = time.monotonic()
        if step.awaits:
            catchup.wait(work.client, _running(work, step.awaits), work.report, work.timeout)
        record = step.unfinished
        if record is None:
            record = _record_of(step, look(work.client, [step.statement.name or ""]), work)
            work.store.write_statement(record)
        try:
            effect = _carry_out(step, record, work)
        except Refusal as error:
            raise _failed(plan, step, version, record, error, work) from error
        record = replace(
            record,
            state=StatementState.DONE,
            query_id=effect.query_id,
            defined=effect.defined,
            completed_on=now(),
        )
        work.store.write_statement(record)
        done.append(record)
        work.report(replace(news, seconds=time.monotonic() - started))
    version = replace(version, state=VersionState.MIGRATED, completed_on=now())
    work.store.write_version(version)
    newest = max(applied, key=attrgetter("version"), default=version)
    if newest.version > version.version:  # applied out of order: another one stays the current one
        work.store.write_version(newest)
    return version


def _failed(
    plan: MigrationPlan,
    step: Step,
    version: VersionRecord,
    record: StatementRecord,
    error: Refusal,
    work: Work,
) -> StepFailed:
    """Record a refusal, and say what is to be done."""
    reason = str(error)
    failed = replace(record, state=StatementState.ERROR, error_reason=reason)
    work.store.write_statement(replace(failed, completed_on=now()))
    version = replace(version, state=VersionState.ERROR, error_reason=reason)
    work.store.write_version(replace(version, completed_on=now()))
    work.store.settle()
    left = [each.number for each in plan.steps].index(step.number)
    return StepFailed(
        f"{step.statement.place}: the server refused statement {step.number} of {plan.total} of"
        f" version {version.version} ({describe(step.statement)}):\n  {indented(reason)}\n"
        f"  applied before it and still in effect: {plan.done + left} of {plan.total} statements of"
        " this version\n"
        "  hint: mend the statement and apply again: it goes on from there"
    )


def _planned(step: Step) -> StatementRecord:
    statement = step.statement
    return StatementRecord(
        step.version,
        step.number,
        statement.kind,
        statement.text,
        statement.name,
        statement.topic,
        StatementState.PLANNED,
        properties=step.properties,
        logical=step.logical,
        awaits=step.awaits,
    )


def _record_of(step: Step, server: Server, work: Work) -> StatementRecord:
    statement = step.statement
    target, topic = statement.name, statement.topic
    previous = None
    if statement.kind is Kind.TERMINATE:
        existed = target in server.queries
        previous = server.queries[target].text if target and existed else None
    else:
        existed = target in server.sources
        changes_it = statement.kind in (*_DROPS, Kind.ALTER) or statement.replaces
        if target and existed and changes_it:
            topic = server.sources[target].topic
            previous = server.described[target].statement
    called = {str(each.this).upper() for each in statement.ast.find_all(exp.Anonymous)}
    return StatementRecord(
        version=step.version,
        number=step.number,
        kind=statement.kind,
        text=statement.text,
        target=target,
        topic=topic,
        state=StatementState.RUNNING,
        target_existed=existed,
        topic_existed=topic in server.topics,
        writers=server.writers(target),
        started_on=now(),
        properties=step.properties,
        previous=previous,
        who=work.who,
        logical=step.logical,
        awaits=step.awaits,
        functions=tuple(sorted((f, work.functions[f]) for f in called & work.functions.keys())),
    )


def _carry_out(step: Step, record: StatementRecord, work: Work) -> Effect:
    statement = step.statement

    def seen() -> Effect | None:
        names = [record.target or ""] if record.kind is Kind.ALTER else []
        return effect_of(record, look(work.client, names))

    effect = seen() if step.unfinished else None
    if effect is None:
        text = statement.without_delete_topic().text
        effect = certainly(work.client, text, dict(step.properties), seen)
    if statement.deletes_topic and record.topic:
        try:
            delete_topic(record.topic, work.client, work.delete_by_broker)
        except Refusal as error:
            # The statement itself was carried out: it stays recorded as under way.
            raise StepFailed(
                f"{statement.place}: {record.target} is dropped, and its topic {record.topic} could"
                f" not be deleted:\n  {indented(str(error))}\n  hint: apply again: it goes on there"
            ) from error
    if statement.starts_query:
        return _only_one(record, effect, work)
    return effect


def _only_one(record: StatementRecord, effect: Effect, work: Work) -> Effect:
    """The effect with the query's id; a second query of a statement sent twice is ended."""
    if effect.query_id is not None and not effect.again:
        return effect
    # A reply that came late, or not at all, does not name the query.
    server = look(work.client)
    started = [each for each in server.writers(record.target) if each not in record.writers]
    if not started:
        return effect
    first, *others = started
    for other in others:
        if server.queries[other].text == server.queries[first].text:
            certainly(work.client, terminating(other).text, {}, partial(_ended, other, work))
    return replace(effect, query_id=first)


def _ended(query_id: str, work: Work) -> Effect | None:
    return None if query_id in look(work.client).queries else Effect()


def _running(work: Work, sinks: Sequence[str]) -> Mapping[str, str]:
    """The queries that write into these, with what they write into."""
    server = look(work.client)
    return {query: sink for sink in sinks for query in server.writers(sink)}


def describe(statement: Statement) -> str:
    """A statement in a few words."""
    return f"{statement.kind.value} {statement.name or ''}".rstrip()


def indented(text: str) -> str:
    """Further lines of a message moved under its first."""
    return text.replace("\n", "\n  ")


