"""A folder of settings, macros and migrations, read and rendered."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from sql.errors import Place, SqlError
from sql.parser import parse_script
from sql.statements import Statement
from sql.templates import Templates
from sql.variables import resolved

FOREIGN_SETTINGS = "ksql-migrations.properties"
_FILE = re.compile(r"V(\d{3,9})__([\w -]+?)(\.down)?\.sql")


@dataclass(frozen=True)
class Migration:
    """One file ``V###__name.sql``, rendered with the settings and parsed.

    ``checksum`` is the SHA-256 (hex) of the rendered text; ``down`` are the statements of
    ``V###__name.down.sql`` where there is one, else None (rollback is then derived).
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
    """The settings, and the migrations in order of version."""

    root: Path
    settings: Mapping[str, Any]
    migrations: tuple[Migration, ...]


def find_root() -> Path:
    """``./sql`` if it holds settings and migrations, ``.`` if it is a project of ksql-migrations,
    else the folder that is installed."""
    here = Path("sql")
    if (here / "settings.yml").is_file() and (here / "migrations").is_dir():
        return here
    if Path(FOREIGN_SETTINGS).is_file() and Path("migrations").is_dir():
        return Path()
    return Path(str(resources.files("sql")))


def load_project(
    root: Path | None = None,
    variables: Mapping[str, str] | None = None,
    physical: Mapping[str, str] | None = None,
    versions: Collection[int] | None = None,
) -> Project:
    """Read, render and parse a project; ``variables`` override settings (values are YAML).

    With ``versions`` only their files are read: what is wrong in the others does not matter.

    ``physical`` are the names that ``ref('name')`` stands for on a server; checksums are those of
    the files without them.

    Raises SqlError with file, line and column for a missing or malformed file, an undefined
    variable, or a syntax error.
    """
    root = root or find_root()
    settings = load_settings(root, variables or {})
    templates = Templates(root, settings)
    files: dict[int, dict[bool, Path]] = {}
    if not (root / "migrations").is_dir():
        raise SqlError(f"there is no folder {root / 'migrations'}", hint="see --sql")
    for path in sorted((root / "migrations").glob("*.sql")):
        match = _FILE.fullmatch(path.name)
        if versions is not None and (match is None or int(match[1]) not in versions):
            continue
        if match is None:
            hint = "migrations are named V###__name.sql, their rollbacks V###__name.down.sql"
            raise SqlError(f"'{path.name}' is no name of a migration", Place(str(path), 1, 1), hint)
        version, is_down = int(match[1]), bool(match[3])
        if is_down in files.setdefault(version, {}):
            other = files[version][is_down].name
            raise SqlError(f"version {version} is taken by {other}", Place(str(path), 1, 1))
        files[version][is_down] = path
    return Project(
        root, settings, tuple(_migration(v, files[v], templates, physical) for v in sorted(files))
    )


def load_settings(root: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    """``settings.yml`` with overrides. Raises SqlError if it is not a mapping of names to values,
    or an override names no setting."""
    path = root / "settings.yml"
    try:
        if not path.exists() and (root / FOREIGN_SETTINGS).exists():
            settings: Any = {}  # a project of ksql-migrations, as it is
        else:
            settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(settings, dict):
            raise SqlError("settings are 'name: value' lines", Place(str(path), 1, 1))
        for name, value in variables.items():
            settings[name] = yaml.safe_load(value)
    except OSError as error:
        raise SqlError(f"cannot read {path}: {error.strerror}", hint="see --sql") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = Place(str(path), mark.line + 1, mark.column + 1) if mark else None
        raise SqlError(f"not YAML: {getattr(error, 'problem', error)}", place) from error
    return settings


def _texts(settings: Mapping[str, Any]) -> dict[str, str]:
    """The settings that ``${name}`` may name."""
    scalars = (str, int, float)
    return {name: str(value) for name, value in settings.items() if isinstance(value, scalars)}


def _migration(
    version: int,
    files: Mapping[bool, Path],
    templates: Templates,
    physical: Mapping[str, str] | None,
) -> Migration:
    if False not in files:
        path = files[True]
        raise SqlError("a rollback without its migration", Place(str(path), 1, 1))
    path = files[False]
    rendered = resolved(templates.render(path), _texts(templates.variables))
    checksum = hashlib.sha256(rendered.text.encode()).hexdigest()
    if physical:
        rendered = resolved(templates.render(path, physical), _texts(templates.variables))
    match = _FILE.fullmatch(path.name)
    assert match is not None
    down = None
    if True in files:
        undo = resolved(templates.render(files[True], physical), _texts(templates.variables))
        down = parse_script(undo.text, str(files[True]), undo.place)
    return Migration(
        version=version,
        name=match[2],
        path=path,
        rendered=rendered.text,
        statements=parse_script(rendered.text, str(path), rendered.place),
        checksum=checksum,
        down=down,
        file_md5=hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest(),
    )
