"""The verb that runs test files."""

# ruff: noqa: PT028 - test() is a verb, not a test

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.cli import options, server_access
from opensea_metrics.deploy.cli.app import app
from opensea_metrics.deploy.output.plain import say_json
from opensea_metrics.deploy.output.sqltests import show_case, show_summary, to_json


@app.command()
def test(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="Files with tests in SQL, or folders of such files.")
    ],
    engine: Annotated[
        Literal["embedded", "spark"], typer.Option(help="The engine of this process that runs the tests.")
    ] = "embedded",
    server: Annotated[
        str | None, typer.Option("--server", metavar="URL", help="Run the tests on this server instead.")
    ] = None,
    sql: options.Sql = None,
    var: options.Var = None,
    timeout: Annotated[
        float,
        typer.Option(min=0, callback=options.finite, help="Seconds until rows must appear on a server."),
    ] = 30.0,
    json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Run tests in SQL: insert records, and assert the rows of streams and tables. Exit code 1 means a failure.

    On a server, a test deletes everything that it has created. It uses no stream, table or topic of others.

    Example: opensea-metrics test tests/volume.sql
    """
    if server is not None and engine != "embedded":
        raise typer.BadParameter("use either --engine or --server")
    begun = time.monotonic()
    used, results = commands.run_tests(
        files,
        engine if server is None else server_access.client(server),
        sql,
        options.variables(var),
        (lambda _: None) if json else show_case,
        timeout,
    )
    if json:
        say_json(to_json(results, used), indent=1)
    else:
        show_summary(results, used, time.monotonic() - begun)
    if any(result.failure for result in results):
        raise typer.Exit(1)
