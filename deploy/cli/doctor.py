"""The verb that looks after a running stack."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from opensea_metrics.deploy.cli import options, server_access
from opensea_metrics.deploy.cli.app import app
from opensea_metrics.deploy.doctor import Choice, examine
from opensea_metrics.deploy.output.console import console, shown
from opensea_metrics.deploy.output.doctor import show_checks, show_checks_json

TIMEOUT = 15.0  # seconds for one reply of ksqlDB
PATIENCE = 10.0  # seconds for which a ksqlDB that does not answer is asked again


@app.command()
def doctor(
    server: options.Server = None,
    sql: options.Sql = None,
    var: options.Var = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per check and line.")
    ] = False,
) -> None:
    """Check a running stack part by part, and tell what to do; exits with 1 when a check fails.

    Parts that neither the environment nor .env names are left out: .env.example has the variables.
    In docker compose all are named: docker compose run --rm tools doctor

    Example: opensea-metrics doctor --json
    """
    named = bool(server) or options.is_configured()
    client = replace(server_access.client(server), timeout=TIMEOUT, patience=PATIENCE) if named else None
    choice = Choice(client, sql, options.variables(var))
    with console(stderr=True).status("") as status:
        found = examine(choice, lambda part: status.update(shown(f"asking {part} …")))
    (show_checks_json if as_json else show_checks)(found)
    if any(each.verdict == "failed" for each in found):
        raise typer.Exit(1)
