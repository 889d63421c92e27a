"""The verbs of the migration tool."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from deploy import commands, output
from deploy.cli import options
from deploy.cli.app import ChangesPending, app
from deploy.migrations.errors import MigrationError
from deploy.migrations.rollback import RollbackPlan


@app.command()
def plan(
    server: options.Server = None,
    sql: options.Sql = None,
    var: options.Var = None,
    to: Annotated[int | None, typer.Option(metavar="V", help="Stop at version V.")] = None,
) -> None:
    """Show what apply would do; exits with 2 if changes are pending.

    Example: opensea-metrics plan --server http://ksqldb:8088
    """
    made = commands.plan(options.client(server), sql, options.variables(var), to)
    if not made.migrations:
        print("nothing to do")
        return
    output.show_plan(made)
    raise ChangesPending


@app.command()
def apply(
    server: options.Server = None,
    sql: options.Sql = None,
    var: options.Var = None,
    to: Annotated[int | None, typer.Option(metavar="V", help="Stop at version V.")] = None,
) -> None:
    """Apply the pending migrations; after a failure, goes on where it stopped.

    Example: opensea-metrics apply --to 3
    """
    with output.Reporter() as report:
        made = commands.apply(options.client(server), sql, options.variables(var), to, report)
    versions = ", ".join(f"V{each.version:03}" for each in made.migrations)
    print(f"applied {versions}" if versions else "nothing to do")


@app.command()
def rollback(
    server: options.Server = None,
    sql: options.Sql = None,
    var: options.Var = None,
    to: Annotated[
        int | None,
        typer.Option(
            metavar="V", help="Undo all versions above V, 0 for all [default: the newest only]."
        ),
    ] = None,
    keep_topics: Annotated[
        bool, typer.Option("--keep-topics", help="Delete no topics: the data stays.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Undo applied migrations, the newest first, and delete the topics that they made.

    Example: opensea-metrics rollback --to 2 --keep-topics
    """

    def consent(made: RollbackPlan) -> bool:
        if yes:
            return True
        output.show_rollback(made, stderr=True)
        if not sys.stdin.isatty():
            raise MigrationError("nothing was rolled back: give consent with --yes")
        return typer.confirm("Roll back?", err=True)

    variables, client = options.variables(var), options.client(server)
    with output.Reporter() as report:
        made = commands.rollback(client, consent, sql, variables, to, keep_topics, report)
    versions = ", ".join(f"V{each.record.version:03}" for each in made.versions)
    print(f"rolled back {versions}" if versions else "nothing to do")


@app.command()
def status(server: options.Server = None, sql: options.Sql = None, var: options.Var = None) -> None:
    """Show where each version stands.

    Example: opensea-metrics status
    """
    output.show_status(commands.status(options.client(server), sql, options.variables(var)))


@app.command()
def validate(sql: options.Sql = None, var: options.Var = None) -> None:
    """Render and check all statements; no server is needed.

    Example: opensea-metrics validate --sql ./sql --var windows="[30s, 1m]"
    """
    found = commands.validate(sql, options.variables(var))
    print(f"{found.migrations} migrations, {found.statements} statements in {found.root}: valid")
