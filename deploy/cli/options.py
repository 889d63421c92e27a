"""Options that several verbs share, and functions that read them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from opensea_metrics.core.environment import DATA_DIR, may_be_set, may_begin_with
from opensea_metrics.deploy.output.forms import Form, ReportView, form_for

Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        help="The ksqlDB server or embedded server.",
        show_default="$KSQLDB_URL, or http://127.0.0.1:8088",
    ),
]
Sql = Annotated[
    Path | None,
    typer.Option(
        "--sql",
        metavar="DIR",
        help="Folder with settings.yml and migrations/.",
        show_default="./sql, or the packaged one",
    ),
]
Var = Annotated[
    list[str] | None,
    typer.Option(
        "--var",
        metavar="NAME=VALUE",
        help="Override a setting. The value keeps the setting's type; a list is YAML. May be repeated.",
    ),
]


PORTS = 65_535
"""The greatest port number."""
To = Annotated[int | None, typer.Option(metavar="V", help="Stop at version V.")]
One = Annotated[bool, typer.Option("--one", help="Only the next migration.")]
OutOfOrder = Annotated[
    bool,
    typer.Option("--out-of-order", help="Also migrations with a lower version than an applied one."),
]
SideBySide = Annotated[
    bool,
    typer.Option(
        "--side-by-side",
        help="If a source cannot be replaced in place, build the new one beside it and switch over.",
    ),
]
Wait = Annotated[
    bool, typer.Option("--wait", help="Wait until new queries have read all records in their sources.")
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Keep a line for each finished statement.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]
Format = Annotated[
    Form | None,
    typer.Option("--format", help="The form of the rows.", show_default="by the suffix of --out, or table"),
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Write the result to a file, with exact values.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


def report_view(form: Form | None, out: Path | None, json: bool) -> ReportView:
    """The form and file of a report. Raises BadParameter if two forms are given, and OutputRefused."""
    if json and form not in (None, Form.JSON):
        raise typer.BadParameter(f"--json and --format {form} contradict each other")
    return ReportView(Form.JSON if json else form_for(form, out), out)


def finite(value: float | None) -> float | None:
    """Returns the number. Raises BadParameter for nan and inf, which float() accepts."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value


def has_settings() -> bool:
    """False if ``config.Settings`` has only its default values. It takes 40 ms to import the classes of settings."""
    return may_begin_with("OPENSEA_METRICS_", "KSQLDB_URL")


def data_dir() -> Path:
    """The data directory of the embedded server."""
    if not has_settings():
        return DATA_DIR
    from opensea_metrics.deploy.config import Settings

    return Settings().data_dir


def is_configured() -> bool:
    """True if the environment or .env names a server."""
    from opensea_metrics.deploy.config import Settings

    return "ksqldb_url" in Settings().model_fields_set


def variables(given: list[str] | None) -> dict[str, str]:
    """``--var NAME=VALUE`` as a mapping, over the overrides of the settings.

    Raises BadParameter if there is no equals sign.
    """
    overrides: dict[str, str] = {}
    if may_be_set("OPENSEA_METRICS_VARIABLES"):
        from opensea_metrics.deploy.config import Settings

        overrides |= Settings().variables
    for assignment in given or ():
        name, equals, value = assignment.partition("=")
        if not equals:
            raise typer.BadParameter(f"{assignment!r} is not NAME=VALUE", param_hint="--var")
        overrides[name] = value
    return overrides


Timeout = Annotated[float, typer.Option(min=0, callback=finite, help="Seconds to wait with --wait.")]
AllowHost = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host",
        metavar="NAME",
        help="Another host name or address of this server, without scheme and port. May be repeated.",
    ),
]
Insecure = Annotated[
    bool,
    typer.Option(
        "--insecure",
        help="Serve other machines without credentials or a certificate, for instance behind a proxy with TLS.",
    ),
]
