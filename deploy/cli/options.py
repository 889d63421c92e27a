"""Options that several verbs share, and what they become."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from opensea_metrics.deploy.config import Settings

Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        help="The ksqlDB server or embedded server.",
        show_default="$KSQLDB_URL, else http://127.0.0.1:8088",
    ),
]
Sql = Annotated[
    Path | None,
    typer.Option(
        "--sql",
        metavar="DIR",
        help="Folder with settings.yml and migrations/.",
        show_default="./sql, else the packaged one",
    ),
]
Var = Annotated[
    list[str] | None,
    typer.Option(
        "--var",
        metavar="NAME=VALUE",
        help="Override a setting; it keeps its type (a list is YAML). May be repeated.",
    ),
]


PORTS = 65_535
"""The greatest number of a port."""
To = Annotated[int | None, typer.Option(metavar="V", help="Stop at version V.")]
One = Annotated[bool, typer.Option("--one", help="The next migration only.")]
OutOfOrder = Annotated[
    bool,
    typer.Option("--out-of-order", help="Also migrations below one that is applied already."),
]
SideBySide = Annotated[
    bool,
    typer.Option(
        "--side-by-side",
        help="Build what cannot be replaced in place beside the old one, then switch over.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def finite(value: float | None) -> float | None:
    """Passes a number on. Raises BadParameter for nan and inf, which float() also reads."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a number that can be counted with")
    return value


def is_configured() -> bool:
    """True if the environment or .env names a server."""
    return "ksqldb_url" in Settings().model_fields_set


def variables(given: list[str] | None) -> dict[str, str]:
    """``--var NAME=VALUE`` as a mapping, over those of the settings.

    Raises BadParameter without an equals sign.
    """
    found = dict(Settings().variables)
    for each in given or ():
        name, equals, value = each.partition("=")
        if not equals:
            raise typer.BadParameter(f"{each!r} is not NAME=VALUE", param_hint="--var")
        found[name] = value
    return found
