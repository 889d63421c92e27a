"""The verbs that keep the record and the server consistent."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from opensea_metrics.core.wording import counted
from opensea_metrics.deploy import commands
from opensea_metrics.deploy.cli import options, server_access
from opensea_metrics.deploy.cli.app import ChangesPending, app
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.plan.drift import Drift
from opensea_metrics.deploy.migrations.plan.repair import Correction
from opensea_metrics.deploy.output.plain import say
from opensea_metrics.deploy.output.reports import write_report
from opensea_metrics.deploy.output.upkeep import (
    DRIFT,
    correction_sentence,
    drift_objects,
    drift_sentence,
    show_drift,
)


@app.command()
def diff(
    server: options.Server = None,
    sql: options.Sql = None,
    var: options.Var = None,
    form: options.Format = None,
    out: options.Out = None,
    json: options.Json = False,
) -> None:
    """Show the differences between the server and the record. Exit code 2 means that they differ.

    Example: opensea-metrics diff --server http://ksqldb:8088 --json
    """
    view = options.report_view(form, out, json)
    drifts = commands.diff(server_access.client(server), sql, options.variables(var), server_access.site())
    show = (lambda: show_drift(drifts)) if drifts else (lambda: say("the server matches the record"))
    write_report(view, show, drift_objects(drifts), DRIFT)
    if drifts:
        raise ChangesPending


@app.command()
def baseline(
    version: Annotated[int, typer.Argument(metavar="V", help="The last version to record.")],
    server: options.Server = None,
    sql: options.Sql = None,
    var: options.Var = None,
) -> None:
    """Record migrations as applied if their streams and tables are already on the server.

    Example: opensea-metrics baseline 3
    """
    versions = commands.baseline(
        server_access.client(server), version, sql, options.variables(var), server_access.site()
    )
    say(f"recorded as applied: {_versions(versions)}" if versions else "nothing to do")


@app.command()
def adopt(server: options.Server = None, sql: options.Sql = None, var: options.Var = None) -> None:
    """Take over a project of Confluent's ksql-migrations, with its files and its record as they are.

    Example: opensea-metrics adopt --sql ./my-ksql-migrations-project
    """
    versions = commands.adopt(server_access.client(server), sql, options.variables(var), server_access.site())
    say(f"adopted: {_versions(versions)}" if versions else "nothing to adopt")


@app.command()
def repair(
    server: options.Server = None,
    sql: options.Sql = None,
    var: options.Var = None,
    drop: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Drop this stream or table, or end this query, which diff shows as extra. Topics stay."
        ),
    ] = None,
    yes: options.Yes = False,
) -> None:
    """Make the record match a server that somebody changed by hand. With --drop, drop an extra object instead.

    Example: opensea-metrics repair

    Example: opensea-metrics repair --drop scratch_table
    """
    client, variables = server_access.client(server), options.variables(var)
    if drop is not None:
        dropped = commands.drop_extra(client, drop, _consent_to_drop(yes), sql, variables, server_access.site())
        say(f"dropped {dropped.name}")
        return

    def consent(corrections: tuple[Correction, ...]) -> bool:
        for correction in corrections:
            say(correction_sentence(correction), stderr=True)
        if yes:
            return True
        if not sys.stdin.isatty():
            raise MigrationError("nothing was repaired, because there was no consent\n  hint: consent with --yes")
        return typer.confirm("Write this into the record?", err=True)

    repaired = commands.repair(client, consent, sql, variables, server_access.site())
    say(f"repaired: {counted(len(repaired), 'correction')}" if repaired else "nothing to repair")


def _consent_to_drop(yes: bool) -> Callable[[Drift], bool]:
    def consent(extra: Drift) -> bool:
        say(f"{extra.name}: {drift_sentence(extra)}", stderr=True)
        if yes:
            return True
        if not sys.stdin.isatty():
            raise MigrationError("nothing was dropped, because there was no consent\n  hint: consent with --yes")
        return typer.confirm("Drop it? Its state is lost, its topic stays.", err=True)

    return consent


def _versions(versions: tuple[int, ...]) -> str:
    return ", ".join(f"V{version:03}" for version in versions)
