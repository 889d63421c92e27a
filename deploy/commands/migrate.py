"""plan, apply, rollback, status, validate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.commands.site import Choice, Site, Variables, at_work, checked
from opensea_metrics.deploy.migrations import catchup, execute, lock, undo
from opensea_metrics.deploy.migrations.chain import holder_of
from opensea_metrics.deploy.migrations.dry_run import check_on_server
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.files import statements_to_send
from opensea_metrics.deploy.migrations.plan import Plan
from opensea_metrics.deploy.migrations.planning import basis_of, make_plan
from opensea_metrics.deploy.migrations.rollback import RollbackPlan, make_rollback, versions_above
from opensea_metrics.deploy.migrations.server import look
from opensea_metrics.deploy.migrations.sidebyside import physical_names
from opensea_metrics.deploy.migrations.state import Recorded, StatementRecord
from opensea_metrics.deploy.migrations.status import VersionStatus, make_status
from opensea_metrics.deploy.migrations.store import Store
from opensea_metrics.deploy.migrations.work import Report, Work, ignore
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.lowering import support
from opensea_metrics.sql.language.lowering.refusals import Unsupported
from opensea_metrics.sql.language.project.project import load_project
from opensea_metrics.sql.language.statements.statements import Statement


@dataclass(frozen=True)
class Validation:
    """What a check of the files has covered; ``unsupported``: what only a ksqlDB server can run."""

    root: Path
    migrations: int
    statements: int
    unsupported: tuple[Unsupported, ...] = ()


def validate(root: Path | None = None, variables: Variables | None = None) -> Validation:
    """Render and check every statement; no server is asked."""
    unsupported: list[Unsupported] = []

    def support_of(before: Catalog, statement: Statement, after: Catalog) -> None:
        try:
            support.check_statement(before, statement, after)
            support.check_registry(before, statement, after)
        except Unsupported as error:
            unsupported.append(error)

    project = checked(root, variables, support_of)
    statements = [statements_to_send(each) for each in project.migrations]
    return Validation(project.root, len(statements), sum(map(len, statements)), tuple(unsupported))


def plan(
    client: KsqlClient,
    root: Path | None = None,
    variables: Variables | None = None,
    target: int | None = None,
    choice: Choice | None = None,
) -> Plan:
    """What ``apply`` would do now; nothing is changed."""
    recorded = Store(client).read()
    return _planned(client, recorded, root, variables, choice or Choice(target))


def apply(
    client: KsqlClient,
    root: Path | None = None,
    variables: Variables | None = None,
    target: int | None = None,
    report: Report = ignore,
    *,
    choice: Choice | None = None,
    saved: Plan | None = None,
    wait: bool = False,
    site: Site | None = None,
) -> Plan:
    """Apply what is pending, or the plan ``saved``; returns what was done (maybe nothing).

    All pending statements are checked before the first is sent. ``wait``: until the queries that
    were started have caught up. Raises StepFailed if the server refuses a statement (the next run
    goes on from there), Refused, Locked, MigrationError.
    """
    choice = choice or Choice(target)
    if saved is None:
        checked(root, variables)  # errors in files are told before a server is touched
    with at_work(client, site or Site(), report) as work:
        recorded = work.store.read()
        if saved is not None:
            made = _still_right(saved, recorded, work.client)
        else:
            made = _planned(work.client, recorded, root, variables, choice)
        made.refuse()
        if made.migrations:
            done = execute.apply(made, recorded, work)
            if wait:
                _await_caught_up(done, work)
    return made


def dry_run(
    client: KsqlClient,
    root: Path | None = None,
    variables: Variables | None = None,
    choice: Choice | None = None,
    saved: Plan | None = None,
) -> Plan:
    """The plan, each statement of which the server itself has checked; nothing is changed.

    Raises Refused with the first statement that the server would refuse.
    """
    recorded = Store(client).read()
    if saved is not None:
        made = _still_right(saved, recorded, client)
    else:
        made = _planned(client, recorded, root, variables, choice or Choice())
    made.refuse()
    check_on_server(made, client)
    return made


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
    site: Site | None = None,
) -> RollbackPlan:
    """Undo all versions above ``target`` (0: all) or the newest ``steps`` (1); returns what was done.

    ``consent`` is asked with the plan before anything is changed, and again if things have changed
    meanwhile; MigrationError if it is denied.
    """
    first = plan_rollback(client, root, variables, target, keep_topics, steps=steps)
    if not first.versions:
        return first
    # Asked before the lock is taken: who thinks it over keeps nobody else from work.
    if not consent(first):
        raise MigrationError("nothing was rolled back: there was no consent")
    with at_work(client, site or Site(), report) as work:
        recorded = work.store.read()
        made = _planned_rollback(work.client, recorded, root, variables, target, keep_topics, steps)
        if made != first and not consent(made):
            raise MigrationError("nothing was rolled back: there was no consent")
        undo.roll_back(made, work)
    return made


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
    recorded = Store(client).read()
    return _planned_rollback(client, recorded, root, variables, target, keep_topics, steps)


def status(
    client: KsqlClient, root: Path | None = None, variables: Variables | None = None
) -> tuple[VersionStatus, ...]:
    """Where each version stands."""
    return make_status(load_project(root, variables).migrations, Store(client).read())


def lock_holder(client: KsqlClient) -> str | None:
    """Who holds the lock since when, None if nobody does."""
    held_by = holder_of(client)
    return None if held_by is None else lock.describe(held_by)


def unlock(client: KsqlClient, force: bool = False, ttl: float = lock.TTL) -> str | None:
    """Free the lock; gives who held it. Raises Locked if the holder is alive, unless ``force``."""
    freed = lock.break_lock(Store(client), force, ttl)
    return None if freed is None else lock.describe(freed)


def _planned(
    client: KsqlClient,
    recorded: Recorded,
    root: Path | None,
    variables: Variables | None,
    choice: Choice,
) -> Plan:
    project = checked(root, variables)
    if physical := physical_names(recorded):
        project = load_project(root, variables, physical)
    server = replace(look(client, describe=None), is_embedded=client.info().is_embedded)
    return make_plan(
        project.migrations,
        recorded,
        server,
        choice.target,
        choice.one,
        choice.out_of_order,
        choice.side_by_side,
    )


def _planned_rollback(
    client: KsqlClient,
    recorded: Recorded,
    root: Path | None,
    variables: Variables | None,
    target: int | None,
    keep_topics: bool,
    steps: int | None,
) -> RollbackPlan:
    migrations = load_project(root, variables, physical_names(recorded)).migrations
    downs = {each.version: each.down for each in migrations if each.down is not None}
    versions = versions_above(recorded, target, steps)
    server = look(client, describe=None)
    return make_rollback(recorded, versions, downs, server, keep_topics)


def _still_right(saved: Plan, recorded: Recorded, client: KsqlClient) -> Plan:
    now = basis_of(recorded, look(client, describe=None), saved.steps)
    if now != saved.basis:
        raise MigrationError(
            "the plan no longer fits: what is recorded, or what its statements name on the server,"
            " has changed since it was made\n  hint: make a new plan and look at it"
        )
    return saved


def _await_caught_up(done: tuple[StatementRecord, ...], work: Work) -> None:
    sinks = {each.query_id: each.target for each in done if each.query_id and each.target}
    catchup.wait(work.client, sinks, work.report, work.timeout)


