"""Shows help texts as they are written. typer gives them to rich, which reads [words] as markup."""

from __future__ import annotations

from inspect import cleandoc
from typing import Any

from rich.markup import escape
from typer.core import TyperArgument, TyperCommand, TyperOption
from typer.models import CommandInfo


def as_written(command: CommandInfo) -> None:
    """Take a verb's help from its docstring. Show it and the help of its options literally."""
    # The line breaks of the source go, because a terminal has its own width.
    paragraphs = cleandoc(command.callback.__doc__ or "").split("\n\n")
    command.help = escape("\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs))
    command.cls = _Command


class _Command(TyperCommand):
    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        for parameter in self.params:
            if isinstance(parameter, TyperOption | TyperArgument) and parameter.help:
                parameter.help = escape(parameter.help)
