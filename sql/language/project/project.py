"""A folder of settings, macros and migrations, read and rendered."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from itertools import takewhile
from pathlib import Path
from typing import Any

from opensea_metrics.core.errors import Place, SqlError, together
from opensea_metrics.core.places import Located
from opensea_metrics.sql.language.functions.library import Function, declare, of_server
from opensea_metrics.sql.language.project.files import MigrationFile, migration_files, read_text
from opensea_metrics.sql.language.project.templates import Templates, plain
from opensea_metrics.sql.language.project.variables import resolved
from opensea_metrics.sql.language.project.yaml_text import NotYaml, overridden, read_yaml
from opensea_metrics.sql.language.statements.parser import ScriptReading, read_script
from opensea_metrics.sql.language.statements.statements import Statement

FOREIGN_SETTINGS = "ksql-migrations.properties"


@dataclass(frozen=True)
class Migration:
    """One file ``V###__name.sql``, rendered with the settings.

    ``text`` is the rendered text, and ``checksum`` its SHA-256 (hex), without physical names. ``undo`` is the text of
    ``V###__name.down.sql``. Without that file, ``undo`` is None, and the rollback is derived. The texts are parsed when
    statements are asked for. Only then are SqlErrors raised, unless ``skips_errors`` leaves those statements out.
    """

    version: int
    name: str
    path: Path
    text: Located
    checksum: str
    undo: Located | None = None
    file_md5: str = ""
    """The MD5 (hex) of the file's bytes: the checksum that ksql-migrations 7.9.1 records (observed)."""
    is_template: bool = False
    """Whether the rendered text differs from the file's text."""
    skips_errors: bool = False

    @cached_property
    def readings(self) -> tuple[ScriptReading, ...]:
        """The statements and errors of the file, and of its down file if there is one."""
        return tuple(read_script(text.text, text.place) for text in (self.text, self.undo) if text is not None)

    @property
    def statements(self) -> tuple[Statement, ...]:
        """The statements of the file."""
        return self._statements(0)

    @property
    def down(self) -> tuple[Statement, ...] | None:
        """The statements of the down file."""
        return None if self.undo is None else self._statements(1)

    def _statements(self, number: int) -> tuple[Statement, ...]:
        errors = [error for reading in self.readings for error in reading.errors]
        if errors and not self.skips_errors:
            raise together(errors)
        return tuple(self.readings[number].statements)


@dataclass(frozen=True)
class Project:
    """The settings, and the migrations ordered by version.

    If a project is loaded in spite of its ``errors``, the migrations lack the statements with errors. Those statements
    would define the ``broken`` names. The migrations end before the first file that cannot be rendered.
    """

    root: Path
    settings: Mapping[str, Any]
    migrations: tuple[Migration, ...]
    errors: tuple[SqlError, ...] = ()
    broken: frozenset[str] = frozenset()


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
    keep_errors: bool = False,
    parse: bool = True,
) -> Project:
    """Read, render and parse a project. ``variables`` override settings (:mod:`sql.language.project.yaml_text`).

    Without ``parse``, a file is parsed when its statements are asked for. With ``versions``, only the files of these
    versions are read, so errors in other files do not matter.

    ``physical`` maps names in files to names on a server, which replace ``ref('name')``. Checksums are computed from
    the files without these names.

    Raises SqlError with file, line and column for a missing or malformed file. Raises SqlErrors with all undefined
    variables and syntax errors of all files. With ``keep_errors``, the project has these errors instead.
    """
    root = root or find_root()
    settings = load_settings(root, variables or {})
    declare(_functions_of(root, settings))
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
        located = Templates(root, settings).render_each(wanted)
    texts = _texts(settings)
    outcomes = (_resolved(text, texts) for text in located)
    read = [_migration(files[version], outcomes, bool(physical), keep_errors) for version in sorted(files)]
    rendered = [migration for migration in read if isinstance(migration, Migration)]
    readings = [reading for migration in rendered for reading in migration.readings] if parse else []
    errors = [error for failed in read if not isinstance(failed, Migration) for error in failed]
    errors += [error for reading in readings for error in reading.errors]
    # With physical names, files are read twice.
    if (distinct := tuple({str(error): error for error in errors}.values())) and not keep_errors:
        raise together(distinct)
    whole = tuple(file for file, _ in takewhile(lambda both: both[0] is both[1], zip(rendered, read, strict=False)))
    broken = frozenset(name for reading in readings for name in reading.broken)
    return Project(root, settings, whole, distinct, broken)


def rendered(path: Path, root: Path, settings: Mapping[str, Any]) -> Located:
    """The rendered text of a file that is not a migration, such as a test.

    Rendering is as for migrations. Raises SqlError.
    """
    (text,) = Templates(root, settings).render([(path, {})])
    return resolved(text, _texts(settings))


def _functions_of(root: Path, settings: Mapping[str, Any]) -> dict[str, Function]:
    """The functions that the settings list because only a server has them. Raises SqlError."""
    listed = settings.get("functions") or {}
    try:
        if not isinstance(listed, Mapping):
            raise ValueError("functions must map names to parameters and results, such as 'VARCHAR INT -> DOUBLE'")
        return {name.upper(): of_server(name, str(text)) for name, text in listed.items()}
    except (ValueError, KeyError) as error:
        raise SqlError(f"{root / 'settings.yml'}: functions: {error}") from None


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


def _resolved(text: Located | SqlError, texts: Mapping[str, str]) -> Located | SqlError:
    try:
        return text if isinstance(text, SqlError) else resolved(text, texts)
    except SqlError as error:
        return error


def _migration(
    files: Mapping[bool, MigrationFile],
    outcomes: Iterator[Located | SqlError],
    has_physical: bool,
    skips_errors: bool,
) -> Migration | list[SqlError]:
    """One migration, or the errors that prevent its rendering.

    ``outcomes`` yields its text, again with physical names if there are any, and its rollback.
    """
    file, text = files[False], next(outcomes)
    written = next(outcomes) if has_physical else text
    undo = next(outcomes) if True in files else None
    if failed := [outcome for outcome in (text, written, undo) if isinstance(outcome, SqlError)]:
        return failed
    assert isinstance(text, Located)
    assert isinstance(written, Located)
    assert not isinstance(undo, SqlError)
    content = file.path.read_bytes()
    return Migration(
        version=file.version,
        name=file.name,
        path=file.path,
        text=written,
        checksum=hashlib.sha256(text.text.encode(errors="surrogatepass")).hexdigest(),
        undo=undo,
        file_md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        is_template=content != written.text.encode(errors="surrogatepass"),
        skips_errors=skips_errors,
    )
