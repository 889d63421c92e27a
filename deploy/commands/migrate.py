"""plan, apply, rollback, status, unlock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.client.snapshot import look
from opensea_metrics.deploy.commands.site import Site, Variables, checked, running
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.plan.files import VersionStatus, make_status
from opensea_metrics.deploy.migrations.plan.pending import ApplyChoice, basis_of, make_plan
from opensea_metrics.deploy.migrations.plan.rollback import make_rollback, versions_above
from opensea_metrics.deploy.migrations.plan.steps import (
    ApplyStep,
    Plan,
    RollbackPlan,
    VersionPlan,
)
from opensea_metrics.deploy.migrations.record import lock
from opensea_metrics.deploy.migrations.record.records import Recorded, StatementRecord
from opensea_metrics.deploy.migrations.record.store import RecordStore
from opensea_metrics.deploy.migrations.run import catch_up
from opensea_metrics.deploy.migrations.run.dry_run import check_on_server
from opensea_metrics.deploy.migrations.run.executor import Run, execute
from opensea_metrics.deploy.migrations.run.progress import Report, ignore
from opensea_metrics.sql.language.functions import library
from opensea_metrics.sql.language.project.project import Project, load_project


def plan(
    client: KsqlClient,
    root: Path | None = None,
    variables: Variables | None = None,
    target: int | None = None,
    choice: ApplyChoice | None = None,
) -> Plan:
    """What ``apply`` would do now; nothing is changed."""
    recorded = RecordStore(client).read()
    return _planned(client, recorded, root, variables, choice or ApplyChoice(target))


def apply(
    client: KsqlClient,
    root: Path | None = None,
    variables: Variables | None = None,
    target: int | None = None,
    report: Report = ignore,
    *,
    choice: ApplyChoice | None = None,
    saved: Plan | None = None,
    wait: bool = False,
    site: Site | None = None,
) -> Plan:
    """Apply the pending versions, or the plan ``saved``; returns the executed plan, which may be empty.

    All pending statements are checked before the first one is sent. A version may replace, side by side, objects that
    the plan creates. Such a version is planned and executed after this plan. ``wait``: wait until the new queries
    have caught up. Raises StepFailed if the server refuses a statement (the next run resumes there), PlanRefused,
    Locked and MigrationError.
    """
    choice = choice or ApplyChoice(target)
    # Errors in files are reported before a server is changed.
    project = checked(root, variables, client=client) if saved is None else None
    executed: tuple[VersionPlan[ApplyStep], ...] = ()
    with running(client, site or Site(), report) as run:
        while True:
            recorded = run.store.read()
            chosen = _chosen(run.client, recorded, root, variables, choice, saved, project)
            if chosen.versions:
                records = execute(chosen, recorded, run)
                if wait:
                    _await_caught_up(records, run)
            executed += chosen.versions
            if not chosen.later:
                return replace(chosen, versions=executed)


def dry_run(
    client: KsqlClient,
    root: Path | None = None,
    variables: Variables | None = None,
    choice: ApplyChoice | None = None,
    saved: Plan | None = None,
) -> Plan:
    """The plan, after the server itself has checked each statement; nothing is changed.

    Raises PlanRefused with the first statement that the server would refuse.
    """
    recorded = RecordStore(client).read()
    chosen = _chosen(client, recorded, root, variables, choice or ApplyChoice(), saved)
    check_on_server(chosen, client)
    return chosen


def rollback(
    client: KsqlClient,
    consent: Callable[[RollbackPlan], bool],
    root: Path | None = None,
    variables: Variables | None = None,
    target: int | None = None,
    keep_topics: bool = False,
    report: Report = ignore,
    *,
    steps: int | None = None,
    wait: bool = False,
    site: Site | None = None,
) -> RollbackPlan:
    """Undo all versions above ``target`` (0: all) or the newest ``steps`` (1); returns the executed plan.

    ``wait``: wait until the queries of restored objects have caught up. ``consent`` is called with the plan before any
    change, and again if the plan has changed in the meantime. Raises MigrationError without consent.
    """
    first = plan_rollback(client, root, variables, target, keep_topics, steps=steps)
    if not first.versions:
        return first
    # Ask before the lock is taken, so that nobody waits for the answer.
    if not consent(first):
        raise MigrationError("nothing was rolled back, because there was no consent")
    with running(client, site or Site(), report) as run:
        recorded = run.store.read()
        chosen = _planned_rollback(
            run.client, recorded, root, variables, target, keep_topics, steps
        )
        if chosen != first and not consent(chosen):
            raise MigrationError("nothing was rolled back, because there was no consent")
        records = execute(chosen, recorded, run)
        if wait:
            _await_caught_up(records, run)
    return chosen


def plan_rollback(
    client: KsqlClient,
    root: Path | None = None,
    variables: Variables | None = None,
    target: int | None = None,
    keep_topics: bool = False,
    *,
    steps: int | None = None,
) -> RollbackPlan:
    """What ``rollback`` would do now; nothing is changed."""
    recorded = RecordStore(client).read()
    return _planned_rollback(client, recorded, root, variables, target, keep_topics, steps)


def status(
    client: KsqlClient, root: Path | None = None, variables: Variables | None = None
) -> tuple[VersionStatus, ...]:
    """The status of each version. Only files that differ from the record are parsed."""
    recorded = RecordStore(client).read()
    return make_status(load_project(root, variables, parse=False).migrations, recorded)


def lock_holder(client: KsqlClient) -> str | None:
    """A sentence about the holder of the lock, None if the lock is free."""
    holder = lock.holder_of(client)
    return None if holder is None else str(holder)


def unlock(client: KsqlClient, force: bool = False, ttl: float = lock.TTL) -> str | None:
    """Free the lock; returns a sentence about its holder. Raises Locked if the holder is alive, unless ``force``."""
    freed = lock.break_lock(RecordStore(client), force, ttl)
    return None if freed is None else str(freed)


def _planned(
    client: KsqlClient,
    recorded: Recorded,
    root: Path | None,
    variables: Variables | None,
    choice: ApplyChoice,
    project: Project | None = None,
) -> Plan:
    """The plan for a project. Reads and checks the project if the caller has not done so."""
    project = project or checked(root, variables, client=client)
    if physical := recorded.physical_names:
        described = library.declared()
        project = load_project(root, variables, physical)
        library.declare(described)
    server = replace(look(client, describe=None), is_embedded=client.info().is_embedded)
    return make_plan(project.migrations, recorded, server, choice)


def _planned_rollback(
    client: KsqlClient,
    recorded: Recorded,
    root: Path | None,
    variables: Variables | None,
    target: int | None,
    keep_topics: bool,
    steps: int | None,
) -> RollbackPlan:
    migrations = load_project(root, variables, recorded.physical_names).migrations
    downs = {file.version: file.down for file in migrations if file.down is not None}
    versions = versions_above(recorded, target, steps)
    server = look(client, describe=None)
    return make_rollback(recorded, versions, downs, server, keep_topics)


def _chosen(
    client: KsqlClient,
    recorded: Recorded,
    root: Path | None,
    variables: Variables | None,
    choice: ApplyChoice,
    saved: Plan | None,
    project: Project | None = None,
) -> Plan:
    """The saved plan if it still fits, else a new one. Raises PlanRefused if the server would refuse a step."""
    chosen = saved or _planned(client, recorded, root, variables, choice, project)
    if saved and saved.basis != basis_of(recorded, look(client, describe=None), saved.steps):
        raise MigrationError(
            "the plan no longer fits, because the record or a definition on the server has changed\n"
            "  hint: make a new plan and review it"
        )
    chosen.refuse()
    return chosen


def _await_caught_up(records: tuple[StatementRecord, ...], run: Run) -> None:
    sinks = {
        record.query_id: record.target
        for record in records
        if record.in_effect and record.query_id and record.target
    }
    catch_up.wait(run.client, sinks, run.report, run.timeout)
