"""The verbs that keep files, record and server in step."""

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
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The project's folder. init creates it if needed.")],
) -> None:
    """Create a project: settings, macros, a first migration and its test.

    Example: opensea-metrics init my-metrics
    """
    for path in commands.init(directory):
        say(path)
    say("Next: README.md in that directory shows how to check, test and apply the statements.")


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The migration's name, such as sales_by_chain.")],
    sql: options.Sql = None,
    var: options.Var = None,
) -> None:
    """Create a migration: a file with the next version.

    Example: opensea-metrics new sales_by_chain --sql ./sql
    """
    say(commands.new(name, sql, options.variables(var)))


@app.command()
def validate(
    server: options.Server = None,
    sql: options.Sql = None,
    var: options.Var = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no server, even if one is configured.")
    ] = False,
) -> None:
    """Render and check all statements. If a server is configured, compare them with its record too.

    Without a configured server, the embedded server is the target. A statement that the embedded server
    cannot run is an error if it is the target, and a note otherwise.

    Example: opensea-metrics validate --sql ./sql --var windows="[{size: 1 MINUTE}]"
    """
    variables = options.variables(var)
    validation = commands.validate(sql, variables)
    is_named = bool(server) or options.is_configured()
    client = None if offline or not is_named else server_access.client(server)
    is_embedded = client.info().is_embedded if client else not is_named
    if is_embedded and validation.unsupported:
        raise SqlErrors(validation.unsupported)
    for problem in validation.unsupported:
        say(f"note: {problem.place}: {problem.message}")
    say(f"{validation.migrations} migrations, {validation.statements} statements in {validation.root}: valid")
    if client is None:
        return
    changed = commands.changed(client, sql, variables)
    show_changed(changed)
    if changed:
        versions = _versions(tuple(sorted({statement.version for statement in changed})))
        raise MigrationError(
            f"{versions}: changed since applied\n"
            "  hint: undo the change and write a new migration (opensea-metrics new), or roll back"
        )
    say("no applied migration was changed")


@app.command()
def diff(server: options.Server = None, sql: options.Sql = None, var: options.Var = None) -> None:
    """Show where the server has drifted from its record. Exits with 2 if it has.

    Example: opensea-metrics diff --server http://ksqldb:8088
    """
    drift = commands.diff(server_access.client(server), sql, options.variables(var), server_access.site())
    show_drift(drift)
    if drift:
        raise ChangesPending
    say("the server has not drifted")


@app.command()
def baseline(
    version: Annotated[int, typer.Argument(metavar="V", help="The last version to record.")],
    server: options.Server = None,
    sql: options.Sql = None,
    var: options.Var = None,
) -> None:
    """Record migrations as applied if their streams and tables are on the server already.

    Example: opensea-metrics baseline 3
    """
    recorded = commands.baseline(
        server_access.client(server), version, sql, options.variables(var), server_access.site()
    )
    say(f"recorded as applied: {_versions(recorded)}" if recorded else "nothing to do")


@app.command()
def adopt(server: options.Server = None, sql: options.Sql = None, var: options.Var = None) -> None:
    """Take over a project of Confluent's ksql-migrations, with its files and its record as they are.

    Example: opensea-metrics adopt --sql ./my-ksql-migrations-project
    """
    adopted = commands.adopt(server_access.client(server), sql, options.variables(var), server_access.site())
    say(f"adopted: {_versions(adopted)}" if adopted else "nothing to adopt")


@app.command()
def repair(
    server: options.Server = None,
    sql: options.Sql = None,
    var: options.Var = None,
    yes: options.Yes = False,
) -> None:
    """Correct the record after somebody changed the server by hand.

    Example: opensea-metrics repair
    """

    def consent(planned: Repair) -> bool:
        for reason in planned.reasons:
            say(reason, stderr=True)
        if yes:
            return True
        if not sys.stdin.isatty():
            raise MigrationError("nothing was repaired: give consent with --yes")
        return typer.confirm("Write this into the record?", err=True)

    repaired = commands.repair(
        server_access.client(server), consent, sql, options.variables(var), server_access.site()
    )
    say(f"repaired: {len(repaired.reasons)} findings" if repaired.reasons else "nothing to repair")


def _versions(numbers: tuple[int, ...]) -> str:
    return ", ".join(f"V{number:03}" for number in numbers)
