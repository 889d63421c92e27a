"""A project's files: init creates a project, and validate checks one. Neither needs a server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from opensea_metrics.core.errors import SqlError, together
from opensea_metrics.deploy.commands.site import Variables, checked
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.plan.steps import check_has_statements, steps_of
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.lowering.refusals import Unsupported
from opensea_metrics.sql.language.statements.statements import Statement

_HIDDEN = {"env.example": ".env.example", "gitignore": ".gitignore"}
"""Files whose names begin with a dot in a project. Files of a package cannot have such names."""


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


@dataclass(frozen=True)
class Validation:
    """The result of a check of the files; ``unsupported``: the features that only ksqlDB has."""

    root: Path
    migrations: int
    statements: int
    unsupported: tuple[Unsupported, ...] = ()


def validate(
    root: Path | None = None, variables: Variables | None = None, for_embedded: bool = False
) -> Validation:
    """Render and check every statement, without a server.

    Raises SqlErrors with all errors, also for files without statements. With ``for_embedded``, features that only
    ksqlDB has are errors too.
    """
    # Imported here, because it takes long, and other verbs do not need it.
    from opensea_metrics.sql.language.lowering import support

    unsupported: list[Unsupported] = []

    def support_of(before: Catalog, statement: Statement, after: Catalog) -> None:
        try:
            support.check_statement(before, statement, after)
            support.check_registry(before, statement, after)
        except Unsupported as error:
            unsupported.append(error)

    try:
        project = checked(root, variables, support_of)
    except SqlError as error:
        raise together([error, *(unsupported if for_embedded else ())]) from None
    if for_embedded and unsupported:
        raise together(unsupported)
    for file in project.migrations:
        check_has_statements(file)
    statements = [steps_of(file) for file in project.migrations]
    return Validation(project.root, len(statements), sum(map(len, statements)), tuple(unsupported))
