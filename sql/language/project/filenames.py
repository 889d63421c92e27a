"""The names of migration files: ``V###__name.sql``, and ``V###__name.down.sql`` for their rollbacks."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from opensea_metrics.core.errors import Place, SqlError

_NAME = re.compile(r"V([0-9]{3,9})__([\w -]+?)(\.down)?\.sql")
_MEANT = re.compile(r"\s*V\s*([0-9]{1,9})[ _.-]+(.+?)(\.down)?(\.[^.]*)?\s*", re.IGNORECASE)
"""A name that a user may have meant to be that of a migration."""
_BACKUPS = ("~", ".bak", ".orig")


@dataclass(frozen=True)
class MigrationFile:
    """A file of a migration, or (``is_down``) of its rollback."""

    path: Path
    version: int
    name: str
    is_down: bool


def migration_files(
    folder: Path, versions: Collection[int] | None = None
) -> dict[int, dict[bool, MigrationFile]]:
    """The files of a folder by version, and by whether they are rollbacks; with ``versions`` only these.

    Raises SqlError for two files of one version, a rollback without its migration, and a name that ends
    with .sql or begins like that of a migration but is none: it would be passed over.
    """
    if not folder.is_dir():
        raise SqlError(f"there is no folder {folder}", hint="see --sql")
    files: dict[int, dict[bool, MigrationFile]] = {}
    for path in sorted(folder.iterdir()):
        file = _read(path)
        if versions is not None and _version(path) not in versions:
            continue
        if file is None:
            if _is_meant(path):
                message = f"'{path.name}' is no name of a migration"
                raise SqlError(message, Place(str(path), 1, 1), _remedy(path))
            continue
        both = files.setdefault(file.version, {})
        if (other := both.get(file.is_down)) is not None:
            message = f"version {file.version} has two files: '{other.path.name}' and '{path.name}'"
            raise SqlError(message, Place(str(path), 1, 1), "give one of them another version")
        both[file.is_down] = file
    for both in files.values():
        if False not in both:
            raise SqlError("a rollback without its migration", Place(str(both[True].path), 1, 1))
    return files


def _read(path: Path) -> MigrationFile | None:
    match = _NAME.fullmatch(path.name)
    return MigrationFile(path, int(match[1]), match[2], bool(match[3])) if match else None


def _version(path: Path) -> int | None:
    match = _NAME.fullmatch(path.name) or _MEANT.fullmatch(path.name)
    return int(match[1]) if match else None


def _is_meant(path: Path) -> bool:
    name = path.name.strip().lower()
    if path.is_dir() or name.endswith(_BACKUPS):
        return False
    return name.endswith(".sql") or _MEANT.fullmatch(path.name) is not None


def _remedy(path: Path) -> str:
    rule = "migrations are named V###__name.sql, their rollbacks V###__name.down.sql"
    if (meant := _MEANT.fullmatch(path.name)) is None:
        return rule
    name = re.sub(r"[^\w -]+", "_", meant[2]).strip()
    return f"rename it to 'V{meant[1]:0>3}__{name}{(meant[3] or '').lower()}.sql', or move it elsewhere; {rule}"
