"""A new project: settings, macros, a first migration and its test."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from opensea_metrics.deploy.migrations.errors import MigrationError

_HIDDEN = {"env.example": ".env.example", "gitignore": ".gitignore"}
"""Files whose names begin with a dot in a project, and cannot in a package."""


def init(directory: Path) -> tuple[Path, ...]:
    """Write the files of a new project into a directory, and create the directory if needed. Returns their paths.

    Nothing is overwritten: raises MigrationError if the directory has one of the files. Raises OSError
    if a file cannot be written.
    """
    template = resources.files("opensea_metrics.deploy") / "project_template"
    files = {directory / path: content for path, content in _files(template)}
    if existing := [path for path in files if path.exists() or path.is_symlink()]:
        raise MigrationError(
            f"{existing[0]} already exists; nothing was written\n"
            "  hint: name a new directory, or add a migration with opensea-metrics new"
        )
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tuple(files)


def _files(folder: Traversable, parent: Path = Path()) -> Iterator[tuple[Path, bytes]]:
    """The paths and contents of the files in a folder of the package."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.startswith(("__", ".")):
            continue
        path = parent / _HIDDEN.get(entry.name, entry.name)
        if entry.is_dir():
            yield from _files(entry, path)
        else:
            yield path, entry.read_bytes()
