"""The verb for queries and other statements: one, a file of them, or a shell."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.cli import options, server_access
from opensea_metrics.deploy.cli.app import app
from opensea_metrics.deploy.output.forms import Form
from opensea_metrics.deploy.query.user_statements import statements_in
from opensea_metrics.deploy.shell.runner import Runner, View, refusing


@app.command()
def query(
    text: Annotated[
        str | None,
        typer.Argument(metavar="QUERY", help="One or more statements. Without them a shell starts."),
    ] = None,
    server: options.Server = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE", help="Run the statements of a file; - is stdin.")
    ] = None,
    form: options.Format = None,
    out: options.Out = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Exact values on a terminal too: epoch milliseconds, all digits.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="The same as --format json: one object per line.")] = False,
    yes: options.Yes = False,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Refuse statements that change the server.")
    ] = False,
) -> None:
    """Run statements and print their rows, or start a shell.

    With EMIT CHANGES, rows come until LIMIT or Ctrl-C, which closes the query on the server (exit code 130). ORDER BY,
    GROUP BY, JOIN and OVER of a query without EMIT run in this tool, over rows that the server selects by WHERE.

    On a terminal, times, amounts and top lists are formatted for people. In a pipe, in a file, and with --raw, values
    are exact. A statement that changes the server needs --yes; the shell asks before it runs one.

    Example: opensea-metrics query "SELECT collection, usd_volume FROM collection_1_minute ORDER BY usd_volume DESC
    LIMIT 10"

    Example: opensea-metrics query "SELECT * FROM global_1_minute" --out market.parquet

    Example: opensea-metrics query -f report.sql --format csv
    """
    if text is not None and file is not None:
        raise typer.BadParameter("give either QUERY or --file")
    if yes and read_only:
        raise typer.BadParameter("--yes and --read-only contradict each other")
    client = server_access.client(server)
    view = View(Form.JSON if json else form, out, True if raw else None)
    if text is None and file is None and sys.stdin.isatty():
        if not sys.stdout.isatty():
            raise SqlError("a shell needs a terminal", hint="give QUERY, or --file")
        from opensea_metrics.deploy.shell.session import start

        start(client, view, asks=not yes, read_only=read_only)
        return
    if text is None:
        text = sys.stdin.read() if file is None or str(file) == "-" else file.read_text(encoding="utf-8-sig")
    statements = list(statements_in(text))
    if not statements:
        raise SqlError("there is no statement", hint='for instance: opensea-metrics query "SHOW TABLES"')
    if len(statements) > 1 and out is not None:
        raise SqlError("there is more than one statement, and --out holds one result", hint="run them one by one")
    runner = Runner(client, view, refusing(yes))
    for statement in statements:
        runner.run(statement)
