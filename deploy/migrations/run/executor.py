"""Executes plans, of an apply and of a rollback, step by step.

A statement of an apply is recorded by the request that sends it, in front of it. When its outcome is certain, it is
recorded again, together with the next statement. The statements that a rollback undoes are recorded after the step that
undoes them. So the next run resumes at the right step.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sqlglot import exp

from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.client.snapshot import look
from opensea_metrics.deploy.migrations.effects import TYPES, VISIBLE, effect_of
from opensea_metrics.deploy.migrations.errors import MigrationError, StepFailed
from opensea_metrics.deploy.migrations.plan.steps import (
    ApplyStep,
    Plan,
    RollbackPlan,
    UndoStep,
    VersionPlan,
    record_of,
)
from opensea_metrics.deploy.migrations.record.records import (
    CREATES,
    DROPS,
    ROLLING_BACK,
    Recorded,
    StatementRecord,
    StatementState,
    VersionRecord,
    VersionState,
)
from opensea_metrics.deploy.migrations.record.store import RecordStore
from opensea_metrics.deploy.migrations.run import catch_up
from opensea_metrics.deploy.migrations.run.delivery import (
    Delivered,
    StatementRefused,
    deliver,
    effect_if,
)
from opensea_metrics.deploy.migrations.run.progress import Report, StepProgress, ignore
from opensea_metrics.deploy.migrations.run.topics import DeleteByBroker, delete_topic
from opensea_metrics.sql.language.catalog import custom_types
from opensea_metrics.sql.language.statements.statements import Kind, Statement, terminating

Step = ApplyStep | UndoStep


@dataclass(frozen=True)
class Run:
    """A server under the lock: it refuses the statements of ``client`` once the lock is lost.

    ``who`` is recorded with each statement. ``functions`` (user-defined functions by name, with the checksums of their
    sources) are recorded with the statements that call them. ``timeout``: seconds in which a query must catch up.
    """

    client: KsqlClient
    store: RecordStore
    report: Report = ignore
    who: str = ""
    functions: Mapping[str, str] = field(default_factory=dict)
    delete_by_broker: DeleteByBroker | None = None
    timeout: float = 3600.0


def now() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)


def execute(plan: Plan | RollbackPlan, recorded: Recorded, run: Run) -> tuple[StatementRecord, ...]:
    """Execute a plan that was made from ``recorded``; returns the records of its statements.

    Raises StepFailed at the first refusal, GuardFailed if the lock is lost.
    """
    applied = {version.version: version for version in recorded.applied}
    records: list[StatementRecord] = []
    count = sum(version.total - version.done for version in plan.versions)
    begun = 0
    for version in plan.versions:
        records += _execute_version(version, applied, run, begun, count)
        begun += version.total - version.done
    run.store.settle()
    return tuple(records)


def _execute_version(
    plan: VersionPlan[ApplyStep] | VersionPlan[UndoStep],
    applied: dict[int, VersionRecord],
    run: Run,
    begun: int,
    count: int,
) -> list[StatementRecord]:
    """Execute the steps of one version, and keep ``applied`` up to date.

    ``begun`` of the run's ``count`` steps belong to earlier versions.
    """
    records: list[StatementRecord] = []
    previous = max((version for version in applied if version < plan.version), default=None)
    running = replace(plan.record, started_on=now(), previous=previous)
    run.store.note_version(running, running)
    steps: tuple[Step, ...] = plan.steps
    if plan.side_by_side:
        run.store.note_statements(
            _record(step, step.statement, StatementState.PLANNED)
            for step in steps
            if step.statement is not None and step.unfinished is None
        )
        run.store.write()
    number = plan.done
    for step in steps:
        number += bool(step.label)
        position = begun + number - plan.done
        progress = StepProgress(plan.version, plan.name, number, plan.total, step.label, position, count)
        started = time.monotonic()
        if step.label:
            run.report(progress)
        if step.awaits:
            run.store.write()
            server = look(run.client)
            sinks = {query: sink for sink in step.awaits for query in server.writers(sink)}
            catch_up.wait(run.client, sinks, run.report, run.timeout)
        try:
            outcome = _execute_step(step, run)
        except (StatementRefused, MigrationError) as error:
            reason = f"{ROLLING_BACK}: {error}" if running.is_being_rolled_back else str(error)
            failed = replace(running, state=VersionState.ERROR, error_reason=reason, completed_on=now())
            run.store.note_version(failed, failed)
            run.store.settle()
            raise StepFailed(_failure(progress, step, str(error), number - 1)) from error
        run.store.note_statements(outcome)
        if isinstance(step, UndoStep) or step.statement.kind not in VISIBLE:
            run.store.write()  # without this record, the next run could not tell that the step is done
        records += outcome
        if step.label:
            run.report(replace(progress, seconds=time.monotonic() - started))
    applied.pop(plan.version, None)
    ended = replace(running, state=plan.ends, started_on=None, completed_on=None, error_reason=None)
    if plan.ends is VersionState.MIGRATED:
        ended = replace(ended, started_on=running.started_on, completed_on=now())
        applied[plan.version] = ended
    run.store.note_version(ended, applied[max(applied)] if applied else None)
    run.store.write()
    return records


def _execute_step(step: Step, run: Run) -> tuple[StatementRecord, ...]:
    """Send the statement of a step, and delete its topic; returns the records after the step."""
    record, delivered, statement = step.unfinished, Delivered(), step.statement
    topic = step.deletes if isinstance(step, UndoStep) else None
    if statement is not None:
        record = record or _record_before(step, statement, run)
        is_recorded = isinstance(step, ApplyStep)
        if is_recorded and step.unfinished is None:
            run.store.note_statements([record])
            if record.logical is not None:
                run.store.write()  # by this record the next run knows that the version is built side by side
        try:
            delivered = _delivered(step, statement, record, run)
        except StatementRefused as error:
            if is_recorded:
                failed = replace(record, state=StatementState.ERROR, error_reason=str(error))
                run.store.note_statements([replace(failed, completed_on=now())])
            raise
        topic = record.topic if statement.deletes_topic else topic
    if topic is not None:
        run.store.write()  # the version is recorded as being rolled back before it loses anything
        try:
            delete_topic(topic, run.client, run.delete_by_broker)
        except StatementRefused as error:
            dropped = f"{record.target} is dropped, and its " if record else ""
            raise MigrationError(f"{dropped}topic {topic} could not be deleted: {error}") from error
    return _records_after(step, record, delivered)


def _delivered(step: Step, statement: Statement, record: StatementRecord, run: Run) -> Delivered:
    """Send a statement, unless an interrupted run has executed it. A topic is deleted later."""

    def search() -> Delivered | None:
        if statement.kind in TYPES:
            is_there = custom_types.name_of(statement) in run.client.types()
            return Delivered() if is_there is (statement.kind is Kind.CREATE_TYPE) else None
        names = [record.target or ""] if record.kind is Kind.ALTER else []
        return effect_of(record, look(run.client, names))

    delivered = search() if step.may_be_done else None
    if delivered is None:
        text = statement.without_delete_topic().text
        delivered = run.store.deliver(text, dict(step.properties), search)
    return _with_one_query(record, delivered, run) if statement.starts_query else delivered


def _with_one_query(record: StatementRecord, delivered: Delivered, run: Run) -> Delivered:
    """The outcome with the id of the query. If a statement that was sent twice started two queries, one is ended."""
    if delivered.query_id is not None and not delivered.again:
        return delivered
    # A reply that came late, or not at all, does not name the query.
    server = look(run.client)
    started = [query_id for query_id in server.writers(record.target) if query_id not in record.writers]
    if not started:
        return delivered
    first, *others = started
    for other in others:
        if server.queries[other].text == server.queries[first].text:
            _end(other, run)
    return replace(delivered, query_id=first)


def _end(query_id: str, run: Run) -> None:
    ended = effect_if(lambda: query_id not in look(run.client).queries)
    deliver(run.client, terminating(query_id).text, {}, ended)


def _record(step: Step, statement: Statement, state: StatementState) -> StatementRecord:
    if isinstance(step, UndoStep):  # only to compare with: it is not written
        return record_of(statement, 0, 0, state)
    record = record_of(statement, step.version, step.number, state, step.properties)
    return replace(record, awaits=step.awaits, logical=step.logical)


def _record_before(step: Step, statement: Statement, run: Run) -> StatementRecord:
    """The record of a statement and of the server before it."""
    target, topic, previous = statement.name, statement.topic, None
    with_queries = statement.kind is Kind.TERMINATE or isinstance(step, UndoStep)
    server = look(run.client, [target or ""], with_queries)
    writers = server.writers(target)
    if statement.kind is Kind.TERMINATE:
        existed = target in server.queries
        previous = server.queries[target].text if target and existed else None
    else:
        existed = target in server.sources
        changes_target = statement.kind in (*DROPS, Kind.ALTER) or statement.replaces
        if target and existed and changes_target:
            topic = server.sources[target].topic
            previous = server.described[target].statement
    if isinstance(step, UndoStep) and step.may_be_done:
        # An interrupted run may have restored the object already. Then its query is the effect of this step.
        existed = False
        others = tuple(query_id for query_id in writers if server.queries[query_id].text != statement.text)
        writers = () if statement.kind in CREATES else others
    called = {str(call.this).upper() for call in statement.ast.find_all(exp.Anonymous)}
    return replace(
        _record(step, statement, StatementState.RUNNING),
        topic=topic,
        target_existed=existed,
        topic_existed=topic in server.topics,
        writers=writers,
        started_on=now(),
        previous=previous,
        who=run.who,
        functions=tuple(sorted((f, run.functions[f]) for f in called & run.functions.keys())),
    )


def _records_after(step: Step, before: StatementRecord | None, delivered: Delivered) -> tuple[StatementRecord, ...]:
    """The records to write after a step; ``before``: the record of its statement."""
    query_id, defined = delivered.query_id, delivered.defined
    if isinstance(step, ApplyStep):
        sent = before or _record(step, step.statement, StatementState.RUNNING)
        done = replace(sent, state=StatementState.DONE, query_id=query_id, defined=defined)
        return (replace(done, completed_on=now()),)
    undone = [replace(record, state=StatementState.UNDONE, completed_on=now()) for record in step.undoes]
    if step.owner is not None and step.restored is not None:
        return (replace(step.owner, query_id=query_id, defined=defined), *undone)
    return tuple(undone)


def _failure(progress: StepProgress, step: Step, reason: str, done: int) -> str:
    """The message on a step that failed: which one, why, and what to do."""
    reason = reason.replace("\n", "\n  ")
    version, number, total = progress.version, progress.number, progress.total
    if isinstance(step, UndoStep):
        return (
            f"version {version}: the rollback stopped at step {number} of {total} ({step.label}):\n  {reason}\n"
            "  hint: remove the obstacle and roll back again: the rollback resumes at this step"
        )
    return (
        f"{step.statement.place}: statement {step.number} of {total} of version {version} ({step.label}) failed:\n"
        f"  {reason}\n"
        f"  {done} of {total} statements of this version are applied, and stay in effect\n"
        "  hint: fix the cause and apply again: apply resumes at this statement"
    )
