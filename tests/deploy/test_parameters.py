"""Options and arguments that are converted without pydantic have the values that typer gives them."""

from __future__ import annotations

import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from opensea_metrics.deploy.cli.help import Group, as_written


class Color(StrEnum):
    """Values of an option."""

    RED = "red"
    DARK_BLUE = "dark-blue"


def values(arguments: list[str], is_ours: bool) -> Any:
    """The values of a command's parameters, or the output of an error."""
    taken: dict[str, Any] = {}
    app = typer.Typer(cls=Group if is_ours else None)

    @app.callback()
    def main() -> None:
        """A group, so that the command has a name."""

    @app.command()
    def run(
        name: Annotated[str, typer.Argument()] = "all",
        text: Annotated[str | None, typer.Option()] = None,
        texts: Annotated[list[str] | None, typer.Option()] = None,
        color: Annotated[Color, typer.Option()] = Color.RED,
        place: Annotated[Path | None, typer.Option()] = None,
        folder: Annotated[Path | None, typer.Option(file_okay=False)] = None,
        number: Annotated[int | None, typer.Option(max=10)] = None,
        is_all: Annotated[bool, typer.Option("--all")] = False,
    ) -> None:
        """A command."""
        taken.update(locals())

    if is_ours:
        as_written(app, "")
    result = CliRunner().invoke(app, ["run", *arguments])
    taken.pop("taken", None)
    return {name: (type(value), value) for name, value in taken.items()} if result.exit_code == 0 else result.output


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["one"], ["--text", "a"], ["--text", ""], ["--texts", "a", "--texts", "b c"], ["--color", "dark-blue"],
        ["--color", "green"], ["--place", "."], ["--place", "no such file"], ["--place", ""], ["--folder", "."],
        ["--folder", __file__], ["--number", "7"], ["--number", "11"], ["--number", "x"], ["--all"],
        ["--all", "--text", "--all"],
    ],
)  # fmt: skip
def test_values_are_those_of_typer(arguments: list[str]) -> None:
    assert values(arguments, is_ours=True) == values(arguments, is_ours=False)


def test_a_command_starts_without_pydantic(tmp_path: Path) -> None:
    program = (
        "import sys; from opensea_metrics.deploy.cli import main\n"
        "try: main()\n"
        "finally: print([name for name in ('pydantic', 'msgspec', 'rich.markup') if name in sys.modules])"
    )
    arguments = ["recompute", "--source", str(tmp_path / "none"), "--engine", "duckdb", "--window", "1 hour"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert "There is no archive" in done.stderr
    assert done.stdout.split() == ["[]"]
