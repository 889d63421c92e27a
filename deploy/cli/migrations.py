"""The verbs that change a server: plan, apply, rollback, and what they stand on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.cli import options, server_access
from opensea_metrics.deploy.cli.app import ChangesPending, app
from opensea_metrics.deploy.commands import Choice
from opensea_metrics.deploy.migrations import planfile
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.rollback import RollbackPlan
from opensea_metrics.deploy.output.plain import say, say_json
from opensea_metrics.deploy.output.plans import show_plan, show_rollback, show_status
from opensea_metrics.deploy.output.progress import Reporter


@app.command()
def plan(
    server: options.Server = None,
    sql: options.Sql = None,
    var: options.Var = None,
    to: options.To = None,
    one: options.One = False,
    out_of_order: options.OutOfOrder = False,
    side_by_side: options.SideBySide = False,
    json: Annotated[
        bool, typer.Option("--json", help="As JSON, which apply --plan carries out.")
    ] = False,
) -> None:
    """Show what apply would do, and to which data; exits with 2 if changes are pending.

    Example: opensea-metrics plan --json > plan.json
    """
    choice = Choice(to, one, out_of_order, side_by_side)
    made = commands.plan(server_access.client(server), sql, options.variables(var), choice=choice)
    if json:
        say_json(planfile.to_json(made), indent=1)
    elif made.migrations:
        show_plan(made)
    else:
        say("nothing to do")
    if made.migrations:
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
        Path | None, typer.Option(metavar="FILE", help="Carry out a plan made by plan --json.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Let the server check every statement; change nothing.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Until new queries have read what their sources hold.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0, callback=options.finite, help="Seconds that --wait waits.")] = 3600.0,
) -> None:
    """Apply the pending migrations; after a failure, goes on where it stopped.

    Example: opensea-metrics apply --to 3 --wait
    """
    client, variables = server_access.client(server), options.variables(var)
    choice = Choice(to, one, out_of_order, side_by_side)
    saved = None if plan is None else planfile.read(plan)
    if dry_run:
        made = commands.dry_run(client, sql, variables, choice, saved)
        show_plan(made)
        say(f"{len(made.steps)} statements: the server would take them all")
        return
    with Reporter() as report:
        made = commands.apply(
            client,
            sql,
            variables,
            report=report,
            choice=choice,
            saved=saved,
            wait=wait,
            site=server_access.site(timeout),
        )
    versions = ", ".join(f"V{each.version:03}" for each in made.migrations)
    say(f"applied {versions}" if versions else "nothing to do")


@app.command()
def rollback(
    server: options.Server = None,
    sql: options.Sql = None,
    var: options.Var = None,
    to: Annotated[
        int | None, typer.Option(metavar="V", help="Undo all versions above V, 0 for all.")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Undo the newest N versions; 1 without --to."),
    ] = None,
    keep_topics: Annotated[
        bool, typer.Option("--keep-topics", help="Delete no topics: the data stays.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done; change nothing.")
    ] = False,
    yes: options.Yes = False,
) -> None:
    """Undo applied migrations, the newest first, and delete the topics that they made.

    Example: opensea-metrics rollback --to 2 --keep-topics
    """

    def consent(made: RollbackPlan) -> bool:
        if yes:
            return True
        show_rollback(made, stderr=True)
        if not sys.stdin.isatty():
            raise MigrationError("nothing was rolled back: give consent with --yes")
        return typer.confirm("Roll back?", err=True)

    if to is not None and steps is not None:
        raise typer.BadParameter("give either --to or --steps")
    variables, client = options.variables(var), server_access.client(server)
    if dry_run:
        planned = commands.plan_rollback(client, sql, variables, to, keep_topics, steps=steps)
        show_rollback(planned)
        return
    with Reporter() as report:
        made = commands.rollback(
            client,
            consent,
            sql,
            variables,
            to,
            keep_topics,
            report,
            steps=steps,
            site=server_access.site(),
        )
    versions = ", ".join(f"V{each.record.version:03}" for each in made.versions)
    say(f"rolled back {versions}" if versions else "nothing to do")


@app.command()
def status(server: options.Server = None, sql: options.Sql = None, var: options.Var = None) -> None:
    """Show where each version stands, and who holds the lock.

    Example: opensea-metrics status
    """
    client = server_access.client(server)
    show_status(commands.status(client, sql, options.variables(var)))
    holder = commands.lock_holder(client)
    if holder is not None:
        say(holder)


@app.command()
def unlock(
    server: options.Server = None,
    force: Annotated[
        bool, typer.Option("--force", help="Even if its holder seems to be alive.")
    ] = False,
) -> None:
    """Free the lock of a run that has died. Its holder, if it lives, stops at its next statement.

    Example: opensea-metrics unlock
    """
    freed = commands.unlock(server_access.client(server), force)
    say(f"freed: {freed}" if freed else "nobody holds the lock")
