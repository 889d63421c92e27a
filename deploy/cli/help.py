"""Help pages: literal texts, and exit codes. typer passes texts to rich, which would read [words] as markup."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from inspect import cleandoc
from typing import Any

import typer
from rich.markup import escape
from typer.core import TyperArgument, TyperCommand, TyperOption
from typer.models import CommandInfo

PENDING: dict[str, str] = {
    "plan": "changes are pending",
    "diff": "the server differs from the record",
    "reconcile": "the windows differ",
    "archive check": "the archive has faults",
    "archive compact": "some files could not be compacted",
}
"""Verb → the meaning of exit code 2."""


def as_written(app: typer.Typer, parent: str) -> None:
    """Take each verb's help from its docstring, and name its exit codes. Show all texts literally.

    If ``app`` is a group of verbs, ``parent`` is the group's name and a space. Otherwise it is ''.
    """
    for command in app.registered_commands:
        # Join the lines of the source, because the terminal wraps text at its own width.
        paragraphs = cleandoc(command.callback.__doc__ or "").split("\n\n")
        command.help = escape("\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs))
        command.epilog = _exit_codes(parent + name_of(command))
        command.cls = _Command


def name_of(command: CommandInfo) -> str:
    """The name of a verb."""
    return command.name or (command.callback.__name__ if command.callback else "")


def with_one(app: typer.Typer, verb: str, summaries: Mapping[str, str]) -> typer.Typer:
    """A copy of ``app`` with one of its verbs, or without any. The others are listed, and cannot be called.

    typer reads the options of each verb of an app before it calls one, which takes 2 ms a verb.
    """
    one = copy(app)
    one.registered_commands = [command for command in app.registered_commands if name_of(command) == verb]
    one.registered_groups = [group for group in app.registered_groups if group.name == verb]
    for name, summary in summaries.items():
        if name != verb:
            one.command(name, cls=_Listed, help=escape(summary))(lambda: None)
    return one


def _exit_codes(verb: str) -> str:
    two = f"2 {PENDING[verb]}, " if verb in PENDING else ""
    return f"Exit codes: 0 done, 1 error, {two}130 Ctrl-C"


class _Listed(TyperCommand):
    """A verb in the list of verbs, which needs only its summary."""


class _Command(TyperCommand):
    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        for parameter in self.params:
            if isinstance(parameter, TyperOption | TyperArgument) and parameter.help:
                parameter.help = escape(parameter.help)
