"""Options that several verbs share, and what they become."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError as PydanticSettingsError

from deploy.config import Settings
from sql.errors import OpenSeaMetricsError


class SettingsError(OpenSeaMetricsError):
    """A setting in the environment or in .env cannot be read."""


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
    typer.Option("--var", metavar="NAME=VALUE", help="Override a setting; may be repeated."),
]


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


def settings() -> Settings:
    """The settings. Raises SettingsError for one that cannot be read, without showing its value."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = ", ".join(str(each["loc"][0]) for each in error.errors())
        raise SettingsError(f"in the environment or .env: cannot read {wrong}") from None
    except PydanticSettingsError as error:
        # Its message names the field; its cause would show the value.
        raise SettingsError(f"in the environment or .env: {error}") from None


def is_configured() -> bool:
    """True if the environment or .env names a server."""
    return "ksqldb_url" in settings().model_fields_set


def variables(given: list[str] | None) -> dict[str, str]:
    """``--var NAME=VALUE`` as a mapping, over those of the settings.

    Raises BadParameter without an equals sign.
    """
    found = dict(settings().variables)
    for each in given or ():
        name, equals, value = each.partition("=")
        if not equals:
            raise typer.BadParameter(f"{each!r} is not NAME=VALUE", param_hint="--var")
        found[name] = value
    return found
