"""The verbs that keep files, record and server together."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from opensea_metrics.core.errors import SqlErrors
from opensea_metrics.deploy import commands
from opensea_metrics.deploy.cli import options, server_access
from opensea_metrics.deploy.cli.app import ChangesPending, app
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.repair import Repair
from opensea_metrics.deploy.output.plain import say
from opensea_metrics.deploy.output.upkeep import show_changed, show_drift


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Created if it does not exist.")],
) -> None:
    """Begin a project: settings, macros, a first migration and its test.

    Example: opensea-metrics init my-metrics
    """
    for path in commands.init(directory):
        say(path)
    say("Next: README.md in that directory shows how to check, test and apply the statements.")


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as sales_by_chain.")],
    sql: options.Sql = None,
    var: options.Var = None,
) -> None:
    """Begin a migration: a file with the next version.

    Example: opensea-metrics new sales_by_chain --sql ./sql
    """
    say(commands.new(name, sql, options.variables(var)))


@app.command()
def validate(
    server: options.Server = None,
    sql: options.Sql = None,
    var: options.Var = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no server, also if one is configured.")
    ] = False,
) -> None:
    """Render and check all statements; with a server named or configured, also against what is applied.

    What the embedded server cannot run is an error if it is the target, and else a note. Without a server
    named or configured, the embedded server is the target.

    Example: opensea-metrics validate --sql ./sql --var windows="[{size: 1 MINUTE}]"
    """
    variables = options.variables(var)
    found = commands.validate(sql, variables)
    is_named = bool(server) or options.is_configured()
    client = None if offline or not is_named else server_access.client(server)
    is_embedded = client.info().is_embedded if client else not is_named
    if is_embedded and found.unsupported:
        raise SqlErrors(found.unsupported)
    for each in found.unsupported:
        say(f"note: {each.place}: {each.message}")
    say(f"{found.migrations} migrations, {found.statements} statements in {found.root}: valid")
    if client is None:
        return
    changed = commands.changed(client, sql, variables)
    show_changed(changed)
    if changed:
        versions = ", ".join(f"V{each:03}" for each in sorted({c.version for c in changed}))
        raise MigrationError(
            f"{versions}: changed since applied\n"
            "  hint: undo the change and write a new migration (opensea-metrics new), or roll back"
        )
    say("nothing that is applied was changed")


@app.command()
def diff(server: options.Server = None, sql: options.Sql = None, var: options.Var = None) -> None:
    """Show where the server has come away from what was applied; exits with 2 if it has.

    Example: opensea-metrics diff --server http://ksqldb:8088
    """
    found = commands.diff(server_access.client(server), sql, options.variables(var), server_access.site())
    show_drift(found)
    if found:
        raise ChangesPending
    say("the server is as it was left")


@app.command()
def baseline(
    version: Annotated[int, typer.Argument(metavar="V", help="All versions up to V.")],
    server: options.Server = None,
    sql: options.Sql = None,
    var: options.Var = None,
) -> None:
    """Record migrations as applied whose streams and tables are on the server already.

    Example: opensea-metrics baseline 3
    """
    made = commands.baseline(
        server_access.client(server), version, sql, options.variables(var), server_access.site()
    )
    say(f"recorded as applied: {_versions(made)}" if made else "nothing to do")


@app.command()
def adopt(server: options.Server = None, sql: options.Sql = None, var: options.Var = None) -> None:
    """Go on with a project of Confluent's ksql-migrations: its files and its record, as they are.

    Example: opensea-metrics adopt --sql ./my-ksql-migrations-project
    """
    made = commands.adopt(server_access.client(server), sql, options.variables(var), server_access.site())
    say(f"adopted: {_versions(made)}" if made else "nothing to adopt")


@app.command()
def repair(
    server: options.Server = None,
    sql: options.Sql = None,
    var: options.Var = None,
    yes: options.Yes = False,
) -> None:
    """Make the record say what is on the server, after something was changed by hand.

    Example: opensea-metrics repair
    """

    def consent(made: Repair) -> bool:
        for reason in made.reasons:
            say(reason, stderr=True)
        if yes:
            return True
        if not sys.stdin.isatty():
            raise MigrationError("nothing was repaired: give consent with --yes")
        return typer.confirm("Write this into the record?", err=True)

    made = commands.repair(
        server_access.client(server), consent, sql, options.variables(var), server_access.site()
    )
    say(f"repaired: {len(made.reasons)} findings" if made.reasons else "nothing to repair")


def _versions(found: tuple[int, ...]) -> str:
    return ", ".join(f"V{each:03}" for each in found)
