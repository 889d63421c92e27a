"""Rollbacks carried out."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

from opensea_metrics.deploy.client import ClientError, GuardFailed, KsqlClient
from opensea_metrics.deploy.migrations.actions import (
    Action,
    DeleteTopic,
    Drop,
    Restore,
    Run,
    Terminate,
    describe,
)
from opensea_metrics.deploy.migrations.certainty import certainly
from opensea_metrics.deploy.migrations.errors import MigrationError, StepFailed
from opensea_metrics.deploy.migrations.execute import indented
from opensea_metrics.deploy.migrations.rollback import RollbackPlan, VersionRollback
from opensea_metrics.deploy.migrations.server import Effect, look
from opensea_metrics.deploy.migrations.state import StatementState, VersionState
from opensea_metrics.deploy.migrations.topics import delete_topic
from opensea_metrics.deploy.migrations.work import Progress, Work, now
from opensea_metrics.sql.language.statements.statements import Kind, Statement


def roll_back(plan: RollbackPlan, work: Work) -> None:
    """Carry out a rollback. Raises StepFailed at the first refusal, GuardFailed if the lock is lost."""
    for each in plan.versions:
        _roll_back_one(each, work)
    work.store.settle()


def _roll_back_one(plan: VersionRollback, work: Work) -> None:
    version = replace(plan.record, state=VersionState.RUNNING, error_reason="being rolled back")
    work.store.write_version(version)
    total = sum(len(undo.actions) for undo in plan.undos)
    number = 0
    for undo in plan.undos:
        for action in undo.actions:
            number += 1
            news = Progress(version.version, version.name, number, total, describe(action))
            work.report(news)
            started = time.monotonic()
            try:
                effect = _carry_out(action, work)
            except GuardFailed:
                raise
            except (ClientError, MigrationError) as error:
                reason = f"rollback stopped at '{describe(action)}': {error}"
                failed = replace(version, state=VersionState.ERROR, error_reason=reason)
                work.store.write_version(failed)
                work.store.settle()
                raise StepFailed(
                    f"version {version.version}: {indented(reason)}\n"
                    "  hint: remove what stands in the way and roll back again: it goes on there"
                ) from error
            work.report(replace(news, seconds=time.monotonic() - started))
            if isinstance(action, Restore) and undo.owner is not None:
                query_id = effect.query_id or _query_of(action, work)
                owner = replace(undo.owner, query_id=query_id, defined=effect.defined)
                work.store.write_statement(owner)
        work.store.write_statements(
            replace(record, state=StatementState.UNDONE, completed_on=now())
            for record in undo.records
        )
    undone = replace(
        plan.record,
        state=VersionState.PENDING,
        started_on=None,
        completed_on=None,
        error_reason=None,
    )
    work.store.write_rolled_back(undone, plan.current)


def _carry_out(action: Action, work: Work) -> Effect:
    if isinstance(action, DeleteTopic):
        delete_topic(action.topic, work.client, work.delete_by_broker)
        return Effect()
    properties: dict[str, str] = {}
    effect = Effect()
    if isinstance(action, Restore):
        properties = action.properties
        there = _done(action, work.client)
        if there is not None:  # an interrupted rollback has made it already
            return there
    for text in action.texts:
        effect = certainly(work.client, text, properties, partial(_done, action, work.client))
    return effect


def _query_of(action: Restore, work: Work) -> str | None:
    """The query of what was made again, where no reply named it."""
    server = look(work.client)
    if action.statement.kind is Kind.INSERT_SELECT:
        found = [each.id for each in server.queries.values() if each.text == action.statement.text]
    else:
        found = [each for each in server.writers(action.name) if each.startswith("C")]
    return found[-1] if found else None


def _done(action: Action, client: KsqlClient) -> Effect | None:
    server = look(client)
    match action:
        case Terminate(query_id):
            done = query_id not in server.queries
        case Drop(_, name):
            done = name not in server.sources
        case Restore(_, Statement(kind=Kind.INSERT_SELECT, text=text)):
            done = text in {each.text for each in server.queries.values()}
        case Restore(name, _, loses_state):
            # Replacing in place may be done twice.
            done = loses_state and name in server.sources
        case Run(Statement(kind=Kind.DROP_STREAM | Kind.DROP_TABLE, name=name)):
            done = name not in server.sources
        case _:
            done = False
    return Effect() if done else None
