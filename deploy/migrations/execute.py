"""Plans carried out: each statement recorded before it is sent and after, each outcome certain.

A statement whose outcome is unknown (no answer, or a server that was too busy to say) is looked
for on the server: found done, the run goes on; found undone, it is sent again. Only INSERT INTO …
VALUES leaves no trace to look for: it is sent again, so its row may be there twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import structlog
import tenacity

from deploy.client import ClientError, KsqlClient, KsqlError, ServerUnreachable
from deploy.migrations.errors import StepFailed
from deploy.migrations.plan import MigrationPlan, Plan, Step
from deploy.migrations.rollback import (
    Action,
    DeleteTopic,
    Drop,
    KeepTopic,
    RollbackPlan,
    Run,
    Terminate,
    VersionRollback,
)
from deploy.migrations.server import Effect, Server, effect_of, look
from deploy.migrations.state import (
    Recorded,
    StatementRecord,
    StatementState,
    VersionRecord,
    VersionState,
)
from deploy.migrations.store import Store
from sql.statements import Kind, Statement

log = structlog.get_logger()

# What a server says with status 500 that has not carried out a statement, and later may.
BUSY = ("Could not write the statement", "Another command with the same id")


@dataclass(frozen=True)
class Progress:
    """News of a run: a step begins (``seconds`` None), or has ended after ``seconds``."""

    version: int
    name: str
    number: int
    total: int
    what: str
    seconds: float | None = None


Report = Callable[[Progress], None]


def apply(plan: Plan, recorded: Recorded, client: KsqlClient, store: Store, report: Report) -> None:
    """Carry out a plan made from ``recorded``. Raises StepFailed at the first refusal."""
    previous = recorded.newest_below(float("inf"))
    for each in plan.migrations:
        _apply_one(each, previous, client, store, report)
        previous = each.migration.version
    store.settle()


def roll_back(plan: RollbackPlan, client: KsqlClient, store: Store, report: Report) -> None:
    """Carry out a rollback. Raises StepFailed at the first refusal."""
    for each in plan.versions:
        _roll_back_one(each, client, store, report)
    store.settle()


def describe(action: Action) -> str:
    """An action in a few words."""
    match action:
        case Terminate(query_id):
            return f"terminate {query_id}"
        case Drop(kind, name):
            return f"drop {kind.lower()} {name}"
        case DeleteTopic(topic):
            return f"delete topic {topic}"
        case KeepTopic(topic, reason):
            return f"keep topic {topic} ({reason})"
        case Run(statement):
            return _what(statement)


def _apply_one(
    plan: MigrationPlan, previous: int | None, client: KsqlClient, store: Store, report: Report
) -> None:
    migration = plan.migration
    version = VersionRecord(
        version=migration.version,
        name=migration.name,
        state=VersionState.RUNNING,
        checksum=migration.checksum,
        started_on=_now(),
        previous=previous,
    )
    store.write_version(version)
    for step in plan.steps:
        what = _what(step.statement)
        news = Progress(version.version, migration.name, step.number, plan.total, what)
        report(news)
        started = time.monotonic()
        record = step.unfinished
        if record is None:
            record = _record_of(step, look(client))
            store.write_statement(record)
        try:
            effect = _carry_out(step, record, client)
        except KsqlError as error:
            reason = str(error)
            failed = replace(record, state=StatementState.ERROR, error_reason=reason)
            store.write_statement(replace(failed, completed_on=_now()))
            version = replace(version, state=VersionState.ERROR, error_reason=reason)
            store.write_version(replace(version, completed_on=_now()))
            store.settle()
            raise StepFailed(
                f"{step.statement.place}: the server refused statement {step.number} of"
                f" {plan.total} of version {version.version} ({what}):\n  {_indented(reason)}\n"
                f"  applied before it and still in effect: {step.number - 1} of {plan.total}"
                " statements of this version\n"
                "  hint: mend the statement and apply again: it goes on from there"
            ) from error
        record = replace(record, state=StatementState.DONE, query_id=effect.query_id)
        store.write_statement(replace(record, completed_on=_now()))
        report(replace(news, seconds=time.monotonic() - started))
    store.write_version(replace(version, state=VersionState.MIGRATED, completed_on=_now()))


def _record_of(step: Step, server: Server) -> StatementRecord:
    statement = step.statement
    known = server.queries if statement.kind is Kind.TERMINATE else server.sources
    return StatementRecord(
        version=step.version,
        number=step.number,
        kind=statement.kind,
        text=statement.text,
        target=statement.name,
        topic=statement.topic,
        state=StatementState.RUNNING,
        target_existed=statement.name in known,
        topic_existed=statement.topic in server.topics,
        writers=server.writers(statement.name),
        started_on=_now(),
    )


def _carry_out(step: Step, record: StatementRecord, client: KsqlClient) -> Effect:
    def seen() -> Effect | None:
        return effect_of(record, look(client))

    if step.unfinished and (effect := seen()):
        return effect
    effect = certainly(client, step.statement.text, dict(step.properties), seen)
    # A reply that came late, or not at all, does not name the query.
    return effect if effect.query_id or not step.statement.starts_query else seen() or effect


def certainly(
    client: KsqlClient,
    text: str,
    properties: Mapping[str, str],
    seen: Callable[[], Effect | None],
) -> Effect:
    """Send a statement until it is known to be done or refused; ``seen`` looks for its effect.

    A server that is busy stopping a query refuses others for up to a minute (observed), so this
    goes on for the client's patience. Raises KsqlError if the statement is refused, ClientError
    if the server stays away or busy.
    """
    deadline = time.monotonic() + client.patience
    wait, first = 0.5, True
    while True:
        try:
            results = client.execute(text, properties)
            return Effect(results[-1].query_id if results else None)
        except ClientError as error:
            # After an attempt without an answer, "already exists" may be its late success.
            if isinstance(error, KsqlError) and error.status < 500 and first:
                raise
            effect = _once_back(client, seen)
            if effect is not None:
                return effect
            if not _may_pass(error) or time.monotonic() > deadline:
                raise
            log.warning("sending again", statement=text, reason=str(error))
        time.sleep(wait)
        wait, first = min(2 * wait, 5), False


def _may_pass(error: ClientError) -> bool:
    # Other errors 500 are refusals, such as of a window's retention that is shorter than its grace.
    if isinstance(error, KsqlError):
        return error.status == 503 or any(each in error.message for each in BUSY)
    return True


def _once_back(client: KsqlClient, seen: Callable[[], Effect | None]) -> Effect | None:
    """What is seen, waiting for a server that is being started again."""
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(ServerUnreachable),
        wait=tenacity.wait_fixed(1),
        stop=tenacity.stop_after_delay(client.patience),
        reraise=True,
    )
    return retrying(seen)


def _roll_back_one(plan: VersionRollback, client: KsqlClient, store: Store, report: Report) -> None:
    version = replace(plan.record, state=VersionState.RUNNING, error_reason="being rolled back")
    store.write_version(version)
    total = sum(len(undo.actions) for undo in plan.undos)
    number = 0
    for undo in plan.undos:
        for action in undo.actions:
            number += 1
            news = Progress(version.version, version.name, number, total, describe(action))
            report(news)
            started = time.monotonic()
            try:
                for text in action.texts:
                    certainly(client, text, {}, partial(_gone, action, client))
                if isinstance(action, DeleteTopic):
                    _await_deleted(action.topic, client)
            except ClientError as error:
                reason = f"rollback stopped at '{describe(action)}': {error}"
                store.write_version(replace(version, state=VersionState.ERROR, error_reason=reason))
                store.settle()
                raise StepFailed(
                    f"version {version.version}: {_indented(reason)}\n"
                    "  hint: remove what stands in the way and roll back again: it goes on there"
                ) from error
            report(replace(news, seconds=time.monotonic() - started))
        for record in undo.records:
            store.write_statement(replace(record, state=StatementState.UNDONE, completed_on=_now()))
    undone = replace(
        plan.record,
        state=VersionState.PENDING,
        started_on=None,
        completed_on=None,
        error_reason=None,
    )
    store.write_rolled_back(undone, plan.current)


def _gone(action: Action, client: KsqlClient) -> Effect | None:
    server = look(client)
    match action:
        case Terminate(query_id):
            gone = query_id not in server.queries
        case Drop(_, name):
            gone = name not in server.sources
        case DeleteTopic(topic):
            gone = topic not in server.topics
        case Run(Statement(kind=Kind.DROP_STREAM | Kind.DROP_TABLE, name=name)):
            gone = name not in server.sources
        case _:
            gone = False
    return Effect() if gone else None


def _await_deleted(topic: str, client: KsqlClient) -> None:
    """Kafka deletes a topic some time after it was asked to."""
    deadline = time.monotonic() + client.patience
    while topic in {each.name for each in client.topics()}:
        if time.monotonic() > deadline:
            raise KsqlError(200, None, f"topic {topic} is still there, {client.patience:g} s later")
        time.sleep(0.2)


def _what(statement: Statement) -> str:
    return f"{statement.kind.value} {statement.name or ''}".rstrip()


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def _now() -> int:
    return int(time.time() * 1000)
