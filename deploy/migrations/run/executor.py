"""Executes plans, of an apply and of a rollback, step by step.

A statement of an apply is recorded by the request that sends it, in front of it. When its outcome is certain, it is
recorded again, together with the next statement. The statements that a rollback undoes are recorded after the step that
undoes them. So the next run resumes at the right step.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.client.delivery import Delivered, StatementRefused, deliver, effect_if
from opensea_metrics.deploy.client.snapshot import Server, look
from opensea_metrics.deploy.client.topics import DeleteByBroker, delete_topic
from opensea_metrics.deploy.migrations.effects import TYPES, VISIBLE, effect_of
from opensea_metrics.deploy.migrations.errors import MigrationError, StepFailed
from opensea_metrics.deploy.migrations.plan.steps import (
    ApplyStep,
    Plan,
    RollbackPlan,
    Step,
    UndoStep,
    planned,
)
from opensea_metrics.deploy.migrations.record.records import (
    CREATES,
    DROPS,
    ROLLING_BACK,
    Properties,
    Recorded,
    StatementRecord,
    StatementState,
    VersionRecord,
    VersionState,
)
from opensea_metrics.deploy.migrations.record.store import RecordStore
from opensea_metrics.deploy.migrations.run import catch_up
from opensea_metrics.deploy.migrations.run.progress import Report, StepProgress, failure
from opensea_metrics.sql.language.catalog import custom_types
from opensea_metrics.sql.language.statements.statements import Kind, Statement, terminating


@dataclass(frozen=True)
class Run:
    """A server under the lock: it refuses the statements of ``client`` once the lock is lost.

    ``who`` is recorded with each statement. ``functions`` (user-defined functions by name, with the checksums of their
    sources) are recorded with the statements that call them. ``timeout``: seconds in which a query must catch up.
    """

    store: RecordStore
    report: Report
    who: str
    functions: Mapping[str, str]
    delete_by_broker: DeleteByBroker | None
    timeout: float

    @property
    def client(self) -> KsqlClient:
        return self.store.client


def now() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)


def execute(plan: Plan | RollbackPlan, recorded: Recorded, run: Run) -> tuple[StatementRecord, ...]:
    """Execute a plan that was made from ``recorded``; returns the records of its statements.

    Raises StepFailed at the first refusal, GuardFailed if the lock is lost.
    """
    called = {name for step in plan.steps if isinstance(step, ApplyStep) for name in step.statement.calls}
    run = replace(run, functions={name: run.functions[name] for name in sorted(called & run.functions.keys())})
    applied = {version.version: version for version in recorded.applied}
    records: list[StatementRecord] = []
    count, position = sum(version.total - version.done for version in plan.versions), 0
    for version in plan.versions:
        previous = max((number for number in applied if number < version.version), default=None)
        running = replace(version.record, started_on=now(), previous=previous)
        run.store.note_version(running, running)
        if version.side_by_side:
            ahead = [step.record for step in version.steps if isinstance(step, ApplyStep)]
            run.store.note_statements(record for record in ahead if record.state is StatementState.PLANNED)
            run.store.write()
        number = version.done
        for step in version.steps:
            number, position = number + bool(step.label), position + bool(step.label)
            progress = StepProgress(version.version, version.name, number, version.total, step.label, position, count)
            records += _execute(step, running, progress, run)
        applied.pop(version.version, None)
        if running.is_being_rolled_back:
            ended = replace(running, state=VersionState.PENDING, started_on=None, completed_on=None, error_reason=None)
        else:
            ended = replace(running, state=VersionState.MIGRATED, completed_on=now())
            applied[version.version] = ended
        run.store.note_version(ended, applied[max(applied)] if applied else None)
        run.store.write()
    run.store.settle()
    return tuple(records)


def _execute(step: Step, version: VersionRecord, progress: StepProgress, run: Run) -> list[StatementRecord]:
    """Execute one step, and record its outcome; ``version``: the record of its version during the run."""
    started = time.monotonic()
    if step.label:
        run.report(progress)
    if isinstance(step, ApplyStep) and step.record.awaits:
        run.store.write()
        server = look(run.client)
        sinks = {query: sink for sink in step.record.awaits for query in server.writers(sink)}
        catch_up.wait(run.client, sinks, run.report, run.timeout)
    try:
        records = _apply(step, run) if isinstance(step, ApplyStep) else _undo(step, run)
    except (StatementRefused, MigrationError) as error:
        reason = f"{ROLLING_BACK}: {error}" if version.is_being_rolled_back else str(error)
        failed = replace(version, state=VersionState.ERROR, error_reason=reason, completed_on=now())
        run.store.note_version(failed, failed)
        run.store.settle()
        raise StepFailed(failure(progress, step, str(error))) from error
    run.store.note_statements(records)
    if isinstance(step, UndoStep) or step.statement.kind not in VISIBLE:
        run.store.write()  # without this record, the next run could not tell that the step is done
    if step.label:
        run.report(replace(progress, seconds=time.monotonic() - started))
    return records


def _apply(step: ApplyStep, run: Run) -> list[StatementRecord]:
    """Send a statement, which is recorded before; returns its record afterwards."""
    record, statement = step.record, step.statement
    may_be_done = record.state is StatementState.RUNNING
    if not may_be_done:
        server = look(run.client, [statement.name or ""], with_queries=statement.kind is Kind.TERMINATE)
        functions = tuple(sorted((name, run.functions[name]) for name in statement.calls & run.functions.keys()))
        record = replace(_seen_before(record, statement, server), who=run.who, functions=functions)
        record = replace(record, state=StatementState.RUNNING, started_on=now())
        run.store.note_statements([record])
        if record.logical is not None:
            run.store.write()  # by this record the next run knows that the version is built side by side
    try:
        delivered = _deliver(statement, record, record.properties, may_be_done, run)
    except StatementRefused as error:
        failed = replace(record, state=StatementState.ERROR, error_reason=str(error), completed_on=now())
        run.store.note_statements([failed])
        raise
    if statement.deletes_topic:
        _delete_topic(record.topic, record, run)
    done = replace(record, state=StatementState.DONE, query_id=delivered.query_id, defined=delivered.defined)
    return [replace(done, completed_on=now())]


def _undo(step: UndoStep, run: Run) -> list[StatementRecord]:
    """Send the statement of a step, and delete its topic; returns the records of the statements that are undone."""
    statement, record, delivered, topic = step.statement, None, Delivered(), step.deletes
    if statement is not None:
        server = look(run.client, [statement.name or ""])
        record = _seen_before(planned(statement, 0, 0), statement, server)  # not written: only to compare with
        if step.may_be_done:
            # An interrupted run may have restored the object already. Then its query is the effect of this step.
            others = tuple(query for query in record.writers if server.queries[query].text != statement.text)
            record = replace(record, target_existed=False, writers=() if statement.kind in CREATES else others)
        delivered = _deliver(statement, record, step.properties, step.may_be_done, run)
        topic = record.topic if statement.deletes_topic else topic
    _delete_topic(topic, record, run)
    undone = [replace(record, state=StatementState.UNDONE, completed_on=now()) for record in step.undoes]
    if step.owner is not None and step.restored is not None:
        undone.insert(0, replace(step.owner, query_id=delivered.query_id, defined=delivered.defined))
    return undone


def _delete_topic(topic: str | None, dropped: StatementRecord | None, run: Run) -> None:
    """Delete a topic, if there is one. ``dropped``: the record of the DROP before."""
    if topic is None:
        return
    run.store.write()  # the version is recorded as being rolled back before it loses anything
    try:
        delete_topic(topic, run.client, run.delete_by_broker)
    except StatementRefused as error:
        after = f"{dropped.target} is dropped, and its " if dropped else ""
        raise MigrationError(f"{after}topic {topic} could not be deleted: {error}") from error


def _deliver(
    statement: Statement, record: StatementRecord, properties: Properties, may_be_done: bool, run: Run
) -> Delivered:
    """Send a statement, unless an interrupted run has executed it. A topic is deleted later."""

    def search() -> Delivered | None:
        if statement.kind in TYPES:
            is_there = custom_types.name_of(statement) in run.client.types()
            return Delivered() if is_there is (statement.kind is Kind.CREATE_TYPE) else None
        names = [record.target or ""] if record.kind is Kind.ALTER else []
        return effect_of(record, look(run.client, names))

    delivered = search() if may_be_done else None
    if delivered is None:
        delivered = run.store.deliver(statement.without_delete_topic().text, dict(properties), search)
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


def _seen_before(record: StatementRecord, statement: Statement, server: Server) -> StatementRecord:
    """The record of a statement with the state of the server before it: the target, its topic and its writers."""
    target, topic, previous = statement.name or "", record.topic, None
    if statement.kind is Kind.TERMINATE:
        existed = target in server.queries
        previous = server.queries[target].text if existed else None
    else:
        existed = target in server.sources
        if existed and (statement.kind in (*DROPS, Kind.ALTER) or statement.replaces):
            topic, previous = server.sources[target].topic, server.described[target].statement
    has_topic, writers = topic in server.topics, server.writers(target)
    seen = replace(record, topic=topic, topic_existed=has_topic, target_existed=existed)
    return replace(seen, writers=writers, previous=previous)
