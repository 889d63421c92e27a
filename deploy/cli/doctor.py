"""The verb that checks a running stack."""

from __future__ import annotations

from dataclasses import replace

import typer

from opensea_metrics.deploy.cli import options, server_access
from opensea_metrics.deploy.cli.app import app
from opensea_metrics.deploy.doctor import KsqldbTarget, examine
from opensea_metrics.deploy.output.console import console, shown
from opensea_metrics.deploy.output.doctor import check_objects, show_checks
from opensea_metrics.deploy.output.reports import write_report

TIMEOUT = 15.0  # seconds for one reply of ksqlDB
PATIENCE = 10.0  # seconds: how long to repeat requests to a ksqlDB that is not ready


@app.command()
def doctor(
    server: options.Server = None,
    sql: options.Sql = None,
    var: options.Var = None,
    form: options.Format = None,
    out: options.Out = None,
    json: options.Json = False,
) -> None:
    """Check each part of a running stack and say what to do. Exits with 1 if a check fails.

    Checks only the parts that the environment or .env names; .env.example lists the variables. Docker
    Compose names all parts: docker compose run --rm tools doctor

    Example: opensea-metrics doctor --json

    Example: opensea-metrics doctor --out checks.csv
    """
    view = options.report_view(form, out, json)
    named = bool(server) or options.is_configured()
    client = replace(server_access.client(server), timeout=TIMEOUT, patience=PATIENCE) if named else None
    target = KsqldbTarget(client, sql, options.variables(var))
    with console(stderr=True).status("") as status:
        checks = examine(target, lambda part: status.update(shown(f"asking {part} …")))
    write_report(view, lambda: show_checks(checks), check_objects(checks))
    if any(check.verdict == "failed" for check in checks):
        raise typer.Exit(1)
