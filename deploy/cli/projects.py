"""The verbs that create a project's files and check them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from opensea_metrics.core.errors import SqlError
from opensea_metrics.core.wording import counted
from opensea_metrics.deploy import commands
from opensea_metrics.deploy.cli import options, server_access
from opensea_metrics.deploy.cli.app import app
from opensea_metrics.deploy.commands import ApplyChoice
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.output.forms import Form, redirected
from opensea_metrics.deploy.output.plain import say
from opensea_metrics.deploy.output.reports import write_report
from opensea_metrics.deploy.output.validation import (
    change_objects,
    error_objects,
    show_changed,
    show_validation,
    validation_objects,
)


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
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The migration's name, such as sales_by_chain.")
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Add a window, such as '1 DAY', to every family of tables."),
    ] = None,
    slide: Annotated[
        str | None, typer.Option(metavar="SLIDE", help="With --window: a new window starts every SLIDE.")
    ] = None,
    family: Annotated[
        str | None,
        typer.Option(metavar="FAMILY", help="Create the tables of a family that is defined but not in use."),
    ] = None,
    change: Annotated[
        str | None,
        typer.Option(metavar="FAMILY", help="Copy the definition of a family of tables, to be edited and applied."),
    ] = None,
    sql: options.Sql = None,
    var: options.Var = None,
) -> None:
    """Create a migration: a file with the next version.

    A family is the tables of one metric, one for each window. Its definition is in macros/families/.

    Example: opensea-metrics new sales_by_chain

    Example: opensea-metrics new --window '1 DAY'

    Example: opensea-metrics new --family buyers_sellers

    Example: opensea-metrics new top_5 --change top_collections
    """
    variables = options.variables(var)
    if slide is not None and window is None:
        raise typer.BadParameter("use it with --window", param_hint="--slide")
    if sum(option is not None for option in (window, family, change)) > 1:
        raise typer.BadParameter("use one of --window, --family and --change")
    if window is not None:
        say(commands.new_window(window, slide, name, sql, variables))
        return
    if family is not None:
        say(commands.new_family(family, name, sql, variables))
        return
    if name is None:
        raise typer.BadParameter("give a name, --window SIZE, or --family FAMILY", param_hint="NAME")
    if change is None:
        say(commands.new(name, sql, variables))
        return
    copy, migration = commands.new_change(name, change, sql, variables)
    say(f"{migration}\n{copy}: edit this copy, then run plan")


@app.command()
def validate(
    server: options.Server = None,
    sql: options.Sql = None,
    var: options.Var = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no server, even if one is configured.")
    ] = False,
    form: options.Format = None,
    out: options.Out = None,
    json: options.Json = False,
) -> None:
    """Render and check all statements. With a server, also show changes of applied files.

    A statement that the embedded server cannot run is an error if that server is the target, and otherwise a note.
    Without --server and KSQLDB_URL, the embedded server is the target.

    Example: opensea-metrics validate --sql ./sql --var windows="[{size: 1 MINUTE}]"

    Example: opensea-metrics validate --json
    """
    view = options.report_view(form, out, json)
    variables = options.variables(var)
    if view.form is Form.TABLE:
        with redirected(view.out):
            _validate(server, sql, variables, offline, None)
        return
    objects: list[dict[str, Any]] = []
    try:
        _validate(server, sql, variables, offline, objects)
    except SqlError as error:
        objects += error_objects(error)
        raise
    finally:
        write_report(view, lambda: None, objects)


def _validate(
    server: str | None, sql: Path | None, variables: dict[str, str], offline: bool, objects: list[dict[str, Any]] | None
) -> None:
    """Check all statements. The results go into ``objects``. Without it they are printed for people."""
    is_named = bool(server) or options.is_configured()
    client = None if offline or not is_named else server_access.client(server)
    is_embedded = client.info().is_embedded if client else not is_named
    checked = commands.validate(sql, variables, is_embedded)
    if objects is not None:
        objects += validation_objects(checked)
    else:
        show_validation(checked)
    if client is None:
        return
    changed = commands.changed(client, sql, variables)
    if objects is not None:
        objects += change_objects(changed)
    else:
        show_changed(changed)
    if changed:
        versions = ", ".join(f"V{version:03}" for version in sorted({c.version for c in changed}))
        raise MigrationError(
            f"{versions}: changed after they were applied\n"
            "  hint: undo the change and write a new migration, or roll back. opensea-metrics new --window SIZE adds a"
            " window, new NAME --change FAMILY another definition (docs/recipes.md)"
        )
    # The files may be valid, and still the server would refuse them.
    planned = commands.plan(client, sql, variables)
    if planned.needs_side_by_side:
        commands.plan(client, sql, variables, choice=ApplyChoice(side_by_side=True)).refuse()
    else:
        planned.refuse()
    if objects is not None:
        return
    say("no applied file was changed")
    if planned.needs_side_by_side:
        say("note: the server does not replace all objects in place: use apply --side-by-side")
    say(f"apply would execute {counted(len(planned.steps), 'statement')}" if planned.versions else "nothing is pending")
