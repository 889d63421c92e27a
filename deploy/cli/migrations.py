"""The verbs that plan and change a server: plan, apply, rollback, status, queries, unlock."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from opensea_metrics.core.wording import counted
from opensea_metrics.deploy import commands
from opensea_metrics.deploy.cli import options, server_access
from opensea_metrics.deploy.cli.app import ChangesPending, app
from opensea_metrics.deploy.commands import ApplyChoice, plan_file
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.plan.steps import RollbackPlan
from opensea_metrics.deploy.output.forms import Form
from opensea_metrics.deploy.output.plain import say, say_json
from opensea_metrics.deploy.output.plans import (
    PLAN,
    data_sentence,
    plan_objects,
    show_plan,
    show_rollback,
)
from opensea_metrics.deploy.output.progress import Reporter
from opensea_metrics.deploy.output.reports import WholeReport, write_report
from opensea_metrics.deploy.output.server_state import (
    DONE,
    query_object,
    show_queries,
    show_status,
    status_objects,
)
from opensea_metrics.deploy.replies import ServerQuery


@app.command()
def plan(
    server: options.Server = None,
    sql: options.Sql = None,
    var: options.Var = None,
    to: options.To = None,
    one: options.One = False,
    out_of_order: options.OutOfOrder = False,
    side_by_side: options.SideBySide = False,
    form: options.Format = None,
    out: options.Out = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON, which apply --plan executes.")
    ] = False,
) -> None:
    """Show what apply would do, and which data it affects. Exit code 2 means that changes are pending.

    Example: opensea-metrics plan --json > plan.json
    """
    view = options.report_view(form, out, json)
    choice = ApplyChoice(to, one, out_of_order, side_by_side)
    planned = commands.plan(server_access.client(server), sql, options.variables(var), choice=choice)
    whole = WholeReport(plan_file.to_json(planned, data_sentence), indent=1)
    show = (lambda: show_plan(planned)) if planned.versions else (lambda: say("nothing to do"))
    write_report(view, show, plan_objects(planned), PLAN, whole)
    if planned.versions:
        raise ChangesPending


@app.command()
def apply(
    server: options.Server = None,
    sql: options.Sql = None,
    var: options.Var = None,
    to: options.To = None,
    one: options.One = False,
    out_of_order: options.OutOfOrder = False,
    side_by_side: options.SideBySide = False,
    plan: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Execute exactly this plan, from plan --json.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Let the server check every statement. Change nothing.")
    ] = False,
    wait: options.Wait = False,
    timeout: options.Timeout = 3600.0,
    verbose: options.Verbose = False,
) -> None:
    """Apply the pending migrations. After a failure, the next apply resumes there.

    Example: opensea-metrics apply --to 3 --wait
    """
    client, variables = server_access.client(server), options.variables(var)
    choice = ApplyChoice(to, one, out_of_order, side_by_side)
    saved = None if plan is None else plan_file.read(plan)
    if dry_run:
        checked = commands.dry_run(client, sql, variables, choice, saved)
        show_plan(checked)
        say(f"the server would accept all {counted(len(checked.steps), 'statement')}")
        if (holder := commands.lock_holder(client)) is not None:
            say(f"note: {holder}. Until the lock is free, apply does not start")
        return
    with Reporter(verbose) as report:
        applied = commands.apply(
            client,
            sql,
            variables,
            report=report,
            choice=choice,
            saved=saved,
            wait=wait,
            site=server_access.site(timeout),
        )
    versions = ", ".join(f"V{version.version:03}" for version in applied.versions)
    say(f"applied {versions}" if versions else "nothing to do")


@app.command()
def rollback(
    server: options.Server = None,
    sql: options.Sql = None,
    var: options.Var = None,
    to: Annotated[
        int | None, typer.Option(metavar="V", help="Undo all versions above V. 0 means all.")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Undo the newest N versions. Without --to: 1."),
    ] = None,
    keep_topics: Annotated[
        bool, typer.Option("--keep-topics", help="Delete no topics, so the data stays.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan. Change nothing.")
    ] = False,
    wait: options.Wait = False,
    timeout: options.Timeout = 3600.0,
    verbose: options.Verbose = False,
    yes: options.Yes = False,
) -> None:
    """Undo applied migrations, the newest first, and delete the topics that they created.

    Example: opensea-metrics rollback --to 2 --wait
    """

    def consent(planned: RollbackPlan) -> bool:
        if yes:
            return True
        show_rollback(planned, stderr=True)
        if not sys.stdin.isatty():
            raise MigrationError("nothing was rolled back, because there was no consent\n  hint: consent with --yes")
        return typer.confirm("Roll back?", err=True)

    if to is not None and steps is not None:
        raise typer.BadParameter("use either --to or --steps")
    variables, client = options.variables(var), server_access.client(server)
    if dry_run:
        planned = commands.plan_rollback(client, sql, variables, to, keep_topics, steps=steps)
        show_rollback(planned)
        return
    with Reporter(verbose) as report:
        undone = commands.rollback(
            client,
            consent,
            sql,
            variables,
            to,
            keep_topics,
            report,
            steps=steps,
            wait=wait,
            site=server_access.site(timeout),
        )
    versions = ", ".join(f"V{version.version:03}" for version in undone.versions)
    say(f"rolled back {versions}" if versions else "nothing to do")


@app.command()
def status(
    server: options.Server = None,
    sql: options.Sql = None,
    var: options.Var = None,
    form: options.Format = None,
    out: options.Out = None,
    json: options.Json = False,
) -> None:
    """Show the state of each version, and the holder of the lock.

    Example: opensea-metrics status --json

    Example: opensea-metrics status --out versions.csv
    """
    view = options.report_view(form, out, json)
    client = server_access.client(server)
    versions, holder = commands.status(client, sql, options.variables(var)), commands.lock_holder(client)
    objects = status_objects(versions)
    if view.form is Form.JSON and holder is not None:
        objects.append({"lock": holder})
    write_report(view, lambda: show_status(versions), objects)
    if view.form is not Form.JSON and holder is not None:
        say(holder, stderr=view.form is not Form.TABLE)


@app.command()
def queries(
    action: Annotated[
        commands.QueryAction, typer.Argument(metavar="[ACTION]", help="list, pause, resume or terminate.")
    ] = commands.QueryAction.LIST,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]…", help="The id of a query, or the stream or table that it writes."),
    ] = None,
    server: options.Server = None,
    json: Annotated[bool, typer.Option("--json", help="With list: one JSON object per line.")] = False,
    yes: options.Yes = False,
) -> None:
    """List the persistent queries with their states; pause, resume or terminate some of them.

    A terminated query is gone for good, and diff shows it as missing. A paused query resumes where it stopped.

    Example: opensea-metrics queries

    Example: opensea-metrics queries resume collection_1_minute
    """
    client = server_access.client(server)

    def consent(chosen: tuple[ServerQuery, ...]) -> bool:
        if yes:
            return True
        show_queries(chosen, stderr=True)
        if not sys.stdin.isatty():
            raise MigrationError("nothing was terminated, because there was no consent\n  hint: consent with --yes")
        return typer.confirm("Terminate them?", err=True)

    if action is not commands.QueryAction.LIST:
        for query in commands.change_queries(client, action, names or (), consent):
            say(f"{DONE[action]} {query.id}, which writes into {', '.join(query.sinks)}")
        return
    listed = commands.queries(client, names or ())
    if json:
        for query in listed:
            say_json(query_object(query))
    else:
        show_queries(listed)


@app.command()
def unlock(
    server: options.Server = None,
    force: Annotated[
        bool, typer.Option("--force", help="Free the lock even if its holder seems to be alive.")
    ] = False,
) -> None:
    """Free the lock of a run that died. If that run is alive, it stops at its next statement.

    Example: opensea-metrics unlock
    """
    freed = commands.unlock(server_access.client(server), force)
    say(f"freed: {freed}" if freed else "nobody holds the lock")
