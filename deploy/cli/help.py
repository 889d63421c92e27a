"""Help texts, shown as they are written: typer gives them to rich, which takes [words] for markup."""

from __future__ import annotations

from inspect import cleandoc
from typing import Any

from rich.markup import escape
from typer.core import TyperArgument, TyperCommand, TyperOption
from typer.models import CommandInfo


def as_written(command: CommandInfo) -> None:
    """Take a verb's help from its docstring, and show that and the help of its options literally."""
    # Lines are as long as those of the source; a terminal's are its own.
    paragraphs = cleandoc(command.callback.__doc__ or "").split("\n\n")
    command.help = escape("\n\n".join(each.replace("\n", " ") for each in paragraphs))
    command.cls = _Command


class _Command(TyperCommand):
    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        for each in self.params:
            if isinstance(each, TyperOption | TyperArgument) and each.help:
                each.help = escape(each.help)
