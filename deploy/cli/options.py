"""Options that several verbs share, and what they become."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy.client import KsqlClient
from deploy.config import Settings

Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        help="The ksqlDB server or embedded server"
        " [default: $KSQLDB_URL, else http://127.0.0.1:8088].",
    ),
]
Sql = Annotated[
    Path | None,
    typer.Option(
        "--sql",
        metavar="DIR",
        help="Folder with settings.yml and migrations/ [default: ./sql, else the packaged one].",
    ),
]
Var = Annotated[
    list[str] | None,
    typer.Option("--var", metavar="NAME=VALUE", help="Override a setting; may be repeated."),
]


def client(server: str | None) -> KsqlClient:
    """A client of the named server, else of the one in the settings."""
    return KsqlClient(server or Settings().ksqldb_url)


def variables(given: list[str] | None) -> dict[str, str]:
    """``--var NAME=VALUE`` as a mapping. Raises BadParameter without an equals sign."""
    found = {}
    for each in given or ():
        name, equals, value = each.partition("=")
        if not equals:
            raise typer.BadParameter(f"{each!r} is not NAME=VALUE", param_hint="--var")
        found[name] = value
    return found
