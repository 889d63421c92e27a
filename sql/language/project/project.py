"""A folder of settings, macros and migrations, read and rendered."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

from opensea_metrics.core.errors import Place, SqlError, together
from opensea_metrics.core.places import Located
from opensea_metrics.sql.language.project.filenames import MigrationFile, migration_files
from opensea_metrics.sql.language.project.overrides import overridden
from opensea_metrics.sql.language.project.reading import read_text
from opensea_metrics.sql.language.project.templates import Templates, plain
from opensea_metrics.sql.language.project.variables import resolved
from opensea_metrics.sql.language.project.yaml_text import NotYaml, read_yaml
from opensea_metrics.sql.language.statements.parser import parse_script
from opensea_metrics.sql.language.statements.statements import Statement

FOREIGN_SETTINGS = "ksql-migrations.properties"


@dataclass(frozen=True)
class Migration:
    """One file ``V###__name.sql``, rendered with the settings and parsed.

    ``checksum`` is the SHA-256 (hex) of the rendered text. ``down`` are the statements in
    ``V###__name.down.sql``, or None without that file. Then the rollback is derived.
    """

    version: int
    name: str
    path: Path
    rendered: str
    statements: tuple[Statement, ...]
    checksum: str
    down: tuple[Statement, ...] | None = None
    file_md5: str = ""
    """The MD5 (hex) of the file's bytes: the checksum that ksql-migrations 7.9.1 records (observed)."""


@dataclass(frozen=True)
class Project:
    """The settings, and the migrations ordered by version."""

    root: Path
    settings: Mapping[str, Any]
    migrations: tuple[Migration, ...]


def find_root() -> Path:
    """The project's folder: ``./sql`` if it has settings and migrations, or ``.`` if it is a project of
    ksql-migrations. Otherwise the folder in the installed package."""
    here = Path("sql")
    if (here / "settings.yml").is_file() and (here / "migrations").is_dir():
        return here
    if Path(FOREIGN_SETTINGS).is_file() and Path("migrations").is_dir():
        return Path()
    return packaged_root()


def packaged_root() -> Path:
    """The folder of the project in the installed package."""
    return Path(str(resources.files("opensea_metrics.sql")))


def load_project(
    root: Path | None = None,
    variables: Mapping[str, str] | None = None,
    physical: Mapping[str, str] | None = None,
    versions: Collection[int] | None = None,
) -> Project:
    """Read, render and parse a project. ``variables`` override settings (:mod:`sql.language.project.overrides`).

    With ``versions``, only the files of these versions are read, so errors in other files do not matter.

    ``physical`` are the names on a server that ``ref('name')`` is replaced with. Checksums are computed from the
    files without these names.

    Raises SqlError with file, line and column for a missing or malformed file, an undefined variable, or a
    syntax error; SqlErrors if there are several.
    """
    project, errors = load_readable(root, variables, physical, versions)
    if errors:
        raise together(errors)
    return project


def load_readable(
    root: Path | None = None,
    variables: Mapping[str, str] | None = None,
    physical: Mapping[str, str] | None = None,
    versions: Collection[int] | None = None,
) -> tuple[Project, list[SqlError]]:
    """The project up to the first migration that cannot be read, and the errors of all files. See ``load_project``.

    Raises SqlError if the settings or the names of files are not valid.
    """
    root = root or find_root()
    settings = load_settings(root, variables or {})
    files = migration_files(root / "migrations", versions)
    wanted: list[tuple[Path, Mapping[str, str]]] = []
    for _, both in sorted(files.items()):
        wanted.append((both[False].path, {}))
        if physical:
            wanted.append((both[False].path, physical))
        if True in both:
            wanted.append((both[True].path, physical or {}))
    located: Sequence[Located | SqlError]
    if _is_foreign(root):
        located = [plain(path, read_text(path)) for path, _ in wanted]
    else:
        located = Templates(root, settings).render(wanted)
    texts, rendered = _texts(settings), iter(located)
    migrations: list[Migration] = []
    errors: list[SqlError] = []
    for _, both in sorted(files.items()):
        own = list(islice(rendered, 1 + bool(physical) + (True in both)))
        try:
            migration = _migration(both, [_resolved(text, texts) for text in own], bool(physical))
        except SqlError as error:
            errors.append(error)
        else:
            migrations += [] if errors else [migration]
    return Project(root, settings, tuple(migrations)), errors


def _is_foreign(root: Path) -> bool:
    """True for a project of ksql-migrations. Its files are not templates."""
    return not (root / "settings.yml").exists() and (root / FOREIGN_SETTINGS).exists()


def load_settings(root: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    """The content of ``settings.yml``, with overrides that keep the types of settings (:mod:`.overrides`).

    A variable that is not a setting is text. Raises SqlError if the file is not a mapping of names to values, or
    if an override has another type.
    """
    path = root / "settings.yml"
    settings: Any = {}  # the settings of a ksql-migrations project
    if not _is_foreign(root):
        if not path.exists():
            raise SqlError(f"cannot read {path}: there is no such file", hint="see --sql")
        try:
            settings = read_yaml(read_text(path)) or {}
        except NotYaml as error:
            place = Place(str(path), error.line, error.column)
            raise SqlError(f"not YAML: {error.problem}", place) from error
    if not isinstance(settings, dict) or not all(isinstance(name, str) for name in settings):
        raise SqlError("settings are 'name: value' lines", Place(str(path), 1, 1))
    given = {name: overridden(name, value, settings.get(name, "")) for name, value in variables.items()}
    return {**settings, **given}


def _texts(settings: Mapping[str, Any]) -> dict[str, str]:
    """The settings that ``${name}`` may refer to."""
    scalars = (str, int, float)
    return {name: str(value) for name, value in settings.items() if isinstance(value, scalars)}


def _resolved(text: Located | SqlError, given: Mapping[str, str]) -> Located:
    if isinstance(text, SqlError):
        raise text
    return resolved(text, given)


def _migration(
    files: Mapping[bool, MigrationFile], rendered: Sequence[Located], has_physical: bool
) -> Migration:
    """One migration. ``rendered`` is its text, again with physical names if there are any, and its rollback."""
    file, text = files[False], rendered[0]
    checksum = hashlib.sha256(text.text.encode(errors="surrogatepass")).hexdigest()
    if has_physical:
        text = rendered[1]
    down = None
    if True in files:
        undo = rendered[-1]
        down = parse_script(undo.text, str(files[True].path), undo.place)
    return Migration(
        version=file.version,
        name=file.name,
        path=file.path,
        rendered=text.text,
        statements=parse_script(text.text, str(file.path), text.place, all_errors=True),
        checksum=checksum,
        down=down,
        file_md5=hashlib.md5(file.path.read_bytes(), usedforsecurity=False).hexdigest(),
    )
